"""What of the outbox is sent, and when again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gatectl.edge.drain import WINDOW_EVENTS, DrainPlan


def test_a_new_connection_sends_again_from_the_first_unconfirmed_event() -> None:
    plan = DrainPlan(seed=1)
    plan.connected(first_seq=11, now_s=0)
    plan.sent(30, 0)
    plan.connected(first_seq=11, now_s=5)
    assert plan.sent_upto == 10


def test_the_window_closes_until_central_confirms() -> None:
    plan = DrainPlan(seed=1)
    plan.connected(first_seq=1, now_s=0)
    plan.sent(WINDOW_EVENTS, 0)
    assert plan.room(WINDOW_EVENTS, 0) == 0
    plan.acked(200, 1)
    assert plan.room(WINDOW_EVENTS, 0) == 200


def test_no_progress_for_two_seconds_resends_and_then_waits_longer() -> None:
    plan = DrainPlan(seed=1)
    plan.connected(first_seq=1, now_s=0)
    plan.sent(10, 0)
    assert not plan.is_stuck(1.9)
    assert plan.is_stuck(2.1)
    assert plan.sent_upto == 0
    plan.sent(10, 2.2)
    assert not plan.is_stuck(4.3), "the second wait is longer"
    assert plan.is_stuck(8.0)


def test_nothing_under_way_is_never_stuck() -> None:
    plan = DrainPlan(seed=1)
    plan.connected(first_seq=1, now_s=0)
    assert not plan.is_stuck(1000)


def test_live_events_overtake_a_backlog_longer_than_the_window_once() -> None:
    plan = DrainPlan(seed=1)
    plan.connected(first_seq=1, now_s=0)
    newest = WINDOW_EVENTS * 3
    assert plan.wants_live(newest)
    plan.sent_live(newest)
    assert not plan.wants_live(newest)
    assert plan.wants_live(newest + 1)


def test_an_ack_tells_how_long_its_batch_was_under_way() -> None:
    plan = DrainPlan(seed=1)
    plan.connected(first_seq=1, now_s=0)
    plan.sent(10, 1.0)
    assert plan.acked(10, 1.25) == 0.25
    assert plan.acked(10, 9.0) is None, "an ack said twice measures nothing"


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60), st.booleans()), max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_watermark_never_falls_and_nothing_below_it_is_sent(steps: list[tuple[int, int, bool]]) -> None:
    plan = DrainPlan(seed=2)
    plan.connected(first_seq=1, now_s=0)
    now_s, highest = 0.0, 0
    for more, ack, reconnects in steps:
        now_s += 1.5
        plan.sent(plan.sent_upto + more, now_s)
        plan.acked(min(ack, plan.sent_upto), now_s)
        if reconnects:
            plan.connected(first_seq=plan.hwm + 1, now_s=now_s)
        plan.is_stuck(now_s)
        assert plan.hwm >= highest
        assert plan.sent_upto >= plan.hwm
        assert 0 <= plan.room(WINDOW_EVENTS, 0) <= WINDOW_EVENTS
        highest = plan.hwm
