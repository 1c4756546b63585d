"""Staff accounts: the first admin's one-time token, passwords, sessions."""

import hashlib
import re
import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from gatectl.central import tables
from gatectl.central.audit import new_id, now_ms, write_audit
from gatectl.errors import NotFoundError, RefusedError

ROLES = ("admin", "manager", "guard", "viewer")
MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 256
SESSION_TTL_S = 12 * 3600
MAX_FAILURES = 5
LOCKOUT_S = 5 * 60
_LOGIN = re.compile(r"[\w.@-]{2,60}")
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))
"""Checked for an unknown login, so that it takes as long as a known one."""


@dataclass(frozen=True, slots=True)
class StaffRow:
    """One staff account, without its secrets."""

    id: str
    login: str
    name: str
    role: str
    language: str
    created_at_ms: int
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class SetupToken:
    """A live one-time token: `first_admin`, or `reset` of a named account."""

    purpose: str
    login: str
    expires_at_ms: int


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _row(row: Row[tuple[object, ...]]) -> StaffRow:
    return StaffRow(
        id=row.id,
        login=row.login,
        name=row.name,
        role=row.role,
        language=row.language,
        created_at_ms=row.created_at,
        is_disabled=row.disabled_at is not None,
    )


def has_staff(conn: Connection) -> bool:
    """At least one account exists: first-run set-up is over."""
    return conn.execute(select(func.count()).select_from(tables.staff)).scalar_one() > 0


def list_staff(conn: Connection) -> list[StaffRow]:
    """Every account, by login."""
    return [_row(row) for row in conn.execute(select(tables.staff).order_by(tables.staff.c.login))]


def check_password(login: str, password: str) -> None:
    """Raise RefusedError unless the password is long enough and not the login."""
    if len(password) < MIN_PASSWORD_CHARS:
        raise RefusedError(
            f"the password needs at least {MIN_PASSWORD_CHARS} characters",
            zh=f"密码至少 {MIN_PASSWORD_CHARS} 个字符",
        )
    if len(password) > MAX_PASSWORD_CHARS:
        raise RefusedError(f"the password is longer than {MAX_PASSWORD_CHARS} characters", zh="密码过长")
    if password.strip().casefold() == login.strip().casefold():
        raise RefusedError("the password must not be the login", zh="密码不能与登录名相同")
    if len(set(password)) < 3:
        raise RefusedError("the password is one or two characters repeated", zh="密码过于简单")


def make_setup_token(conn: Connection, ttl_s: int = 3600) -> str:
    """A one-time token for the page that makes the first admin. Raises RefusedError once an account exists."""
    if has_staff(conn):
        raise RefusedError(
            "an account exists already; use `gatectl users reset`", zh="已有账号,请用 gatectl users reset"
        )
    return _new_token(conn, "first_admin", None, ttl_s)


def make_reset_token(conn: Connection, actor: str, login: str, ttl_s: int = 3600) -> str:
    """A one-time token with which the account's owner sets a new password. Raises NotFoundError."""
    row = _by_login(conn, login)
    if row is None:
        raise NotFoundError(f"no account {login!r}", zh=f"没有账号 {login!r}")
    write_audit(conn, actor, "staff.reset_token", row.login)
    return _new_token(conn, "reset", row.id, ttl_s)


def _new_token(conn: Connection, purpose: str, staff_id: str | None, ttl_s: int) -> str:
    token = secrets.token_urlsafe(24)
    conn.execute(
        insert(tables.setup_tokens).values(
            token_hash=_sha256(token), purpose=purpose, staff_id=staff_id, expires_at=now_ms() + ttl_s * 1000
        )
    )
    return token


def setup_token(conn: Connection, token: str) -> SetupToken | None:
    """What a token is for, while it is neither used nor expired."""
    row = _live_token(conn, token)
    if row is None:
        return None
    login = ""
    if row.staff_id is not None:
        login = conn.execute(select(tables.staff.c.login).where(tables.staff.c.id == row.staff_id)).scalar_one()
    return SetupToken(row.purpose, login, row.expires_at)


def _live_token(conn: Connection, token: str) -> Row[tuple[object, ...]] | None:
    found = tables.setup_tokens.c
    row = conn.execute(
        select(tables.setup_tokens).where(
            found.token_hash == _sha256(token), found.used_at.is_(None), found.expires_at > now_ms()
        )
    ).first()
    if row is not None and row.purpose == "first_admin" and has_staff(conn):
        return None
    return row


def use_setup_token(conn: Connection, token: str, login: str, password: str) -> str:
    """Make the first admin, or set the account's new password; the staff id. Raises RefusedError."""
    row = _live_token(conn, token)
    if row is None:
        raise RefusedError("this link is used up or has expired", zh="此链接已使用或已过期")
    used = conn.execute(
        update(tables.setup_tokens)
        .where(tables.setup_tokens.c.token_hash == row.token_hash, tables.setup_tokens.c.used_at.is_(None))
        .values(used_at=now_ms())
    )
    if used.rowcount != 1:
        raise RefusedError("this link is used up or has expired", zh="此链接已使用或已过期")
    if row.staff_id is None:
        return add_staff(conn, "setup", login, password, role="admin")
    account = conn.execute(select(tables.staff).where(tables.staff.c.id == row.staff_id)).one()
    reset_password(conn, account.login, account.login, password)
    return str(account.id)


def add_staff(
    conn: Connection, actor: str, login: str, password: str, *, role: str, name: str = "", language: str = "zh"
) -> str:
    """A new account; its id. Raises RefusedError (login taken or malformed, weak password, unknown role)."""
    login = login.strip()
    if not _LOGIN.fullmatch(login):
        raise RefusedError(
            "a login has 2 to 60 letters, digits or . _ @ -", zh="登录名为 2–60 个字母、汉字、数字或 . _ @ -"
        )
    if role not in ROLES:
        raise RefusedError(f"unknown role {role!r}; one of: {', '.join(ROLES)}", zh=f"没有这个角色:{role}")
    check_password(login, password)
    if _by_login(conn, login) is not None:
        raise RefusedError(f"the login {login!r} is taken", zh=f"登录名 {login!r} 已被使用")
    staff_id = new_id()
    conn.execute(
        insert(tables.staff).values(
            id=staff_id,
            login=login,
            name=(name.strip() or login)[:60],
            password_hash=_HASHER.hash(password),
            role=role,
            language=language,
            created_at=now_ms(),
        )
    )
    write_audit(conn, actor, "staff.add", login, role)
    return staff_id


def reset_password(conn: Connection, actor: str, login: str, password: str) -> None:
    """Set a new password and end every session of the account. Raises NotFoundError, RefusedError."""
    row = _by_login(conn, login)
    if row is None:
        raise NotFoundError(f"no account {login!r}", zh=f"没有账号 {login!r}")
    check_password(row.login, password)
    conn.execute(update(tables.staff).where(tables.staff.c.id == row.id).values(password_hash=_HASHER.hash(password)))
    conn.execute(delete(tables.sessions).where(tables.sessions.c.staff_id == row.id))
    write_audit(conn, actor, "staff.reset", row.login)


def _by_login(conn: Connection, login: str) -> Row[tuple[object, ...]] | None:
    return conn.execute(select(tables.staff).where(func.lower(tables.staff.c.login) == login.strip().lower())).first()


def sign_in(conn: Connection, login: str, password: str) -> str | None:
    """A session token, or None. Raises RefusedError while the login is locked. Commit either way: failures count."""
    row = _by_login(conn, login)
    subject = row.login if row is not None else f"unknown:{_sha256(login.strip().lower())[:16]}"
    at_ms = now_ms()
    if _recent_failures(conn, subject, at_ms) >= MAX_FAILURES:
        raise RefusedError(
            f"too many wrong passwords; try again in {LOCKOUT_S // 60} minutes",
            zh=f"密码错误次数过多,请 {LOCKOUT_S // 60} 分钟后再试",
        )
    is_right = _verify(row.password_hash if row is not None else _NOBODY, password)
    if row is None or not is_right or row.disabled_at is not None:
        write_audit(conn, "", "staff.sign_in_failed", subject)
        return None
    if _HASHER.check_needs_rehash(row.password_hash):
        conn.execute(
            update(tables.staff).where(tables.staff.c.id == row.id).values(password_hash=_HASHER.hash(password))
        )
    token = secrets.token_urlsafe(32)
    conn.execute(delete(tables.sessions).where(tables.sessions.c.expires_at <= at_ms))
    conn.execute(
        insert(tables.sessions).values(
            token_hash=_sha256(token),
            staff_id=row.id,
            created_at=at_ms,
            seen_at=at_ms,
            expires_at=at_ms + SESSION_TTL_S * 1000,
        )
    )
    write_audit(conn, row.login, "staff.sign_in", row.login)
    return token


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password[:MAX_PASSWORD_CHARS])
    except (VerifyMismatchError, InvalidHashError):
        return False


def _recent_failures(conn: Connection, subject: str, at_ms: int) -> int:
    """Failures within the lockout time, since the last success."""
    rows = conn.execute(
        select(tables.audit.c.action)
        .where(
            tables.audit.c.subject == subject,
            tables.audit.c.action.in_(("staff.sign_in", "staff.sign_in_failed", "staff.reset")),
            tables.audit.c.at > at_ms - LOCKOUT_S * 1000,
        )
        .order_by(tables.audit.c.id.desc())
        .limit(MAX_FAILURES)
    ).scalars()
    failures = 0
    for action in rows:
        if action != "staff.sign_in_failed":
            break
        failures += 1
    return failures


def staff_of(conn: Connection, token: str) -> StaffRow | None:
    """The account that a session belongs to, while it lasts."""
    if not token:
        return None
    row = conn.execute(
        select(tables.staff)
        .join(tables.sessions, tables.sessions.c.staff_id == tables.staff.c.id)
        .where(
            tables.sessions.c.token_hash == _sha256(token),
            tables.sessions.c.expires_at > now_ms(),
            tables.staff.c.disabled_at.is_(None),
        )
    ).first()
    return None if row is None else _row(row)


def set_language(conn: Connection, staff_id: str, language: str) -> None:
    """Remember the language an account reads in."""
    if language not in ("zh", "en"):
        raise RefusedError(f"unknown language {language!r}", zh="没有这种语言")
    conn.execute(update(tables.staff).where(tables.staff.c.id == staff_id).values(language=language))


def sign_out(conn: Connection, token: str) -> None:
    """End a session; nothing happens if it has ended."""
    conn.execute(delete(tables.sessions).where(tables.sessions.c.token_hash == _sha256(token)))
