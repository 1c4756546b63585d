"""Which identities hold: certificates as listed, revocation, two gates on one identity, and what the broker is told."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import now_ms, write_audit
from gatectl.central.authority import CA_FILE, Authority
from gatectl.errors import NotFoundError, RefusedError, StoreError
from gatectl.wire.acl import acl_text
from gatectl.wire.messages import Heartbeat

ACL_FILE = "gatectl.acl"
CRL_FILE = "gatectl.crl"
CERTIFICATE_ENDS_SOON_MS = 30 * 86_400_000
_SYSTEM = "system"
_MAX_WHY_CHARS = 200

IdentityState = Literal["none", "valid", "ends_soon", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class GateIdentity:
    """A gate and the certificate that it has now. Times are UTC epoch ms."""

    gate: str
    site: str
    state: IdentityState
    serial: str
    fingerprint: str
    """SHA-256 of the certificate, hex."""
    issued_at_ms: int | None
    expires_at_ms: int | None
    seen_at_ms: int | None
    """Its first heartbeat over this certificate."""
    revoked_at_ms: int | None
    revoked_why: str


def identities(conn: Connection, at_ms: int) -> tuple[GateIdentity, ...]:
    """Every gate, in the order of site and id, with the newest of its certificates."""
    held = tables.certificates
    rows = {row.gate_id: row for row in conn.execute(select(held).order_by(held.c.issued_at, held.c.expires_at))}
    gates = tables.gates
    found = []
    for gate in conn.execute(select(gates).order_by(gates.c.site_id, gates.c.id)):
        row = rows.get(gate.id)
        state: IdentityState = "none"
        if gate.revoked_at is not None or (row is not None and row.state == "revoked"):
            state = "revoked"
        elif row is not None:
            left_ms = row.expires_at - at_ms
            state = "expired" if left_ms <= 0 else "ends_soon" if left_ms < CERTIFICATE_ENDS_SOON_MS else "valid"
        found.append(
            GateIdentity(
                gate=gate.id,
                site=gate.site_id,
                state=state,
                serial=row.serial if row is not None else "",
                fingerprint=row.fingerprint if row is not None else "",
                issued_at_ms=row.issued_at if row is not None else None,
                expires_at_ms=row.expires_at if row is not None else None,
                seen_at_ms=row.seen_at if row is not None else None,
                revoked_at_ms=gate.revoked_at,
                revoked_why=gate.revoked_why,
            )
        )
    return tuple(found)


def revoke(conn: Connection, actor: str, gate: str, why: str) -> None:
    """Take a gate's certificates and rights away; it is enrolled anew to come back. Raises NotFoundError, RefusedError.

    The gate goes on opening for the list that it has: only its words are no longer taken.
    """
    if not why.strip():
        raise RefusedError("a reason is mandatory", zh="必须填写原因")
    gates, held = tables.gates, tables.certificates
    found = conn.execute(select(gates.c.revoked_at).where(gates.c.id == gate)).first()
    if found is None:
        raise NotFoundError(f"no gate {gate!r}", zh=f"没有闸口 {gate!r}")
    if found.revoked_at is not None:
        return
    at_ms = now_ms()
    conn.execute(
        update(held).where(held.c.gate_id == gate, held.c.state == "valid").values(state="revoked", ended_at=at_ms)
    )
    conn.execute(
        update(gates)
        .where(gates.c.id == gate)
        .values(revoked_at=at_ms, revoked_why=why.strip()[:_MAX_WHY_CHARS], is_online=False, offline_since=at_ms)
    )
    codes = tables.enrolment_codes
    conn.execute(update(codes).where(codes.c.gate_id == gate).values(expires_at=at_ms))
    write_audit(conn, actor, "gate.revoked", gate, why.strip()[:_MAX_WHY_CHARS])


def revoked_gates(conn: Connection) -> frozenset[str]:
    """The gates in whose name nothing is taken."""
    gates = tables.gates.c
    return frozenset(conn.execute(select(gates.id).where(gates.revoked_at.is_not(None))).scalars())


# --- two gates on one identity ---


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What shows that two gates use one identity."""

    words: str
    is_sure: bool
    """Enough to take the identity away. An account with a password alone may be thrown out by others."""


def note_beat(conn: Connection, gate: str, beat: Heartbeat, at_ms: int) -> Suspicion | None:
    """Look at who is speaking: None while nothing shows that there are two of them.

    Each run of a daemon has a random id. A run that another one has followed has ended, so one that comes back is a
    second gate: no restart and no network does that. A gate whose live connection the broker handed to another with
    the same identity says so in `taken_over`.
    """
    gates = tables.gates
    if not beat.instance:
        return None
    known = conn.execute(select(gates.c.instance, gates.c.taken_over).where(gates.c.id == gate)).one()
    takeovers = beat.counters.get("taken_over", 0)
    found: Suspicion | None = None
    if beat.instance != known.instance:
        runs = tables.gate_instances
        was_here = conn.execute(
            select(runs.c.first_at).where(runs.c.gate_id == gate, runs.c.instance == beat.instance)
        ).first()
        if was_here is None:
            conn.execute(insert(runs).values(gate_id=gate, instance=beat.instance, first_at=at_ms))
        else:
            found = Suspicion("two gates speak with one identity: a run that another had followed is back", True)
        conn.execute(
            update(gates).where(gates.c.id == gate).values(instance=beat.instance, taken_over=max(0, takeovers))
        )
    elif takeovers > known.taken_over:
        words = "the gate says that another with its identity took over its connection"
        found = Suspicion(words, is_sure=bool(beat.certificate))
        conn.execute(update(gates).where(gates.c.id == gate).values(taken_over=takeovers))
    _note_certificate(conn, gate, beat.certificate, at_ms)
    return found


def _note_certificate(conn: Connection, gate: str, serial: str, at_ms: int) -> None:
    """A gate seen with its renewed certificate needs the earlier one no more."""
    if not serial:
        return
    held = tables.certificates
    mine = (held.c.gate_id == gate) & (held.c.state == "valid")
    row = conn.execute(select(held.c.seen_at, held.c.follows).where(mine, held.c.serial == serial)).first()
    if row is None or row.seen_at is not None:
        return
    conn.execute(update(held).where(held.c.serial == serial).values(seen_at=at_ms))
    if row.follows:
        conn.execute(update(held).where(mine, held.c.serial == row.follows).values(state="superseded", ended_at=at_ms))


def report_clone(conn: Connection, gate: str, words: str, *, is_revoked_now: bool) -> None:
    """Write it down; with `is_revoked_now` both are stopped until a person has looked and enrols the right one."""
    write_audit(conn, _SYSTEM, "gate.clone", gate, words)
    if is_revoked_now:
        revoke(conn, _SYSTEM, gate, words)


# --- what the broker is told ---


def broker_acl(conn: Connection, central: str) -> str:
    """mosquitto's ACL: every gate that is not revoked, with its own topics and its own site's list."""
    gates = tables.gates.c
    rows = conn.execute(select(gates.id, gates.site_id).where(gates.revoked_at.is_(None)))
    return acl_text(central, [(row.id, row.site_id) for row in rows if row.id != central])


def revoked_serials(conn: Connection, at_ms: int) -> tuple[str, ...]:
    """Certificates that were taken back or superseded and would otherwise still be good."""
    held = tables.certificates.c
    query = select(held.serial).where(held.state != "valid", held.expires_at > at_ms).order_by(held.serial)
    return tuple(conn.execute(query).scalars())


class BrokerFiles:
    """The folder that the broker's files are kept in; each is written whole, and only when it says something new."""

    def __init__(self, folder: Path, authority: Authority, central: str) -> None:
        self._folder = folder
        self._authority = authority
        self._central = central
        self._acl: str | None = None
        self._serials: tuple[str, ...] | None = None

    def refresh(self, conn: Connection, at: datetime) -> bool:
        """Whether something was written. Raises StoreError (disk), RefusedError (the key for the list is offline).

        While the list cannot be signed, the ACL alone keeps a revoked gate from saying or hearing anything.
        """
        acl = broker_acl(conn, self._central)
        serials = revoked_serials(conn, int(at.timestamp() * 1000))
        is_acl_new, is_list_new = acl != self._acl, serials != self._serials
        refusal: RefusedError | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if is_list_new:
                try:
                    _write(self._folder / CRL_FILE, self._authority.revocations(serials, at))
                    self._serials = serials
                except RefusedError as error:
                    refusal = error
            if is_acl_new:
                _write(self._folder / CA_FILE, self._authority.pem)
                _write(self._folder / ACL_FILE, acl.encode())
                self._acl = acl
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror}") from error
        if refusal is not None:
            raise refusal
        return is_acl_new or is_list_new


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.chmod(0o644)
    part.replace(path)
