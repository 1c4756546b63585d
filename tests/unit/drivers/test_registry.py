"""From settings to devices: who moves which lane, and which wiring is refused."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gatectl.core.lane_io import Signal
from gatectl.core.model import ClockTrust, LaneId
from gatectl.core.reasons import Reason
from gatectl.drivers.gpio_barrier import GpioBarrier
from gatectl.drivers.mcu_bridge import McuBridge, card_key
from gatectl.drivers.registry import build_devices
from gatectl.drivers.rfid_serial import RfidSerial
from gatectl.errors import ConfigError
from gatectl.settings import EdgeSettings


class StillClock:
    def now(self) -> datetime:
        return datetime(2026, 5, 1, tzinfo=UTC)

    def tick_ns(self) -> int:
        return 0

    def trust(self) -> ClockTrust:
        return ClockTrust.SYNCED


def settings(**changes: Any) -> EdgeSettings:
    base: dict[str, Any] = {
        "gate": "south",
        "site": "danzao",
        "data_dir": Path("var"),
        "site_key": "A" * 44,
        "lanes": [
            {"id": "car", "kind": "vehicle", "direction": "in", "barrier": "bridge", "on_power_loss": "fail_secure"},
            {"id": "walk", "kind": "pedestrian", "direction": "in", "barrier": "bridge", "channel": 1},
            {"id": "back", "kind": "vehicle", "direction": "out", "barrier": "pins"},
        ],
        "devices": [
            {"name": "bridge", "driver": "mcu", "port": "/dev/ttyUSB0"},
            {"name": "pins", "driver": "gpio", "pins": {"open": 17, "arm_up": 27}},
        ],
        "readers": [
            {"name": "door", "driver": "rfid_serial", "lane": "walk", "port": "/dev/ttyUSB1"},
            {"name": "post", "driver": "mcu", "lane": "car", "device": "bridge", "format": "w26"},
        ],
    }
    return EdgeSettings.model_validate(base | changes)


def test_every_lane_gets_its_own_barrier_and_every_port_one_device() -> None:
    found = build_devices(settings(), StillClock())
    assert [type(device) for device in found.devices] == [McuBridge, GpioBarrier, RfidSerial]
    movers = {lane: id(barrier) for lane, barrier in found.barriers.items()}
    bridge, pins, _ = (id(device) for device in found.devices)
    assert movers == {"car": bridge, "walk": bridge, "back": pins}


def test_indicator_never_raises_though_the_bridge_is_away_or_there_is_none() -> None:
    found = build_devices(settings(), StillClock())
    for lane in ("car", "back", "nowhere"):
        found.indicator.show(LaneId(lane), Signal.GRANTED, Reason.CARD_OK)


@pytest.mark.parametrize(
    ("pins", "word"),
    [
        ({"arm_up": 27}, "open"),
        ({"open": 17, "arm_up": 17}, "pin of its own"),
        ({"open": 17, "lamp": 4}, "lamp"),
    ],
)
def test_wrong_pins_are_refused_with_the_key_and_the_rule(pins: dict[str, int], word: str) -> None:
    devices = [
        {"name": "bridge", "driver": "mcu", "port": "x"},
        {"name": "pins", "driver": "gpio", "pins": pins},
    ]
    with pytest.raises(ConfigError, match=word) as caught:
        build_devices(settings(devices=devices), StillClock())
    assert "devices.pins.pins" in str(caught.value)


def test_two_lanes_on_one_channel_are_refused() -> None:
    lanes = [
        {"id": name, "kind": "vehicle", "direction": "in", "barrier": "bridge", "channel": 2}
        for name in ("car", "walk")
    ]
    lanes.append({"id": "back", "kind": "vehicle", "direction": "out", "barrier": "pins"})
    with pytest.raises(ConfigError, match="channel 2"):
        build_devices(settings(lanes=lanes), StillClock())


def test_two_readers_on_one_channel_are_refused() -> None:
    readers = [{"name": name, "driver": "mcu", "lane": "car", "device": "bridge"} for name in ("a", "b")]
    with pytest.raises(ConfigError, match="readers on channel 0"):
        build_devices(settings(readers=readers), StillClock())


def test_reader_wired_to_plain_pins_is_refused() -> None:
    readers = [{"name": "a", "driver": "mcu", "lane": "back", "device": "pins"}]
    with pytest.raises(ConfigError, match=r"readers\.a\.device"):
        build_devices(settings(readers=readers), StillClock())


def test_gpio_device_that_moves_no_lane_is_refused() -> None:
    lanes = [{"id": "car", "kind": "vehicle", "direction": "in", "barrier": "bridge"}]
    with pytest.raises(ConfigError, match="exactly one lane"):
        build_devices(settings(lanes=lanes, readers=[]), StillClock())


@pytest.mark.parametrize("bits", ["", "1" * 39, "1" * 41])
def test_raw_em_card_of_another_length_is_refused(bits: str) -> None:
    with pytest.raises(ValueError, match="40 bits"):
        card_key("em4100", bits)
