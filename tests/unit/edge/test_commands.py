"""Remote orders: a gate opens for none that fails one test (PROTOCOLS 9)."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatectl.core.lane_io import EmergencyOrdered, OpenOrdered, RefuseOrdered
from gatectl.core.model import ClockTrust, GateId, LaneId
from gatectl.core.reasons import Reason
from gatectl.edge.clock import SystemClock
from gatectl.edge.commands import CommandJudge, Refusal
from gatectl.edge.inbox import LaneOrder
from gatectl.wire.messages import Command
from gatectl.wire.signed import seal

KEY = Ed25519PrivateKey.generate()
NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


class FixedClock(SystemClock):
    """A clock that stands where a test puts it."""

    def __init__(self, now: datetime = NOW, trust: ClockTrust = ClockTrust.SYNCED) -> None:
        super().__init__()
        self.at = now
        self.its_trust = trust

    def now(self) -> datetime:
        return self.at

    def trust(self) -> ClockTrust:
        return self.its_trust


def a_judge(clock: SystemClock | None = None) -> CommandJudge:
    lanes = frozenset({LaneId("car-in")})
    return CommandJudge(GateId("north"), lanes, (KEY.public_key(),), clock or FixedClock())


def an_order(judge: CommandJudge, *, key: Ed25519PrivateKey = KEY, **changes: Any) -> bytes:
    fields: dict[str, object] = {
        "id": "c1",
        "gate": "north",
        "lane": "car-in",
        "action": "open",
        "reason": "GUARD_OPEN",
        "issuer": "li.wei",
        "nonce": secrets.token_hex(8),
        "challenge": judge.challenge,
        "counter": 1,
        "issued": NOW,
        "expires": NOW + timedelta(seconds=10),
    }
    command = Command.model_validate({**fields, **changes})
    return seal(command.model_dump_json().encode(), "cmd", key)


def refused(judge: CommandJudge, payload: bytes, *, is_retained: bool = False) -> str:
    outcome = judge.judge(payload, is_retained=is_retained)
    assert isinstance(outcome, Refusal)
    return outcome.words


def test_a_fresh_signed_order_is_carried_out() -> None:
    judge = a_judge()
    outcome = judge.judge(an_order(judge), is_retained=False)
    assert isinstance(outcome, LaneOrder)
    assert isinstance(outcome.order, OpenOrdered)
    assert (outcome.lane, outcome.order.actor, outcome.order.reason) == ("car-in", "li.wei", Reason.GUARD_OPEN)


def test_a_refusal_of_the_held_car_is_an_order_too() -> None:
    judge = a_judge()
    outcome = judge.judge(an_order(judge, action="refuse"), is_retained=False)
    assert isinstance(outcome, LaneOrder)
    assert isinstance(outcome.order, RefuseOrdered)


@pytest.mark.parametrize(("action", "is_release"), [("emergency_open", False), ("emergency_release", True)])
def test_an_emergency_is_ordered_and_released_by_a_named_person(action: str, is_release: bool) -> None:
    judge = a_judge()
    outcome = judge.judge(an_order(judge, action=action, note="火警"), is_retained=False)
    assert isinstance(outcome, LaneOrder)
    assert isinstance(outcome.order, EmergencyOrdered)
    assert (outcome.order.is_release, outcome.order.actor, outcome.order.note) == (is_release, "li.wei", "火警")


def test_a_retained_order_is_refused() -> None:
    judge = a_judge()
    assert "retained" in refused(judge, an_order(judge), is_retained=True)


def test_an_order_signed_by_another_key_is_refused() -> None:
    judge = a_judge()
    assert "not pinned" in refused(judge, an_order(judge, key=Ed25519PrivateKey.generate()))


def test_an_order_with_one_byte_changed_is_refused() -> None:
    judge = a_judge()
    payload = an_order(judge).replace(b"car-in", b"car-im")
    assert "bad signature" in refused(judge, payload)


def test_a_list_head_is_no_order_even_when_rightly_signed() -> None:
    judge = a_judge()
    assert "signature" in refused(judge, seal(b"{}", "wl.head", KEY))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gate": "south"}, "meant for gate south"),
        ({"lane": "car-out"}, "no lane car-out"),
        ({"challenge": "00"}, "made before this connection"),
        ({"counter": 0}, "out of turn"),
        ({"expires": NOW + timedelta(seconds=60)}, "10 s at most"),
        ({"issued": NOW - timedelta(seconds=30), "expires": NOW - timedelta(seconds=20)}, "expired"),
    ],
)
def test_an_order_that_does_not_fit_is_refused_with_words(changes: dict[str, Any], words: str) -> None:
    judge = a_judge()
    assert words in refused(judge, an_order(judge, **changes))


def test_the_same_order_twice_opens_once() -> None:
    judge = a_judge()
    payload = an_order(judge)
    assert isinstance(judge.judge(payload, is_retained=False), LaneOrder)
    assert "replayed" in refused(judge, payload)


def test_an_order_queued_for_the_last_connection_is_refused_on_this_one() -> None:
    judge = a_judge()
    payload = an_order(judge)
    judge.new_connection()
    assert "made before this connection" in refused(judge, payload)


def test_a_gate_in_1970_judges_freshness_by_challenge_and_counter() -> None:
    clock = FixedClock(datetime(1970, 1, 1, tzinfo=UTC), ClockTrust.UNTRUSTED)
    judge = a_judge(clock)
    assert isinstance(judge.judge(an_order(judge, counter=3), is_retained=False), LaneOrder)
    assert "out of turn" in refused(judge, an_order(judge, counter=3))


def test_an_order_is_judged_by_centrals_clock_where_it_is_known() -> None:
    clock = FixedClock(NOW + timedelta(hours=3))
    clock.note_server(NOW, 0.01)
    judge = a_judge(clock)
    assert isinstance(judge.judge(an_order(judge), is_retained=False), LaneOrder)
