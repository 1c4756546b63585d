"""Every mistake in a gate's file at once: the ones that TOML and types show, and the ones that need a look around."""

from pathlib import Path

from gatectl.core.model import LaneKind
from gatectl.drivers.framing_file import load_framing
from gatectl.edge.keys import root_keys, site_keys
from gatectl.errors import ConfigError
from gatectl.settings import EdgeSettings, load_settings


def mistakes(config: Path) -> list[str]:
    """All of them, in words; empty for a good file."""
    try:
        settings = load_settings(EdgeSettings, config)
    except ConfigError as error:
        lines = str(error).splitlines()
        return [line.strip() for line in lines[1:]] or lines
    return [*_twice(settings), *_keys(settings), *_clashes(settings)]


def _keys(settings: EdgeSettings) -> list[str]:
    found: list[str] = []
    for check in (lambda: site_keys(settings), lambda: root_keys(settings), settings.broker.password):
        try:
            check()
        except ConfigError as error:
            found.append(str(error))
    is_enrolled_for = settings.broker.cert_file is not None  # then `gate enrol` brings both; the gate serves without
    if settings.broker.ca_file is not None and not is_enrolled_for and not settings.broker.ca_file.is_file():
        found.append(f"broker.ca_file: no file {settings.broker.ca_file}")
    for reader in settings.readers:
        if reader.driver == "framed_serial":
            try:
                load_framing(reader.framing)
            except ConfigError as error:
                found.append(f"readers.{reader.name}.{error}")
    return found


def _twice(settings: EdgeSettings) -> list[str]:
    """Names are addresses: no two lanes, devices, readers or cameras may share one."""
    found: list[str] = []
    for section, names in (
        ("lanes", [lane.id for lane in settings.lanes]),
        (
            "devices, readers and cameras",
            [
                *(device.name for device in settings.devices),
                *(reader.name for reader in settings.readers),
                *(camera.name for camera in settings.cameras),
            ],
        ),
    ):
        found += [f"{section}: {name!r} stands twice" for name in sorted({x for x in names if names.count(x) > 1})]
    return found


def _clashes(settings: EdgeSettings) -> list[str]:
    found: list[str] = []
    groups = [(lane.barrier, lane.channel) for lane in settings.lanes]
    found += [
        f"lanes: {device!r} channel {channel} moves two lanes"
        for device, channel in sorted({group for group in groups if groups.count(group) > 1})
    ]
    walks = {lane.id for lane in settings.lanes if lane.kind is LaneKind.PEDESTRIAN}
    found += [
        f"cameras.{camera.name}.lane: {camera.lane!r} is a pedestrian lane"
        for camera in settings.cameras
        if camera.lane in walks
    ]
    eyes = [camera.lane for camera in settings.cameras]
    found += [f"cameras: lane {lane!r} has two cameras" for lane in sorted({x for x in eyes if eyes.count(x) > 1})]
    drivers = {device.name: device.driver for device in settings.devices}
    found += [
        f"readers.{reader.name}.device: {reader.device!r} is driven by gpio and has no readers"
        for reader in settings.readers
        if reader.driver == "mcu" and drivers.get(reader.device) == "gpio"
    ]
    return found
