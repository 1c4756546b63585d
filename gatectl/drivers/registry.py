"""From a gate's settings to its devices."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from gatectl.core.model import LaneId
from gatectl.drivers.gpio_barrier import GpioBarrier
from gatectl.drivers.indicator import LaneIndicator
from gatectl.drivers.mcu_bridge import BridgeLane, BridgeReader, McuBridge
from gatectl.drivers.ports import Barrier, Clock, Device, Indicator
from gatectl.drivers.qr_serial import QrSerial
from gatectl.drivers.rfid_serial import RfidSerial
from gatectl.errors import ConfigError
from gatectl.settings import DeviceSettings, EdgeSettings
from gatectl.wire.bridge_ids import OnHostLoss


@dataclass(frozen=True, slots=True)
class DeviceSet:
    """A gate's hardware, not started yet. A bridge's readers speak as events of the bridge."""

    devices: tuple[Device, ...]
    barriers: Mapping[LaneId, Barrier]
    indicator: Indicator


def build_devices(settings: EdgeSettings, clock: Clock) -> DeviceSet:
    """Every device of the settings. Opens nothing. Raises ConfigError where the wiring contradicts itself."""
    bridges = {found.name: _bridge(settings, found, clock) for found in settings.devices if found.driver == "mcu"}
    pins = {found.name: _gpio(settings, found, clock) for found in settings.devices if found.driver == "gpio"}
    wrong = [reader for reader in settings.readers if reader.driver == "mcu" and reader.device in pins]
    if wrong:
        raise ConfigError(
            "\n".join(f"readers.{x.name}.device: {x.device!r} is on GPIO and has no readers" for x in wrong)
        )
    readers = [RfidSerial(x.name, x.port, x.repeat_s, clock) for x in settings.readers if x.driver == "rfid_serial"]
    scanners = [QrSerial(x.name, x.port, x.repeat_s, clock) for x in settings.readers if x.driver == "qr_serial"]
    barriers: dict[LaneId, Barrier] = {}
    for lane in settings.lanes:
        barriers[LaneId(lane.id)] = bridges[lane.barrier] if lane.barrier in bridges else pins[lane.barrier]
    lamps = {LaneId(lane.id): bridges[lane.barrier] for lane in settings.lanes if lane.barrier in bridges}
    return DeviceSet((*bridges.values(), *pins.values(), *readers, *scanners), barriers, LaneIndicator(lamps))


def _bridge(settings: EdgeSettings, found: DeviceSettings, clock: Clock) -> McuBridge:
    lanes = tuple(
        BridgeLane(LaneId(lane.id), lane.channel, OnHostLoss[lane.on_power_loss.upper()])
        for lane in settings.lanes
        if lane.barrier == found.name
    )
    readers = tuple(
        BridgeReader(reader.name, reader.channel, reader.format, reader.repeat_s)
        for reader in settings.readers
        if reader.driver == "mcu" and reader.device == found.name
    )
    for what, channels in (("lanes", [x.channel for x in lanes]), ("readers", [x.channel for x in readers])):
        twice = sorted({channel for channel in channels if channels.count(channel) > 1})
        if twice:
            raise ConfigError(f"devices.{found.name}: two {what} on channel {twice[0]}; give each a channel of its own")
    return McuBridge(found.name, found.port, lanes, readers, clock, secrets.randbelow(0xFFFF))


def _gpio(settings: EdgeSettings, found: DeviceSettings, clock: Clock) -> GpioBarrier:
    lanes = [lane.id for lane in settings.lanes if lane.barrier == found.name]
    if len(lanes) != 1:
        raise ConfigError(f"devices.{found.name}: a gpio device moves exactly one lane's barrier, not {len(lanes)}")
    return GpioBarrier(found.name, LaneId(lanes[0]), found.pins, clock)
