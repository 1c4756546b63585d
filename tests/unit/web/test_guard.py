"""The guard in front of every view: roles, cross-site checks, safe ways back."""

import pytest

from gatectl.central.web.guard import ROLES, Role, has_role, is_same_origin, safe_path


@pytest.mark.parametrize(
    ("held", "needed", "is_enough"),
    [
        ("viewer", "viewer", True),
        ("viewer", "guard", False),
        ("guard", "viewer", True),
        ("manager", "admin", False),
        ("admin", "manager", True),
        ("janitor", "viewer", False),
        ("", "viewer", False),
    ],
)
def test_a_role_may_all_that_the_ones_before_it_may(held: str, needed: Role, is_enough: bool) -> None:
    assert has_role(held, needed) is is_enough


def test_the_roles_are_ordered_from_least_to_most() -> None:
    assert ROLES == ("viewer", "guard", "manager", "admin")


@pytest.mark.parametrize(
    ("method", "headers", "is_ok"),
    [
        ("GET", {"sec-fetch-site": "cross-site"}, True),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "none"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": "http://gate.lan", "host": "gate.lan"}, False),
        ("POST", {"origin": "http://gate.lan:8080", "host": "gate.lan:8080"}, True),
        ("POST", {"origin": "http://evil.example", "host": "gate.lan:8080"}, False),
        ("POST", {"origin": "null", "host": "gate.lan:8080"}, False),
        ("POST", {"host": "gate.lan:8080"}, True),
    ],
)
def test_another_site_may_look_but_not_act(method: str, headers: dict[str, str], is_ok: bool) -> None:
    assert is_same_origin(method, headers) is is_ok


@pytest.mark.parametrize(
    "given",
    ["", None, "https://evil.example/", "//evil.example", "/\\evil.example", "events", "/a\r\nSet-Cookie: x", "/\x00"],
)
def test_the_way_back_never_leads_elsewhere(given: str | None) -> None:
    assert safe_path(given) == "/events"


def test_the_way_back_keeps_a_path_of_our_own() -> None:
    assert safe_path("/events?plate=E123") == "/events?plate=E123"
