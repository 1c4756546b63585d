"""Settings of the edge and of central: TOML files, secrets in files of their own, every mistake named at once."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gatectl.core.model import Direction, LaneKind
from gatectl.errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(_Section):
    """Where the broker is. The password stands in a file of its own (mode 0600) or in the environment."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str = ""
    password_file: Path | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    ca_file: Path | None = None
    cert_file: Path | None = None
    """Our own certificate (PEM), where the broker wants one; a gate's holds its key too: `gate enrol` brings it."""
    key_file: Path | None = None
    """The certificate's key, where it stands apart."""

    def password(self) -> str:
        """The password: `GATECTL_BROKER_PASSWORD`, else the file, else empty. Raises ConfigError if unreadable."""
        from_env = os.environ.get("GATECTL_BROKER_PASSWORD")
        if from_env:
            return from_env
        if self.password_file is None:
            return ""
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"broker.password_file: cannot read {self.password_file}: {error.strerror}") from error


class LaneSettings(_Section):
    """One lane. `barrier` names the device that moves its arm or lock."""

    id: Name
    kind: LaneKind
    direction: Direction
    barrier: Name
    channel: Annotated[int, Field(ge=0, le=3)] = 0
    """Which relay group of the device (an MCU drives up to 4 lanes)."""
    require_presence: bool = True
    pulse_ms: Annotated[int, Field(ge=50, le=2000)] = 500
    arm_up_timeout_s: Annotated[float, Field(gt=0, le=60)] = 6.0
    passage_timeout_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    hold_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    held_open_after_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    on_power_loss: Literal["unset", "fail_safe", "fail_secure"] = "unset"


class DeviceSettings(_Section):
    """A bridge or a direct GPIO barrier."""

    name: Name
    driver: Literal["mcu", "gpio"]
    port: str = ""
    """A serial device path, or `socket://host:port`."""
    pins: dict[str, int] = Field(default_factory=dict)
    """For `gpio` only: BCM numbers, e.g. { open = 17, arm_up = 27, presence = 22 }."""


class ReaderSettings(_Section):
    """A card reader or a scanner: on a serial port, on an OSDP bus that may have several, or on the bridge (`mcu`)."""

    name: Name
    driver: Literal["rfid_serial", "qr_serial", "framed_serial", "osdp", "mcu"]
    lane: Name
    port: str = ""
    device: str = ""
    """For `mcu`: the bridge's name."""
    channel: Annotated[int, Field(ge=0, le=3)] = 0
    format: Literal["em4100", "w26", "w34", "h10304", "h10302", "zk37a", "number"] = "em4100"
    """For `mcu` and `osdp`: how its bits are read; the bit count does not tell (PROTOCOLS 2)."""
    framing: str = ""
    """For `framed_serial`: a name of config/readers, or the path of a TOML file."""
    address: Annotated[int, Field(ge=0, le=0xFFFF)] = 0
    """For `framed_serial` and `osdp`: the reader's address on its line."""
    baud: Annotated[int, Field(ge=0, le=921600)] = 0
    """For `framed_serial` and `osdp`; 0 = as the framing says, 9600 on an OSDP bus."""
    insecure: bool = False
    """For `osdp`: without a secure channel, for a reader that knows none. Its cards can be read off the cable."""
    insecure_reason: str = ""
    """Why; `doctor` keeps asking."""
    repeat_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    """The same card within this time of its last frame is the same tap."""


MAX_OSDP_ADDRESS = 0x7E
OSDP_BAUDS = (9600, 19200, 38400, 57600, 115200, 230400)
_MIN_REASON = 10


def _reader_mistakes(readers: tuple[ReaderSettings, ...]) -> list[str]:
    """What each reader's driver needs, and who may share a port."""
    wrong: list[str] = []
    for reader in readers:
        name = f"readers.{reader.name}"
        if reader.driver == "framed_serial" and not reader.framing:
            wrong.append(f'{name}.framing: missing, e.g. framing = "rongshi"')
        if reader.insecure and (reader.driver != "osdp" or len(reader.insecure_reason.strip()) < _MIN_REASON):
            wrong.append(
                f"{name}.insecure: only for osdp, and with an insecure_reason of {_MIN_REASON} letters or more"
            )
        if reader.driver == "osdp" and reader.address > MAX_OSDP_ADDRESS:
            wrong.append(f"{name}.address: 0 to {MAX_OSDP_ADDRESS} on an OSDP bus")
        if reader.driver == "osdp" and reader.baud not in (0, *OSDP_BAUDS):
            wrong.append(f"{name}.baud: one of {', '.join(map(str, OSDP_BAUDS))}")
        for other in readers[: readers.index(reader)]:
            if not reader.port or other.port != reader.port or "mcu" in (reader.driver, other.driver):
                continue
            if not reader.driver == other.driver == "osdp":
                wrong.append(f"{name}.port: {other.name} has it; only OSDP readers share a line")
            elif reader.address == other.address:
                wrong.append(f"{name}.address: {other.name} has it on the same bus")
            elif reader.baud != other.baud:
                wrong.append(f"{name}.baud: {other.name} on the same bus has another")
    return wrong


class CameraSettings(_Section):
    """A camera of a vehicle lane: a file, `folder:/path`, `rtsp://…`, `http://…`, or a V4L2 number."""

    name: Name
    lane: Name
    source: str
    max_fps: Annotated[float, Field(gt=0, le=30)] = 8.0


class EdgeSettings(_Section):
    """A gate's whole configuration file."""

    gate: Name
    site: Name
    data_dir: Path
    site_key: Annotated[str, Field(min_length=40)]
    """The site's Ed25519 public key, base64: whitelists, acks and commands must be signed by it."""
    root_key: Annotated[str, Field(pattern=r"^([A-Za-z0-9+/]{43}=)?$")] = ""
    """The root's Ed25519 public key, base64: only it may begin a new list epoch or replace site_key. "" = nobody."""
    broker: BrokerSettings = BrokerSettings()
    central_url: Annotated[str, Field(pattern=r"^(https?://[^\s/?#]+/?)?$")] = ""
    """Where central's web process answers: a certificate is enrolled and renewed there."""
    lanes: tuple[LaneSettings, ...] = Field(min_length=1)
    devices: tuple[DeviceSettings, ...] = Field(min_length=1)
    readers: tuple[ReaderSettings, ...] = ()
    cameras: tuple[CameraSettings, ...] = ()
    heartbeat_s: Annotated[float, Field(ge=1, le=300)] = 5.0

    @model_validator(mode="after")
    def _names_agree(self) -> "EdgeSettings":
        lanes = {lane.id for lane in self.lanes}
        devices = {device.name for device in self.devices}
        wrong = [
            *(f"lanes.{x.id}.barrier: no device named {x.barrier!r}" for x in self.lanes if x.barrier not in devices),
            *(f"readers.{x.name}.lane: no lane {x.lane!r}" for x in self.readers if x.lane not in lanes),
            *(f"cameras.{x.name}.lane: no lane {x.lane!r}" for x in self.cameras if x.lane not in lanes),
            *(
                f"readers.{x.name}.device: no device named {x.device!r}"
                for x in self.readers
                if x.driver == "mcu" and x.device not in devices
            ),
            *(f"readers.{x.name}.port: missing" for x in self.readers if x.driver != "mcu" and not x.port),
            *_reader_mistakes(self.readers),
            *(f"devices.{x.name}.port: missing" for x in self.devices if x.driver == "mcu" and not x.port),
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class RetentionSettings(_Section):
    """Days that central keeps what says who somebody was; then it is deleted, each night, with a proof."""

    pictures_d: Annotated[int, Field(ge=1)] = 30
    """Snapshots; Order 799 art. 17 asks for 30 days at least."""
    strangers_d: Annotated[int, Field(ge=1)] = 30
    """Refused and held attempts of people whom nobody knows."""
    events_d: Annotated[int, Field(ge=1)] = 90
    """Card, plate, person and room of every other event; the event itself stays for the counts and the chain."""
    visitors_d: Annotated[int, Field(ge=1)] = 7
    """A visitor's name and plate after the visit."""
    audit_d: Annotated[int, Field(ge=30)] = 1096
    """The audit trail."""
    kept_aside_d: Annotated[int, Field(ge=1)] = 90
    """Messages that could not be taken."""


class IdentitySettings(_Section):
    """The authority that certifies gates, and what the broker is told of them."""

    ca_dir: Path | None = None
    """The authority's folder, else `authority` in data_dir. Its `ca_key.pem` may be kept offline between uses."""
    certificate_d: Annotated[int, Field(ge=2, le=3650)] = 365
    """Days that a gate's certificate lasts; it is renewed after two thirds of them."""
    code_min: Annotated[int, Field(ge=1, le=1440)] = 60
    """Minutes that a one-time code lasts."""
    on_clone: Literal["revoke", "alarm"] = "revoke"
    """What happens to a gate whose identity is used by two: revoked at once, or told only."""
    broker_dir: Path | None = None
    """Where ingest keeps `gatectl.acl`, `gatectl.crl` and `ca.pem` up to date for mosquitto; none: nowhere."""


class ListSettings(_Section):
    """How whitelists are sent to gates."""

    concurrent_snapshots: Annotated[int, Field(ge=1, le=1000)] = 8
    """Gates that are sent a whole list of their own at a time; when more wait, one sending serves them all."""
    max_jitter_s: Annotated[float, Field(ge=0, le=300)] = 300.0
    """Gates spread requests for a whole list over this, or over a tenth of a second a gate if less; 0 = at once."""


class CentralSettings(_Section):
    """Central's configuration file."""

    database: str = "sqlite:///var/central/central.db"
    """A SQLAlchemy URL: sqlite:///path or postgresql+psycopg://…"""
    data_dir: Path = Path("var/central")
    """Keys (mode 0600), pictures, exports."""
    broker: BrokerSettings = BrokerSettings(username="central")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    language: Literal["zh", "en"] = "zh"
    is_demo: bool = False
    """Shows the banner 演示数据."""
    holidays_file: Path | None = None
    """Holidays and make-up workdays beside those of the holiday library (TOML, see config/holidays.toml)."""
    retention: RetentionSettings = RetentionSettings()
    identity: IdentitySettings = IdentitySettings()
    lists: ListSettings = ListSettings()

    @property
    def authority_dir(self) -> Path:
        """Where the authority's certificate, and its key unless that is offline, are."""
        return self.identity.ca_dir or self.data_dir / "authority"


S = TypeVar("S", bound=_Section)


def load_settings(model: type[S], path: Path) -> S:
    """Read one TOML file. Raises ConfigError that names every mistake: file, key, rule."""
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [f"{path}: {error.error_count()} mistake(s)"]
        for mistake in error.errors():
            where = ".".join(str(part) for part in mistake["loc"]) or "file"
            lines.append(f"  {where}: {mistake['msg']} (given: {mistake['input']!r:.80})")
        raise ConfigError("\n".join(lines)) from error
