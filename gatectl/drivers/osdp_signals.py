"""What an OSDP reader's lamp, buzzer and display show for a signal, as libosdp's commands."""

from typing import Any

import osdp_sys  # type: ignore[import-not-found,import-untyped,unused-ignore]

from gatectl.core.lane_io import Signal
from gatectl.core.reasons import REASONS, Reason

LED, BUZZER, TEXT = 4, 5, 6
"""The capability codes (osdp_PDCAP) that a command needs."""
_TENTHS = 10
"""OSDP counts lamps and buzzers in 100 ms."""
_SHOWN_S = {Signal.GRANTED: 3, Signal.DENIED: 3, Signal.HELD: 15}
_BEEPS = {Signal.GRANTED: 1, Signal.DENIED: 3}
_TEXT_BYTES = 32
_CANCEL, _SET = 1, 2
_TEMPORARY_TEXT, _TONE = 3, 2


def commands_for(signal: Signal, reason: Reason) -> tuple[tuple[int, dict[str, Any]], ...]:
    """Each command with the capability that it needs. Idle ends what is shown."""
    if signal is Signal.IDLE:
        return ((LED, _led(osdp_sys.LED_COLOR_NONE, 0, control=_CANCEL, blinks=False)),)
    colour = {
        Signal.GRANTED: osdp_sys.LED_COLOR_GREEN,
        Signal.DENIED: osdp_sys.LED_COLOR_RED,
        Signal.HELD: osdp_sys.LED_COLOR_AMBER,
    }[signal]
    shown_s = _SHOWN_S[signal]
    commands = [(LED, _led(colour, shown_s, control=_SET, blinks=signal is Signal.HELD))]
    if signal in _BEEPS:
        commands.append((BUZZER, _beep(_BEEPS[signal])))
    commands.append((TEXT, _text(REASONS[reason].en, shown_s)))
    return tuple(commands)


def _led(colour: int, shown_s: int, *, control: int, blinks: bool) -> dict[str, Any]:
    return {
        "command": osdp_sys.CMD_LED,
        "reader": 0,
        "led_number": 0,
        "temporary": True,
        "control_code": control,
        "on_count": 5,
        "off_count": 5 if blinks else 0,
        "on_color": colour,
        "off_color": osdp_sys.LED_COLOR_NONE,
        "timer_count": shown_s * _TENTHS,
    }


def _beep(times: int) -> dict[str, Any]:
    return {
        "command": osdp_sys.CMD_BUZZER,
        "reader": 0,
        "control_code": _TONE,
        "on_count": 2,
        "off_count": 1,
        "rep_count": times,
    }


def _text(words: str, shown_s: int) -> dict[str, Any]:
    """Readers' displays know ASCII alone."""
    return {
        "command": osdp_sys.CMD_TEXT,
        "reader": 0,
        "control_code": _TEMPORARY_TEXT,
        "temp_time": shown_s,
        "offset_row": 1,
        "offset_col": 1,
        "data": words.encode("ascii", "replace").decode("ascii")[:_TEXT_BYTES],
    }
