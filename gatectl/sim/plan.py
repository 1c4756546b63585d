"""The town as a file: sites, gates and lanes of `config/danzao.toml`, and the edge config each gate gets from it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gatectl.core.model import Direction, LaneKind
from gatectl.errors import ConfigError
from gatectl.settings import Name

VEHICLE_CHANNEL = 0
"""Relay group of the vehicle lane, where a gate has one; the lane on foot is the next one."""


class _Gate(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    id: Name
    name_zh: str
    name_en: str
    vehicle: Direction | None = None
    walk: Direction = Direction.IN
    reader: Annotated[str, Field(pattern="^(rfid_serial|mcu)$")] = "rfid_serial"


class _Named(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    id: Name
    name_zh: str
    name_en: str


class _Site(_Named):
    gates: tuple[_Gate, ...] = Field(min_length=1)


class _Town(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name_zh: str
    name_en: str
    seed: int
    households_per_site: Annotated[int, Field(ge=1, le=100_000)]
    villages: tuple[_Named, ...] = ()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    town: _Town
    sites: tuple[_Site, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class LanePlan:
    """One lane of the simulated town; `reader` is on a serial port of its own, or wired to the bridge (`mcu`)."""

    id: str
    gate: str
    site: str
    kind: LaneKind
    direction: Direction
    channel: int
    reader: str
    name_zh: str
    name_en: str

    @property
    def card_format(self) -> str:
        """How the lane's reader prints cards: bridges hear Wiegand 26, serial readers EM4100."""
        return "w26" if self.reader == "mcu" else "em4100"


@dataclass(frozen=True, slots=True)
class GatePlan:
    """One gate and its lanes."""

    id: str
    site: str
    name_zh: str
    name_en: str
    lanes: tuple[LanePlan, ...]


@dataclass(frozen=True, slots=True)
class SitePlan:
    """One residential compound."""

    id: str
    name_zh: str
    name_en: str
    gates: tuple[GatePlan, ...]


@dataclass(frozen=True, slots=True)
class TownPlan:
    """The whole town."""

    name_zh: str
    name_en: str
    seed: int
    households_per_site: int
    sites: tuple[SitePlan, ...]

    @property
    def gates(self) -> tuple[GatePlan, ...]:
        """Every gate, the sites' first gates (with the vehicle lanes) first."""
        firsts = [site.gates[0] for site in self.sites]
        others = [gate for site in self.sites for gate in site.gates[1:]]
        return (*firsts, *others)

    def cut(self, gates: int) -> "TownPlan":
        """The same town with its first `gates` gates only."""
        kept = {gate.id for gate in self.gates[:gates]}
        sites = tuple(
            SitePlan(s.id, s.name_zh, s.name_en, tuple(g for g in s.gates if g.id in kept))
            for s in self.sites
            if any(g.id in kept for g in s.gates)
        )
        return TownPlan(self.name_zh, self.name_en, self.seed, self.households_per_site, sites)


def load_town(path: Path) -> TownPlan:
    """Read a town file. Raises ConfigError that names every mistake."""
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        file = _File.model_validate(raw)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    sites = tuple(
        SitePlan(site.id, site.name_zh, site.name_en, tuple(_gate(site.id, gate) for gate in site.gates))
        for site in file.sites
    )
    town = file.town
    return TownPlan(town.name_zh, town.name_en, town.seed, town.households_per_site, sites)


def _gate(site: str, gate: _Gate) -> GatePlan:
    lanes = []
    if gate.vehicle is not None:
        way = ("入口车道", "car entry") if gate.vehicle is Direction.IN else ("出口车道", "car exit")
        lanes.append(
            LanePlan(
                f"{gate.id}-car", gate.id, site, LaneKind.VEHICLE, gate.vehicle, VEHICLE_CHANNEL, "mcu", way[0], way[1]
            )
        )
    way = ("行人入口", "entry on foot") if gate.walk is Direction.IN else ("行人出口", "exit on foot")
    lanes.append(
        LanePlan(
            f"{gate.id}-walk",
            gate.id,
            site,
            LaneKind.PEDESTRIAN,
            gate.walk,
            len(lanes),
            gate.reader,
            way[0],
            way[1],
        )
    )
    return GatePlan(gate.id, site, gate.name_zh, gate.name_en, tuple(lanes))


@dataclass(frozen=True, slots=True)
class GatePorts:
    """Where a gate's simulated hardware is found: ptys and camera folders."""

    bridge: str
    readers: dict[str, str]
    """Lane id -> pty path, for readers on a serial port."""
    cameras: dict[str, Path]
    """Lane id -> folder of pictures."""


def edge_toml(
    gate: GatePlan,
    ports: GatePorts,
    *,
    data_dir: Path,
    site_key: str,
    root_key: str = "",
    broker: dict[str, str | int],
    password_file: Path,
) -> str:
    """The gate's `edge.toml`, as an installer would write it."""
    lines = [
        f'gate = "{gate.id}"',
        f'site = "{gate.site}"',
        f'data_dir = "{data_dir}"',
        f'site_key = "{site_key}"',
        f'root_key = "{root_key}"',
        "",
        "[broker]",
        *(f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in broker.items()),
        f'username = "{gate.id}"',
        f'password_file = "{password_file}"',
        "",
        "[[devices]]",
        'name = "bridge"',
        'driver = "mcu"',
        f'port = "{ports.bridge}"',
    ]
    for lane in gate.lanes:
        lines += [
            "",
            "[[lanes]]",
            f'id = "{lane.id}"',
            f'kind = "{lane.kind}"',
            f'direction = "{lane.direction}"',
            'barrier = "bridge"',
            f"channel = {lane.channel}",
            'on_power_loss = "fail_safe"',
            "",
            "[[readers]]",
            f'name = "{lane.id}-reader"',
            f'driver = "{lane.reader}"',
            f'lane = "{lane.id}"',
            f'format = "{lane.card_format}"',
        ]
        if lane.reader == "mcu":
            lines += ['device = "bridge"', f"channel = {lane.channel}"]
        else:
            lines.append(f'port = "{ports.readers[lane.id]}"')
        if lane.id in ports.cameras:
            lines += [
                "",
                "[[cameras]]",
                f'name = "{lane.id}-camera"',
                f'lane = "{lane.id}"',
                f'source = "folder:{ports.cameras[lane.id]}"',
            ]
    return "\n".join(lines) + "\n"
