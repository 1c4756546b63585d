"""Visitors, couriers and other guests: a six-digit code, a signed pass and a plate for one visit (DOMAIN 1.2)."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, Row, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import mark_dirty, new_id, now_ms, write_audit
from gatectl.central.credentials import RESIDENTS, VEHICLES, in_use, level_id, mask_name
from gatectl.core.codes import CODE_DIGITS, code_key
from gatectl.core.model import CredentialKey, CredentialKind, GrantState, Profile, SiteId
from gatectl.core.plates import parse_plate, plate_key
from gatectl.errors import NotFoundError, RefusedError
from gatectl.wire.passes import NONCE_BYTES, Pass, encode_pass

PASS_ISSUER_FILE = "pass_issuer.pem"  # noqa: S105 - a file's name
"""The key that signs passes, in central's data_dir."""
GUESTS = (Profile.VISITOR, Profile.COURIER, Profile.DECORATOR, Profile.NANNY)
MAX_DAYS = 366
_SITE_TIME = timezone(timedelta(hours=8))
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the guest gets. The code stands nowhere else: it is shown once."""

    id: str
    code: str
    pass_text: str
    words_zh: str
    words_en: str


@dataclass(frozen=True, slots=True)
class Visit:
    """Who is invited. Times are UTC epoch seconds."""

    household_id: str
    surname: str
    valid_from_s: int
    valid_until_s: int
    uses: int | None = 1
    profile: Profile = Profile.VISITOR
    plate: str = ""
    max_stay_s: int = 0


def code_salt(conn: Connection, site: str) -> bytes:
    """The site's salt for codes, made at its first use."""
    settings = tables.site_settings
    found = conn.execute(select(settings.c.code_salt).where(settings.c.site_id == site)).scalar()
    if found:
        return bytes.fromhex(found)
    salt = secrets.token_bytes(16)
    if found is None:
        conn.execute(insert(settings).values(site_id=site, code_salt=salt.hex()))
    else:
        conn.execute(update(settings).where(settings.c.site_id == site).values(code_salt=salt.hex()))
    return salt


def issuer(conn: Connection, site: str, key: Ed25519PrivateKey) -> str:
    """The key id under which the site's gates know this key, noted in its list at the first use."""
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    kid = hashlib.sha256(public).hexdigest()[:8]
    issuers = tables.pass_issuers
    if conn.execute(select(issuers.c.kid).where(issuers.c.site_id == site, issuers.c.kid == kid)).first() is None:
        conn.execute(insert(issuers).values(site_id=site, kid=kid, public_key=public.hex(), created_at=now_ms()))
    return kid


def free_code(conn: Connection, site: str) -> tuple[str, CredentialKey]:
    """Six random digits that nobody at the site has, and their key."""
    salt, found = code_salt(conn, site), tables.credentials.c
    for _ in range(_TRIES):
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
        key = code_key(salt, code)
        if conn.execute(select(found.id).where(found.site_id == site, found.key == key)).first() is None:
            return code, key
    raise RefusedError("no free code was found; try again", zh="没有可用的访客码,请重试")


def invite(conn: Connection, actor: str, visit: Visit, key: Ed25519PrivateKey) -> Invitation:
    """Make a visit with its code, pass and plate. Raises NotFoundError, RefusedError."""
    home = conn.execute(
        select(tables.households).where(
            tables.households.c.id == visit.household_id, tables.households.c.closed_at.is_(None)
        )
    ).first()
    if home is None:
        raise NotFoundError(f"no household {visit.household_id!r}", zh="没有这户")
    _check(visit)
    site, visit_id = home.site_id, new_id()
    code, code_key_ = free_code(conn, site)
    nonce = secrets.token_bytes(NONCE_BYTES)
    text = encode_pass(
        Pass(SiteId(site), (), visit.valid_from_s, visit.valid_until_s, visit.uses or 255, nonce, visit.profile),
        issuer(conn, site, key),
        key,
    )
    code_id = _credential(conn, site, visit, CredentialKind.CODE, code_key_, RESIDENTS)
    plate = parse_plate(visit.plate) if visit.plate else None
    plate_id = None
    if plate is not None:
        _refuse_enrolled(conn, site, plate_key(plate.text))
        plate_id = _credential(conn, site, visit, CredentialKind.PLATE, plate_key(plate.text), VEHICLES)
    conn.execute(
        insert(tables.visits).values(
            id=visit_id,
            site_id=site,
            household_id=visit.household_id,
            visitor_name=visit.surname.strip()[:60],
            plate=plate.text if plate else "",
            valid_from_s=visit.valid_from_s,
            valid_until_s=visit.valid_until_s,
            uses=visit.uses,
            profile=visit.profile.value,
            code_credential_id=code_id,
            plate_credential_id=plate_id,
            pass_nonce=nonce.hex(),
            pass_text=text,
            created_by=actor[:60],
            created_at=now_ms(),
        )
    )
    mark_dirty(conn, site, urgent=True)
    write_audit(conn, actor, "visitor.invite", visit_id, f"{mask_name(visit.surname)} → {visit.household_id}")
    return Invitation(visit_id, code, text, *_words(conn, site, visit, code))


def _check(visit: Visit) -> None:
    minutes, rest = divmod(visit.valid_until_s - visit.valid_from_s, 60)
    if minutes <= 0 or rest or minutes > MAX_DAYS * 1440:
        raise RefusedError(
            f"a visit lasts whole minutes, {MAX_DAYS} days at most, and ends after it begins",
            zh=f"访问时间须为整分钟、结束晚于开始,最长 {MAX_DAYS} 天",
        )
    if visit.valid_until_s * 1000 <= now_ms():
        raise RefusedError("the visit's time is past", zh="访问时间已过")
    if not visit.surname.strip():
        raise RefusedError("a visitor needs a surname", zh="请填写访客姓氏")
    if visit.profile not in GUESTS:
        raise RefusedError(f"a guest is one of {', '.join(GUESTS)}", zh=f"访客类型应为 {'、'.join(GUESTS)}")
    if visit.uses is not None and not 0 < visit.uses < 256:
        raise RefusedError("a pass has 1 to 255 entries", zh="通行次数应为 1 到 255")
    if visit.plate and parse_plate(visit.plate) is None:
        raise RefusedError(f"{visit.plate!r} is not a plate", zh=f"“{visit.plate}”不是有效车牌")


def _refuse_enrolled(conn: Connection, site: str, key: CredentialKey) -> None:
    found = tables.credentials.c
    taken = select(found.id).where(found.site_id == site, found.key == key, in_use(now_ms() // 1000))
    if conn.execute(taken).first() is not None:
        raise RefusedError("this plate has a right here already", zh="该车牌已在本小区登记")


def _credential(conn: Connection, site: str, visit: Visit, kind: CredentialKind, key: CredentialKey, level: str) -> str:
    """A guest's credential; a revoked one with the same key is taken over."""
    found, at_ms = tables.credentials.c, now_ms()
    values: dict[str, Any] = {
        "household_id": visit.household_id,
        "cardholder_id": None,
        "kind": kind.value,
        "state": GrantState.ACTIVE.value,
        "valid_from_s": visit.valid_from_s,
        "valid_until_s": visit.valid_until_s,
        "profile": visit.profile.value,
        "uses": visit.uses,
        "max_stay_s": visit.max_stay_s,
        "exit_until_s": None,
        "has_fixed_space": False,
        "note": "",
        "changed_at": at_ms,
    }
    old = conn.execute(select(found.id).where(found.site_id == site, found.key == key)).scalar()
    credential_id = str(old or new_id(at_ms))
    if old is not None:
        conn.execute(update(tables.credentials).where(found.id == old).values(**values))
    else:
        conn.execute(
            insert(tables.credentials).values(id=credential_id, site_id=site, key=key, created_at=at_ms, **values)
        )
    given = tables.credential_levels
    wanted = level_id(conn, site, level)
    if (
        conn.execute(select(given).where(given.c.credential_id == credential_id, given.c.level_id == wanted)).first()
        is None
    ):
        conn.execute(insert(given).values(credential_id=credential_id, level_id=wanted))
    return credential_id


def _words(conn: Connection, site: str, visit: Visit, code: str) -> tuple[str, str]:
    """A message to send to the guest, in both languages."""
    name = conn.execute(select(tables.sites.c.name_zh, tables.sites.c.name_en).where(tables.sites.c.id == site)).one()
    begin, end = (
        datetime.fromtimestamp(at_s, UTC).astimezone(_SITE_TIME).strftime("%m-%d %H:%M")
        for at_s in (visit.valid_from_s, visit.valid_until_s)
    )
    zh = f"【{name.name_zh}】访客码 {code},{begin} 至 {end} 有效"
    en = f"{name.name_en}: visitor code {code}, valid {begin} to {end}"
    if visit.uses is not None:
        zh, en = f"{zh},可进入 {visit.uses} 次", f"{en}, {visit.uses} entr{'y' if visit.uses == 1 else 'ies'}"
    return f"{zh}。", f"{en}."


def cancel(conn: Connection, actor: str, visit_id: str) -> None:
    """Withdraw a visit at every gate. Raises NotFoundError."""
    row = _visit(conn, visit_id)
    found = tables.credentials.c
    ids = [value for value in (row.code_credential_id, row.plate_credential_id) if value is not None]
    values = {"state": GrantState.REVOKED.value, "changed_at": now_ms()}
    # a plate that came again for another visit, or was registered since, is not this visit's any more
    same = (found.valid_from_s == row.valid_from_s) & (found.valid_until_s == row.valid_until_s)
    conn.execute(update(tables.credentials).where(found.id.in_(ids), same).values(**values))
    if row.pass_nonce:
        visit = Visit(
            row.household_id, row.visitor_name, row.valid_from_s, row.valid_until_s, row.uses, Profile(row.profile)
        )
        withdrawn = _credential(
            conn, row.site_id, visit, CredentialKind.PASS, CredentialKey(f"pass:{row.pass_nonce}"), RESIDENTS
        )
        conn.execute(update(tables.credentials).where(found.id == withdrawn).values(**values))
    conn.execute(
        update(tables.visits).where(tables.visits.c.id == visit_id).values(state="cancelled", cancelled_at=now_ms())
    )
    mark_dirty(conn, row.site_id, urgent=True)
    write_audit(conn, actor, "visitor.cancel", visit_id)


def _visit(conn: Connection, visit_id: str) -> Row[Any]:
    row = conn.execute(select(tables.visits).where(tables.visits.c.id == visit_id)).first()
    if row is None:
        raise NotFoundError(f"no visit {visit_id!r}", zh="没有这次访问")
    return row


def site_of(conn: Connection, visit_id: str) -> str:
    """The site of a visit. Raises NotFoundError."""
    return str(_visit(conn, visit_id).site_id)


def find_code(conn: Connection, site: str, code: str) -> Row[Any] | None:
    """The visit whose code this is."""
    found = tables.credentials.c
    key = code_key(code_salt(conn, site), code)
    query = select(tables.visits).join(tables.credentials, found.id == tables.visits.c.code_credential_id)
    return conn.execute(query.where(found.site_id == site, found.key == key)).first()


def visit(conn: Connection, visit_id: str) -> Row[Any]:
    """One visit. Raises NotFoundError."""
    return _visit(conn, visit_id)


def visit_state(row: Row[Any], now_s: int) -> str:
    """issued, expected (not yet), arrived, overstay (arrived and its time is over), left, expired or cancelled."""
    if row.state in ("left", "cancelled"):
        return str(row.state)
    if row.state == "arrived":
        return "overstay" if row.valid_until_s <= now_s else "arrived"
    if row.valid_until_s <= now_s:
        return "expired"
    return "expected" if row.valid_from_s > now_s else "issued"


def visits(conn: Connection, site: str, *, now_s: int, is_all: bool = False) -> list[Row[Any]]:
    """Visits that are not over, soonest first; with `is_all` the past ones too."""
    query = select(tables.visits).where(tables.visits.c.site_id == site).order_by(tables.visits.c.valid_from_s)
    if not is_all:
        query = query.where(tables.visits.c.valid_until_s > now_s, tables.visits.c.state != "cancelled")
    return list(conn.execute(query))
