"""From a gate's settings to its devices."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gatectl.core.lane_io import Signal
from gatectl.core.model import LaneId
from gatectl.core.reasons import Reason
from gatectl.drivers.framed_serial import FramedSerial
from gatectl.drivers.framing_file import load_framing
from gatectl.drivers.gpio_barrier import GpioBarrier
from gatectl.drivers.indicator import LampPort, LaneIndicator
from gatectl.drivers.mcu_bridge import BridgeLane, BridgeReader, McuBridge
from gatectl.drivers.osdp_files import osdp_folder
from gatectl.drivers.ports import Barrier, Clock, Device, Indicator
from gatectl.drivers.qr_serial import QrSerial
from gatectl.drivers.rfid_serial import RfidSerial
from gatectl.errors import ConfigError, LinkError
from gatectl.settings import DeviceSettings, EdgeSettings, ReaderSettings
from gatectl.wire.bridge_ids import OnHostLoss

if TYPE_CHECKING:
    from gatectl.drivers.osdp_reader import OsdpBus

OSDP_BAUD = 9600
"""What OSDP readers leave the factory with."""


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
    framed = [_framed(x, clock) for x in settings.readers if x.driver == "framed_serial"]
    buses = _buses(settings, clock)
    barriers: dict[LaneId, Barrier] = {}
    for lane in settings.lanes:
        barriers[LaneId(lane.id)] = bridges[lane.barrier] if lane.barrier in bridges else pins[lane.barrier]
    lamps: dict[LaneId, LampPort] = {}
    for lane in settings.lanes:
        found: list[LampPort] = [bridges[lane.barrier]] if lane.barrier in bridges else []
        found += [bus for bus, lanes in buses if lane.id in lanes]
        if found:
            lamps[LaneId(lane.id)] = _Lamps(found)
    everything: tuple[Device, ...] = (
        *bridges.values(),
        *pins.values(),
        *readers,
        *scanners,
        *framed,
        *(bus for bus, _ in buses),
    )
    return DeviceSet(everything, barriers, LaneIndicator(lamps))


class _Lamps:
    """All lamps of one lane: on the bridge and on its readers."""

    def __init__(self, lamps: Sequence[LampPort]) -> None:
        self._lamps = lamps

    def indicate(self, lane: LaneId, signal: Signal, reason: Reason) -> None:
        """Show a signal wherever it can be. Raises LinkError when no lamp could be reached."""
        errors: list[LinkError] = []
        for lamp in self._lamps:
            try:
                lamp.indicate(lane, signal, reason)
            except LinkError as error:
                errors.append(error)
        if len(errors) == len(self._lamps):
            raise errors[0]


def _framed(reader: ReaderSettings, clock: Clock) -> FramedSerial:
    framing = load_framing(reader.framing)
    if reader.baud:
        framing = replace(framing, baud=reader.baud)
    return FramedSerial(reader.name, reader.port, framing, clock, address=reader.address, repeat_s=reader.repeat_s)


def _buses(settings: EdgeSettings, clock: Clock) -> list[tuple["OsdpBus", frozenset[str]]]:
    """One device a port, with the lanes of its readers. libosdp is loaded only where there is such a bus."""
    on_port: dict[str, list[ReaderSettings]] = {}
    for reader in settings.readers:
        if reader.driver == "osdp":
            on_port.setdefault(reader.port, []).append(reader)
    if not on_port:
        return []
    from gatectl.drivers.osdp_reader import OsdpBus, OsdpReader

    found = []
    for port, readers in on_port.items():
        specs = tuple(OsdpReader(x.name, LaneId(x.lane), x.address, x.format, x.repeat_s, x.insecure) for x in readers)
        baud = readers[0].baud or OSDP_BAUD
        bus = OsdpBus(port, baud, specs, osdp_folder(settings.data_dir), clock)
        found.append((bus, frozenset(x.lane for x in readers)))
    return found


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
