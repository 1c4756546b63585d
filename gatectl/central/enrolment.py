"""A gate's certificates: the office makes a one-time code, the gate proves that it knows it, and later renews."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import Connection, Row, delete, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import now_ms, write_audit
from gatectl.central.authority import Authority
from gatectl.errors import NotFoundError, PayloadError, RefusedError
from gatectl.wire import certificates, enrol
from gatectl.wire.enrol import EnrolAnswer, EnrolRequest, Pins, RenewAnswer, RenewRequest

MAX_TRIES = 20
"""So many answers that do not prove the code end it: somebody else is answering."""
RENEW_GRACE_MS = 90 * 86_400_000
"""A gate that was switched off for so long after its certificate's end may still renew it."""
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A one-time code, shown once and kept nowhere."""

    gate: str
    code: str
    expires_at_ms: int


def make_code(conn: Connection, actor: str, gate: str, minutes: int) -> IssuedCode:
    """A code for a gate; an earlier one is void. Raises NotFoundError."""
    _require_gate(conn, gate)
    code, at_ms = enrol.new_code(), now_ms()
    expires_at_ms = at_ms + minutes * 60_000
    codes = tables.enrolment_codes
    conn.execute(delete(codes).where(codes.c.gate_id == gate))
    conn.execute(
        insert(codes).values(
            gate_id=gate,
            secret=enrol.code_secret(code, gate).hex(),
            made_at=at_ms,
            made_by=actor[:60],
            expires_at=expires_at_ms,
        )
    )
    write_audit(conn, actor, "gate.code", gate, f"valid for {minutes} minutes")
    return IssuedCode(gate, code, expires_at_ms)


def take_request(
    conn: Connection, authority: Authority, pins: Pins, days: int, asked: EnrolRequest, at_ms: int
) -> EnrolAnswer:
    """Certify a gate that proves its code.

    The same key asked for again gets the same answer: answers get lost.

    Raises RefusedError, in words that tell a stranger nothing of whether a gate or a code exists; what it changed
    before (tries, audit) must be committed all the same.
    """
    row, secret = _open_code(conn, asked, at_ms)
    try:
        key = certificates.read_request(enrol.request_bytes(asked), asked.gate)
    except PayloadError as error:
        raise RefusedError(str(error)) from error
    if row.used_at is None:
        issued = authority.issue_gate(asked.gate, key, days, datetime.fromtimestamp(at_ms / 1000, UTC))
        _use_code(conn, asked.gate, certificates.serial_of(issued), at_ms)
        _end_others(conn, asked.gate, at_ms)
        _keep(conn, asked.gate, issued, "", at_ms)
        check = enrol.check_words(secret, enrol.request_bytes(asked), authority.der)
        write_audit(conn, _SYSTEM, "gate.enrolled", asked.gate, f"{certificates.serial_of(issued)} check {check}")
    else:
        issued = _issued_again(conn, row.serial, key)
    gates = tables.gates.c
    site = conn.scalar(select(gates.site_id).where(gates.id == asked.gate)) or ""
    return enrol.enrol_answer(
        secret,
        asked,
        site=str(site),
        pins=pins,
        certificate=certificates.certificate_der(issued),
        authority=authority.der,
    )


def _open_code(conn: Connection, asked: EnrolRequest, at_ms: int) -> tuple[Row[tuple[object, ...]], bytes]:
    """The gate's live code, proven by the message. Raises RefusedError."""
    codes = tables.enrolment_codes
    row = conn.execute(select(codes).where(codes.c.gate_id == asked.gate)).first()
    if row is None:
        raise _no_code()
    if row.expires_at <= at_ms:
        _audit_refusal(conn, asked.gate, "the code has expired")
        raise _no_code()
    if row.tries >= MAX_TRIES:
        raise _no_code()
    secret = bytes.fromhex(row.secret)
    if not enrol.is_request_proven(secret, asked):
        conn.execute(update(codes).where(codes.c.gate_id == asked.gate).values(tries=codes.c.tries + 1))
        _audit_refusal(conn, asked.gate, "a wrong code, or a request changed on its way")
        raise _no_code()
    return row, secret


def _no_code() -> RefusedError:
    return RefusedError(
        "no code is open that this request proves: it is mistyped, expired, used up, or another gate's",
        zh="没有可用的登记码:输入有误、已过期、已使用,或属于其他闸口",
    )


def _audit_refusal(conn: Connection, gate: str, words: str) -> None:
    write_audit(conn, _SYSTEM, "gate.enrol_refused", gate, words)


def _use_code(conn: Connection, gate: str, serial: str, at_ms: int) -> None:
    """Two requests at once: one of them gets it. Raises RefusedError for the other."""
    codes = tables.enrolment_codes
    taken = conn.execute(
        update(codes).where(codes.c.gate_id == gate, codes.c.used_at.is_(None)).values(used_at=at_ms, serial=serial)
    )
    if taken.rowcount != 1:
        raise _no_code()


def _issued_again(conn: Connection, serial: str, key: certificates.PublicKey) -> x509.Certificate:
    """What a used code was used for, if it is the same key that asks. Raises RefusedError."""
    found = tables.certificates
    row = conn.execute(select(found).where(found.c.serial == serial, found.c.state == "valid")).first()
    if row is None or row.key_sha256 != certificates.key_digest(key):
        if row is not None:
            _audit_refusal(conn, row.gate_id, "a code that was used before, with another key")
        raise _no_code()
    return certificates.read_certificate(base64.b64decode(row.certificate))


def renew(conn: Connection, authority: Authority, days: int, asked: RenewRequest, at_ms: int) -> RenewAnswer:
    """The next certificate of a gate that signs with the key of its present one. Raises RefusedError.

    The present one stays good until the gate is seen with the next: a lost answer cuts nobody off. Two keys that both
    follow one certificate are two gates.
    """
    found = tables.certificates
    row = conn.execute(select(found).where(found.c.serial == asked.serial, found.c.gate_id == asked.gate)).first()
    if row is None or row.state == "revoked" or _is_revoked(conn, asked.gate):
        raise _no_renewal()
    held = certificates.read_certificate(base64.b64decode(row.certificate))
    if not enrol.is_renewal_signed(certificates.certified_key(held), asked):
        raise _no_renewal()
    try:
        key = certificates.read_request(enrol.request_bytes(asked), asked.gate)
    except PayloadError as error:
        raise RefusedError(str(error)) from error
    digest = certificates.key_digest(key)
    next_one = conn.execute(select(found).where(found.c.follows == asked.serial)).first()
    if next_one is not None:
        if next_one.key_sha256 != digest or next_one.state == "revoked":
            write_audit(conn, _SYSTEM, "gate.clone", asked.gate, f"two keys want to follow certificate {asked.serial}")
            raise _no_renewal()
        return _renewed(asked.gate, certificates.read_certificate(base64.b64decode(next_one.certificate)), authority)
    if row.state != "valid" or at_ms > row.expires_at + RENEW_GRACE_MS:
        raise _no_renewal()
    issued = authority.issue_gate(asked.gate, key, days, datetime.fromtimestamp(at_ms / 1000, UTC))
    _keep(conn, asked.gate, issued, asked.serial, at_ms)
    write_audit(conn, _SYSTEM, "gate.renewed", asked.gate, certificates.serial_of(issued))
    return _renewed(asked.gate, issued, authority)


def _renewed(gate: str, issued: x509.Certificate, authority: Authority) -> RenewAnswer:
    return RenewAnswer(
        gate=gate,
        certificate=base64.b64encode(certificates.certificate_der(issued)).decode(),
        authority=base64.b64encode(authority.der).decode(),
    )


def _no_renewal() -> RefusedError:
    return RefusedError(
        "this certificate cannot be renewed: enrol the gate anew with `gatectl gate code` and `gatectl gate enrol`",
        zh="该证书不能续期:请用 gatectl gate code 与 gatectl gate enrol 重新登记",
    )


def _keep(conn: Connection, gate: str, issued: x509.Certificate, follows: str, at_ms: int) -> None:
    der = certificates.certificate_der(issued)
    conn.execute(
        insert(tables.certificates).values(
            serial=certificates.serial_of(issued),
            gate_id=gate,
            key_sha256=certificates.key_digest(certificates.certified_key(issued)),
            fingerprint=issued.fingerprint(hashes.SHA256()).hex(),
            certificate=base64.b64encode(der).decode(),
            state="valid",
            follows=follows,
            issued_at=at_ms,
            expires_at=int(issued.not_valid_after_utc.timestamp() * 1000),
        )
    )


def _end_others(conn: Connection, gate: str, at_ms: int) -> None:
    """A gate enrolled anew has a new card: what the old one held is taken back, and the gate is trusted again."""
    held = tables.certificates
    conn.execute(
        update(held).where(held.c.gate_id == gate, held.c.state == "valid").values(state="revoked", ended_at=at_ms)
    )
    gates = tables.gates
    conn.execute(update(gates).where(gates.c.id == gate).values(revoked_at=None, revoked_why="", instance=""))
    conn.execute(delete(tables.gate_instances).where(tables.gate_instances.c.gate_id == gate))


def _is_revoked(conn: Connection, gate: str) -> bool:
    gates = tables.gates.c
    return conn.scalar(select(gates.revoked_at).where(gates.id == gate)) is not None


def _require_gate(conn: Connection, gate: str) -> None:
    if conn.execute(select(tables.gates.c.id).where(tables.gates.c.id == gate)).first() is None:
        raise NotFoundError(f"no gate {gate!r}; `gatectl gate add` makes one", zh=f"没有闸口 {gate!r}")
