"""Staff accounts: the first admin's link, sign-in, lockout, reset."""

import pytest
from sqlalchemy import Connection, select, update

from gatectl.central import staff, tables
from gatectl.errors import NotFoundError, RefusedError

GOOD = "correct horse"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 at its smallest: the tests check rules, not the cost of a hash."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(staff, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def _admin(conn: Connection) -> str:
    return staff.add_staff(conn, "test", "Chen", GOOD, role="admin")


def _expire(conn: Connection) -> None:
    conn.execute(update(tables.setup_tokens).values(expires_at=1))
    conn.execute(update(tables.sessions).values(expires_at=1))


def test_the_first_admin_is_made_once_by_the_link_and_never_again(conn: Connection) -> None:
    token, second = staff.make_setup_token(conn), staff.make_setup_token(conn)
    live = staff.setup_token(conn, token)
    assert live is not None
    assert live.purpose == "first_admin"
    staff_id = staff.use_setup_token(conn, token, "chen", GOOD)
    assert [(row.id, row.role) for row in staff.list_staff(conn)] == [(staff_id, "admin")]
    for used in (token, second):
        assert staff.setup_token(conn, used) is None
        with pytest.raises(RefusedError):
            staff.use_setup_token(conn, used, "eve", GOOD)
    with pytest.raises(RefusedError):
        staff.make_setup_token(conn)


def test_a_token_is_stored_only_as_its_hash_and_dies_in_time(conn: Connection) -> None:
    token = staff.make_setup_token(conn)
    assert conn.execute(select(tables.setup_tokens.c.token_hash)).scalar_one() != token
    _expire(conn)
    assert staff.setup_token(conn, token) is None
    with pytest.raises(RefusedError):
        staff.use_setup_token(conn, token, "chen", GOOD)


@pytest.mark.parametrize("password", ["short", "123456789", "a-long-login", "A-LONG-LOGIN", "aaaaaaaaaaaa", "x" * 300])
def test_a_weak_password_is_refused(conn: Connection, password: str) -> None:
    with pytest.raises(RefusedError):
        staff.add_staff(conn, "test", "a-long-login", password, role="viewer")
    assert not staff.has_staff(conn)


def test_a_weak_password_does_not_use_the_link_up(conn: Connection) -> None:
    token = staff.make_setup_token(conn)
    savepoint = conn.begin_nested()
    with pytest.raises(RefusedError):
        staff.use_setup_token(conn, token, "chen", "short")
    savepoint.rollback()
    assert staff.setup_token(conn, token) is not None


@pytest.mark.parametrize(("login", "role"), [("x", "admin"), ("a b", "admin"), ("CHEN", "admin"), ("li", "root")])
def test_a_malformed_or_taken_login_or_an_unknown_role_is_refused(conn: Connection, login: str, role: str) -> None:
    _admin(conn)
    with pytest.raises(RefusedError):
        staff.add_staff(conn, "test", login, GOOD, role=role)


def test_a_session_lasts_until_sign_out(conn: Connection) -> None:
    staff_id = _admin(conn)
    token = staff.sign_in(conn, "chen", GOOD)
    assert token is not None
    assert conn.execute(select(tables.sessions.c.token_hash)).scalar_one() != token
    found = staff.staff_of(conn, token)
    assert found is not None
    assert (found.id, found.login, found.role) == (staff_id, "Chen", "admin")
    staff.set_language(conn, staff_id, "en")
    again = staff.staff_of(conn, token)
    assert again is not None
    assert again.language == "en"
    staff.sign_out(conn, token)
    assert staff.staff_of(conn, token) is None
    assert staff.staff_of(conn, "") is None


def test_an_expired_session_and_a_disabled_account_are_nobody(conn: Connection) -> None:
    _admin(conn)
    token = staff.sign_in(conn, "chen", GOOD)
    assert token is not None
    conn.execute(update(tables.staff).values(disabled_at=1))
    assert staff.staff_of(conn, token) is None
    assert staff.sign_in(conn, "chen", GOOD) is None
    conn.execute(update(tables.staff).values(disabled_at=None))
    assert staff.staff_of(conn, token) is not None
    _expire(conn)
    assert staff.staff_of(conn, token) is None


@pytest.mark.parametrize("login", ["chen", "nobody"])
def test_five_wrong_passwords_lock_a_login_known_or_not(conn: Connection, login: str) -> None:
    _admin(conn)
    for _ in range(staff.MAX_FAILURES):
        assert staff.sign_in(conn, login, "wrong password") is None
    with pytest.raises(RefusedError):
        staff.sign_in(conn, login, GOOD)
    conn.execute(update(tables.audit).values(at=tables.audit.c.at - staff.LOCKOUT_S * 1000 - 1))
    assert (staff.sign_in(conn, login, GOOD) is not None) == (login == "chen")


def test_a_right_password_forgets_the_wrong_ones_before_it(conn: Connection) -> None:
    _admin(conn)
    for _ in range(3):
        for _ in range(staff.MAX_FAILURES - 1):
            assert staff.sign_in(conn, "chen", "wrong password") is None
        assert staff.sign_in(conn, "chen", GOOD)


def test_what_was_typed_as_an_unknown_login_is_not_kept(conn: Connection) -> None:
    staff.sign_in(conn, "my secret password", "x")
    assert "secret" not in str(conn.execute(select(tables.audit)).all())


def test_a_reset_link_sets_the_password_ends_sessions_and_lifts_the_lock(conn: Connection) -> None:
    staff_id = _admin(conn)
    session = staff.sign_in(conn, "chen", GOOD)
    assert session is not None
    for _ in range(staff.MAX_FAILURES):
        staff.sign_in(conn, "chen", "wrong password")
    token = staff.make_reset_token(conn, "cli", "chen")
    live = staff.setup_token(conn, token)
    assert live is not None
    assert (live.purpose, live.login) == ("reset", "Chen")
    assert staff.use_setup_token(conn, token, "", "another good one") == staff_id
    assert staff.staff_of(conn, session) is None
    assert staff.sign_in(conn, "chen", "another good one")
    with pytest.raises(NotFoundError):
        staff.make_reset_token(conn, "cli", "nobody")
