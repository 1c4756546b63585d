"""From settings to devices: who moves which lane, and which wiring is refused."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gatectl.core.lane_io import Signal
from gatectl.core.model import ClockTrust, LaneId
from gatectl.core.reasons import Reason
from gatectl.drivers.framed_serial import FramedSerial
from gatectl.drivers.gpio_barrier import GpioBarrier
from gatectl.drivers.mcu_bridge import McuBridge, card_key
from gatectl.drivers.osdp_reader import OsdpBus
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


OSDP: dict[str, Any] = {"name": "gate-post", "driver": "osdp", "lane": "car", "port": "/dev/ttyUSB2", "format": "w26"}
FRAMED: dict[str, Any] = {"name": "desk", "driver": "framed_serial", "lane": "walk", "port": "/dev/ttyUSB3"}


def test_readers_of_one_osdp_bus_are_one_device_and_declared_ones_have_their_own() -> None:
    readers = [
        OSDP | {"address": 1},
        OSDP | {"name": "foot-post", "lane": "walk", "address": 2},
        OSDP | {"name": "far-post", "port": "/dev/ttyUSB9"},
        FRAMED | {"framing": "rongshi", "baud": 9600},
    ]
    found = build_devices(settings(readers=readers), StillClock())
    assert [device.name for device in found.devices[2:]] == ["desk", "gate-post", "far-post"]
    assert [type(device) for device in found.devices[2:]] == [FramedSerial, OsdpBus, OsdpBus]
    found.indicator.show(LaneId("walk"), Signal.DENIED, Reason.CARD_UNKNOWN)


@pytest.mark.parametrize(
    ("readers", "word"),
    [
        ([FRAMED], "framing: missing"),
        ([OSDP | {"insecure": True}], "insecure_reason"),
        ([OSDP | {"insecure": True, "insecure_reason": "old"}], "insecure_reason"),
        ([FRAMED | {"framing": "rongshi", "insecure": True, "insecure_reason": "it knows no other"}], "only for osdp"),
        ([OSDP | {"address": 127}], "0 to 126"),
        ([OSDP | {"baud": 4800}], "9600"),
        ([OSDP, OSDP | {"name": "b"}], "same bus"),
        ([OSDP, OSDP | {"name": "b", "address": 1, "baud": 19200}], "another"),
        ([OSDP, FRAMED | {"framing": "rongshi", "port": "/dev/ttyUSB2"}], "only OSDP readers share"),
    ],
)
def test_readers_that_cannot_be_wired_so_are_refused_in_words(readers: list[dict[str, Any]], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        settings(readers=readers)


def test_framing_that_is_not_there_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"aa-bb.*rongshi"):
        build_devices(settings(readers=[FRAMED | {"framing": "rongsi"}]), StillClock())


@pytest.mark.parametrize("bits", ["", "1" * 7, "1" * 16])
def test_bare_number_of_another_length_is_refused(bits: str) -> None:
    with pytest.raises(ValueError, match=r"whole bytes|3 to 16 bytes"):
        card_key("number", bits)


def test_bare_numbers_get_the_key_of_their_length() -> None:
    assert card_key("number", f"{0x04A1B2C3D4E5F6:056b}") == "uid:04A1B2C3D4E5F6"
    assert card_key("number", f"{0x89D41B81:032b}") == "w34:89D41B81"
