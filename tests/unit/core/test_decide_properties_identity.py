"""One property for each rule about whose credential it is: what its line says, and what follows from it."""

from typing import Any

from builders import CARD, PLATE, a_grant, a_lane, a_plate_grant, a_walk_lane
from decide_models import (
    CALM,
    CODE,
    IN,
    OUT,
    PLATES,
    STANDING_OPEN,
    VEHICLE_LANES,
    World,
    asked,
    is_granted,
    line,
    the_line,
    verdict_of,
    worlds,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gatectl.core.model import CharVote, Direction, GrantState, LaneMode, PlateColour, Verdict
from gatectl.core.plate_match import EXACT_RATIO, MIN_CONFIDENCE
from gatectl.core.plates import is_legal
from gatectl.core.reasons import Reason

BLUE, GREEN, WHITE = PlateColour.BLUE, PlateColour.GREEN, PlateColour.WHITE
COLOURS = st.sampled_from([None, *PlateColour])
DIRECTIONS = st.sampled_from(Direction)
CARS = st.sampled_from([PLATE, "粤E54321", "京A8K8K8", "粤BD12345", "粤B12345D"])
EMERGENCY_CARS = st.sampled_from(["粤X1234应急", "粤S0001应急", "粤A1234警", "京B88G8警"])
SURE: dict[str, Any] = {"is_covered": False, "confidence": 0.999}
"""A read that nothing is wrong with, whatever it says and on whatever colour."""

few = settings(max_examples=200)


@few
@given(worlds(direction=DIRECTIONS, is_listed=st.booleans(), state={"is_emergency": True}))
def test_an_emergency_opens_for_everybody_and_asks_nothing_else(world: World) -> None:
    decision = world.decision
    assert (decision.verdict, decision.reason) == (Verdict.GRANTED, Reason.EMERGENCY_INPUT)
    assert decision.trace == (line("emergency", "held_open", "pass"),)
    calm = world.with_state(is_emergency=False).decision
    assert calm.reason is not Reason.EMERGENCY_INPUT
    assert not asked(calm, "emergency")


@few
@given(
    worlds(
        direction=DIRECTIONS,
        lane=st.sampled_from([a_lane(), a_lane(), a_lane(require_presence=False), a_walk_lane()]),
        is_listed=st.booleans(),
        state=CALM | {"is_present": st.sampled_from([True, False, None])},
    )
)
def test_an_arm_opens_for_no_credential_while_its_loop_feels_no_vehicle(world: World) -> None:
    decision, state = world.decision, world.state
    if state.lane != a_lane():
        assert not asked(decision, "vehicle_present"), "a door, or a lane whose loop is not asked"
        return
    is_exit = world.attempt.direction is OUT
    value = "no_presence_loop" if state.is_present is None else "true" if state.is_present else "false"
    outcome = "skip" if is_exit or state.is_present is None else verdict_of(is_ok=state.is_present)
    assert the_line(decision, "vehicle_present") == (value, outcome)
    if outcome == "fail":
        assert not is_granted(decision) or decision.reason in STANDING_OPEN
        if world.grant is None and decision.reason not in STANDING_OPEN:
            is_plate = world.attempt.plate is not None
            assert decision.reason is (Reason.SPOOF_SUSPECT if is_plate else Reason.NO_VEHICLE)


@few
@given(
    worlds(
        "plate",
        read={"is_covered": st.booleans(), "text": st.sampled_from(["", PLATE, "粤E54321", "x"])},
        state=CALM,
        sane="policy",
    )
)
def test_a_car_whose_plate_is_covered_or_not_found_is_held_and_looked_up_nowhere(world: World) -> None:
    decision, read = world.decision, world.attempt.plate
    assert read is not None
    if not read.is_covered and read.text:
        assert the_line(decision, "plate_found") == (str(read.frames), "pass")
        return
    assert the_line(decision, "plate_found") == ("covered" if read.is_covered else str(read.frames), "fail")
    reason = Reason.PLATE_COVERED if read.is_covered else Reason.PLATE_NONE
    assert (decision.verdict, decision.reason, decision.grant) == (Verdict.HELD, reason, None)
    assert not asked(decision, "registered")


LENGTHS = {PlateColour.BLUE: 7, PlateColour.YELLOW: 7, PlateColour.GREEN: 8, PlateColour.YELLOW_GREEN: 8}
"""How many characters a plate on this ground has; other grounds take any (GA 36)."""


@few
@given(
    worlds(
        "plate",
        read=SURE | {"text": st.one_of(CARS, EMERGENCY_CARS, CARS.map(lambda text: text[:-1])), "colour": COLOURS},
        others=[a_plate_grant(text, colour=None) for text in ("粤BD1234", "粤BD12345", "粤B12345", "粤B12345D")],
        state=CALM,
        sane="policy",
    )
)
def test_a_read_whose_length_does_not_fit_its_colour_never_opens(world: World) -> None:
    decision, read = world.decision, world.attempt.plate
    assert read is not None
    fits = len(read.text) == LENGTHS.get(read.colour, len(read.text)) if read.colour else True
    if read.text.endswith(("警", "应急")):
        fits = read.colour in (None, WHITE)
    value = f"{len(read.text)} / {read.colour.value if read.colour else 'unknown'}"
    assert the_line(decision, "length_fits_colour") == (value, verdict_of(is_ok=fits))
    if not fits:
        assert (decision.verdict, decision.reason, decision.grant) == (Verdict.HELD, Reason.PLATE_AMBIGUOUS, None)


@few
@given(
    worlds(
        "plate",
        read={
            "is_covered": False,
            "text": st.one_of(CARS, EMERGENCY_CARS),
            "colour": None,
            "confidence": st.one_of(st.floats(0, 1), st.floats(-0.01, 0.01).map(lambda off: MIN_CONFIDENCE + off)),
        },
        emergency=(PLATE,),
        state=CALM,
        sane="policy",
    )
)
def test_a_read_below_the_least_confidence_never_opens_not_even_as_an_emergency_vehicle(world: World) -> None:
    decision, read = world.decision, world.attempt.plate
    assert read is not None
    is_sure = read.confidence >= MIN_CONFIDENCE
    value = f"{read.confidence:.2f} / {MIN_CONFIDENCE:.2f}"
    assert the_line(decision, "plate_confidence") == (value, verdict_of(is_ok=is_sure))
    if not is_sure:
        assert (decision.verdict, decision.reason, decision.grant) == (Verdict.HELD, Reason.PLATE_LOW_CONF, None)


@few
@given(
    worlds(
        "plate",
        direction=DIRECTIONS,
        read=SURE | {"text": CARS, "colour": None},
        emergency=st.sampled_from([(PLATE,), (PLATE, "京A8K8K8"), ()]),
        policy={"mode": st.sampled_from([LaneMode.HELD_CLOSED, *LaneMode])},
        is_listed=st.booleans(),
        state=CALM,
    )
)
def test_a_car_on_the_emergency_list_enters_in_every_mode_and_no_other_car_does_as_one(world: World) -> None:
    decision, read = world.decision, world.attempt.plate
    assert read is not None
    is_meant = read.text in world.view.emergency_plates
    assert asked(decision, "emergency_list") == ([(read.text, "pass")] if is_meant else [])
    assert (decision.reason is Reason.EMERGENCY_LIST) == is_meant
    if is_meant:
        assert is_granted(decision)
        assert not asked(decision, "mode")
        assert not asked(decision, "interlock")


@few
@given(
    worlds(
        "plate",
        direction=DIRECTIONS,
        read=SURE | {"text": st.one_of(EMERGENCY_CARS, CARS), "colour": st.sampled_from([WHITE, None, BLUE, GREEN])},
        is_listed=st.booleans(),
        policy={"mode": st.sampled_from([LaneMode.HELD_CLOSED, *LaneMode])},
        state=CALM,
    )
)
def test_a_police_or_rescue_plate_on_white_enters_in_every_mode_and_no_other_plate_does_as_one(world: World) -> None:
    decision, read = world.decision, world.attempt.plate
    assert read is not None
    is_meant = read.text.endswith(("警", "应急")) and read.colour in (None, WHITE)
    assert asked(decision, "emergency_plate") == ([(read.text, "pass")] if is_meant else [])
    assert (decision.reason is Reason.EMERGENCY_PLATE) == is_meant
    if is_meant:
        assert is_granted(decision)
        assert not asked(decision, "mode")


@few
@given(
    worlds(
        "card code plate",
        is_listed=st.booleans(),
        others=st.lists(st.sampled_from([a_grant(key="em:0000000002"), a_plate_grant("粤E54321")]), max_size=2),
        read=SURE | {"text": PLATE, "colour": BLUE},
        state=CALM,
    )
)
def test_nobody_enters_on_a_card_a_code_or_a_sure_plate_that_is_not_listed(world: World) -> None:
    decision, attempt = world.decision, world.attempt
    value = PLATE if attempt.plate is not None else "reader"
    assert the_line(decision, "registered") == (value, verdict_of(is_ok=world.grant is not None))
    if world.grant is None:
        assert decision.grant is None
        words = Reason.PLATE_UNKNOWN if attempt.plate else Reason.PIN_INVALID if attempt.key == CODE else None
        allowed = {words or Reason.CARD_UNKNOWN, *STANDING_OPEN}
        if words is Reason.PLATE_UNKNOWN:
            allowed.add(Reason.PLATE_SHORT_STAY)
        assert decision.reason in allowed


LOOKS = st.tuples(st.text("123456789", min_size=4, max_size=4), st.integers(0, 4))
"""A serial of five, one of them 0, read as O, which no serial has."""


@st.composite
def lookalikes(draw: st.DrawFn) -> tuple[World, str, bool]:
    """A read that is no plate; the listed plate that it looks like; whether another one looks the same."""
    digits, place = draw(LOOKS)
    own, read = (f"粤E{digits[:place]}{char}{digits[place:]}" for char in "0O")
    chars = tuple(CharVote(((char, 0.999999),)) for char in read)
    doubt = CharVote((("O", 0.9), ("0", 0.099999), ("D", 1e-7)))
    chars = (*chars[: place + 2], doubt, *chars[place + 3 :])
    has_twin = draw(st.booleans())
    twins = [a_plate_grant(own.replace("0", "D"))] if has_twin else []
    colour = draw(st.sampled_from([BLUE, BLUE, PlateColour.YELLOW, None]))
    world = draw(
        worlds(
            "plate",
            read=SURE | {"text": read, "chars": chars, "colour": colour},
            grant={"key": f"plate:{own}", "colour": BLUE},
            others=twins,
            state=CALM,
            sane="policy",
        )
    )
    return world, own, has_twin


@few
@given(lookalikes())
def test_a_read_that_is_no_plate_opens_only_for_the_one_listed_plate_that_it_looks_like(
    drawn: tuple[World, str, bool],
) -> None:
    world, own, has_twin = drawn
    decision, read = world.decision, world.attempt.plate
    assert read is not None
    if has_twin or read.colour is not BLUE:
        assert not asked(decision, "lookalike")
        assert (decision.verdict, decision.reason, decision.grant) == (Verdict.HELD, Reason.PLATE_AMBIGUOUS, None)
        return
    assert the_line(decision, "lookalike") == (f"{read.text} · {own}", "pass")
    assert decision.grant is world.grant is not None
    if is_granted(decision) and decision.reason is not Reason.CLOCK_UNTRUSTED:
        assert decision.reason in (Reason.PLATE_LOOKALIKE, Reason.UNLOADING, Reason.PASSBACK_SOFT, *STANDING_OPEN)


@few
@given(
    st.floats(-9, -0.3).map(lambda power: 10.0**power),
    st.booleans(),
    st.data(),
)
def test_a_plate_opens_only_when_it_is_far_likelier_than_any_other_and_its_line_says_by_how_much(
    share: float, is_rival_listed: bool, data: st.DataObject
) -> None:
    text, rival = "粤E12365", "粤E123G5"
    chars = tuple(CharVote(((char, 0.999999),)) for char in text)
    chars = (*chars[:5], CharVote((("6", 1 - share), ("G", share))), *chars[6:])
    world = data.draw(
        worlds(
            "plate",
            read=SURE | {"text": text, "chars": chars, "colour": BLUE},
            grant={"key": f"plate:{text}", "colour": BLUE},
            others=[a_plate_grant(rival)] if is_rival_listed else [],
            state=CALM,
            sane="policy",
        )
    )
    decision = world.decision
    value, outcome = the_line(decision, "likelihood")
    ratio, bound = (float(part) for part in value.split(" · ")[0].split(" / "))
    assert bound == EXACT_RATIO
    if ratio > 1.1 * bound:
        assert outcome == "pass"
    if ratio < 0.9 * bound:
        assert outcome == "fail"
    if share <= 1e-6:
        assert outcome == "pass", "a sure read of a listed plate opens"
    if share > 0.4:
        assert outcome == "fail", "it may as well be the other one"
        assert value.endswith(f" · {rival}")
    if outcome == "fail":
        reason = Reason.PLATE_AMBIGUOUS if is_rival_listed and value.endswith(rival) else Reason.PLATE_LOW_CONF
        assert (decision.verdict, decision.reason, decision.grant) == (Verdict.HELD, reason, None)


@few
@given(
    worlds(
        "plate",
        direction=DIRECTIONS,
        read=SURE | {"text": PLATE, "colour": COLOURS},
        grant={"colour": COLOURS},
        state=CALM,
        sane="policy",
    )
)
def test_a_listed_plate_seen_on_another_colour_than_its_owners_never_enters(world: World) -> None:
    decision, read, grant = world.decision, world.attempt.plate, world.grant
    assert read is not None
    assert grant is not None
    if read.colour in (GREEN, PlateColour.YELLOW_GREEN):
        assert not asked(decision, "colour"), "the length is wrong already"
        return
    if read.colour is None or grant.colour is None:
        assert the_line(decision, "colour") == ("unknown", "skip")
        return
    is_same = read.colour is grant.colour
    value = f"{read.colour.value} / {grant.colour.value}"
    assert the_line(decision, "colour") == (value, verdict_of(is_ok=is_same))
    if not is_same and world.attempt.direction is IN and grant.state is GrantState.ACTIVE:
        assert (decision.verdict, decision.reason) == (Verdict.HELD, Reason.PLATE_AMBIGUOUS)


@few
@given(
    worlds(
        "code card",
        is_listed=st.booleans(),
        state=CALM | {"is_keypad_locked": st.booleans()},
        sane="policy",
    )
)
def test_a_locked_keypad_takes_no_code_not_even_the_right_one_and_stops_no_card(world: World) -> None:
    decision, state = world.decision, world.state
    if world.attempt.key == CARD:
        assert decision == world.with_state(is_keypad_locked=not state.is_keypad_locked).decision
        assert not asked(decision, "keypad")
        return
    value = "locked" if state.is_keypad_locked else "free"
    assert the_line(decision, "keypad") == (value, verdict_of(is_ok=not state.is_keypad_locked))
    if state.is_keypad_locked:
        assert (decision.verdict, decision.reason, decision.grant) == (Verdict.DENIED, Reason.KEYPAD_LOCKED, None)
        assert decision.alarm is None, "nothing tells whether the code was right"
    else:
        assert decision.reason is not Reason.KEYPAD_LOCKED


@few
@given(worlds("pass", claim={"is_genuine": st.booleans()}, state=CALM, sane="policy"))
def test_a_pass_that_nobody_known_signed_never_enters_whatever_it_says(world: World) -> None:
    decision, claim = world.decision, world.attempt.claim
    assert claim is not None
    value = "known_issuer" if claim.is_genuine else "not_ours"
    assert the_line(decision, "signature") == (value, verdict_of(is_ok=claim.is_genuine))
    if not claim.is_genuine:
        assert (decision.verdict, decision.reason, decision.grant) == (Verdict.DENIED, Reason.CODE_INVALID, None)
    else:
        assert decision.reason is not Reason.CODE_INVALID


@few
@given(
    worlds(
        "card",
        lane=st.one_of(VEHICLE_LANES, st.just(a_walk_lane())),
        grant={"has_no_plate": True, "state": GrantState.ACTIVE},
        state=CALM | {"held_read": PLATES},
        sane="policy",
    )
)
def test_a_card_for_a_car_without_plates_opens_for_no_car_that_shows_one(world: World) -> None:
    decision, read = world.decision, world.state.held_read
    if world.state.lane == a_walk_lane():
        assert not asked(decision, "no_plate_card")
        return
    is_bare = not is_legal(read)
    assert the_line(decision, "no_plate_card") == (read or "no_plate_read", verdict_of(is_ok=is_bare))
    if not is_bare:
        assert (decision.verdict, decision.reason) == (Verdict.HELD, Reason.WAIT_GUARD)
    else:
        assert decision.reason is not Reason.CARD_OK, "it is called what it is: a car without plates"
