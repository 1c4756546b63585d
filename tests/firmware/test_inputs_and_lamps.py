"""Contacts, supervised lines, lamps and buzzer."""

import pytest
from firmware_board import CUT, FREE, MS, OCCUPIED, SHORTED, Lit, Rig

from gatectl.wire.bridge_ids import FaultCode, Indicate, Input, InputEdge, Lamp

CONTACTS = [
    (0, Input.PRESENCE, False),
    (0, Input.ARM_UP, False),
    (0, Input.ARM_DOWN, False),
    (0, Input.REX, False),
    (0, Input.TAMPER, True),
    (1, Input.DOOR_OPEN, False),
    (1, Input.REX, False),
]
"""(channel, input, normally closed)."""


@pytest.mark.parametrize(("channel", "number", "is_closed_at_rest"), CONTACTS)
def test_contact_is_told_when_it_changes_and_in_the_snapshot(
    rig: Rig, channel: int, number: Input, is_closed_at_rest: bool
) -> None:
    assert rig.snapshot(channel).wired >> number & 1
    assert not rig.snapshot(channel).active >> number & 1
    rig.bench.contact(channel, number, is_closed=not is_closed_at_rest)
    rig.pass_ms(40)
    assert rig.edges(number, channel) == [True]
    assert rig.snapshot(channel).active >> number & 1
    rig.bench.contact(channel, number, is_closed=is_closed_at_rest)
    rig.pass_ms(500)
    assert rig.edges(number, channel) == [True, False]


def test_change_is_told_ten_milliseconds_after_the_contact_settled(rig: Rig) -> None:
    start_us = rig.bench.now_us
    rig.bench.contact(0, Input.ARM_UP, is_closed=True)
    rig.pass_ms(40)
    (edge,) = [message for message in rig.heard if isinstance(message, InputEdge)]
    assert 9 * MS <= edge.tick_us - start_us <= 13 * MS


def test_bouncing_contact_is_told_once(rig: Rig) -> None:
    for _ in range(12):
        rig.bench.contact(0, Input.ARM_UP, is_closed=True)
        rig.pass_ms(4)
        rig.bench.contact(0, Input.ARM_UP, is_closed=False)
        rig.pass_ms(4)
    assert rig.edges(Input.ARM_UP) == []
    rig.bench.contact(0, Input.ARM_UP, is_closed=True)
    rig.pass_ms(40)
    assert rig.edges(Input.ARM_UP) == [True]


def test_loop_is_occupied_at_once_and_clear_only_after_400_ms(rig: Rig) -> None:
    rig.bench.contact(0, Input.PRESENCE, is_closed=True)
    rig.pass_ms(30)
    assert rig.edges(Input.PRESENCE) == [True]
    for _ in range(3):  # a lorry and its trailer: the drawbar is no gap
        rig.bench.contact(0, Input.PRESENCE, is_closed=False)
        rig.pass_ms(350)
        rig.bench.contact(0, Input.PRESENCE, is_closed=True)
        rig.pass_ms(100)
    assert rig.edges(Input.PRESENCE) == [True]
    rig.bench.contact(0, Input.PRESENCE, is_closed=False)
    rig.pass_ms(390)
    assert rig.edges(Input.PRESENCE) == [True]
    rig.pass_ms(40)
    assert rig.edges(Input.PRESENCE) == [True, False]


@pytest.mark.parametrize(
    ("number", "code"),
    [(Input.SAFETY, FaultCode.SAFETY_LOOP_BROKEN), (Input.FIRE, FaultCode.FIRE_LINE_BROKEN)],
)
@pytest.mark.parametrize("level", [CUT, SHORTED])
def test_cut_or_shorted_line_reads_as_active_and_is_a_fault_of_its_own(
    rig: Rig, number: Input, code: FaultCode, level: int
) -> None:
    rig.bench.line(number, OCCUPIED)
    rig.pass_ms(100)
    assert rig.edges(number) == [True]
    assert rig.faults(code) == []
    rig.bench.line(number, level)
    rig.pass_ms(100)
    assert rig.faults(code) == [True]
    rig.bench.line(number, FREE)
    rig.pass_ms(600)
    assert rig.faults(code) == [True, False]
    assert rig.edges(number) == [True, False]


@pytest.mark.parametrize("level", [72, 128, 140])
def test_line_a_tenth_off_its_resistors_value_is_still_quiet(rig: Rig, level: int) -> None:
    rig.bench.line(Input.SAFETY, level)
    rig.pass_ms(600)
    assert rig.edges(Input.SAFETY) == []
    assert rig.faults(FaultCode.SAFETY_LOOP_BROKEN) == []


def shown(rig: Rig, lamp: Lamp, channel: int, ms: int) -> list[Lit]:
    rig.bench.lit.clear()
    rig.say(Indicate(channel, lamp, 1))
    rig.pass_ms(ms)
    return rig.bench.lit


@pytest.mark.parametrize("channel", [0, 1])
def test_granted_lights_the_lanes_own_lamp_and_beeps_once(rig: Rig, channel: int) -> None:
    lit = shown(rig, Lamp.GRANTED, channel, 1000)
    assert [x.is_on for x in lit if x.channel == channel] == [True]
    assert [x.is_on for x in lit if x.channel is None] == [True, False]
    assert {x.channel for x in lit} == {channel, None}
    assert [x.is_on for x in shown(rig, Lamp.IDLE, channel, 200)] == [False]


def test_denied_beeps_three_times_and_held_blinks_in_silence(rig: Rig) -> None:
    denied = shown(rig, Lamp.DENIED, 0, 1000)
    assert sum(x.is_on for x in denied if x.channel is None) == 3
    shown(rig, Lamp.IDLE, 0, 200)
    held = shown(rig, Lamp.HELD, 0, 3050)
    assert [x.is_on for x in held] == [True, False, True, False, True, False, True]
