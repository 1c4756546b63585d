"""What `gatectl doctor` looks at: each check answers ok, warn or fail, and the command that repairs it."""

import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gatectl.core.model import ClockTrust, LaneKind
from gatectl.drivers.osdp_files import is_install_asked, osdp_folder
from gatectl.drivers.osdp_keys import key_path, load_key
from gatectl.edge.clock import SystemClock
from gatectl.edge.health import LOW_DISK_BYTES
from gatectl.edge.identity import load_identity
from gatectl.errors import ConfigError, LinkError
from gatectl.settings import CameraSettings, EdgeSettings

_CONNECT_S = 3.0
_CAMERA_S = 5.0
MODEL_FILE = Path("/proc/device-tree/model")
TPM = Path("/dev/tpmrm0")

Grade = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer; `repair` is a command to type, empty when all is well."""

    check: str
    grade: Grade
    words: str
    repair: str = ""


def examine(settings: EdgeSettings, config: Path, open_camera: Callable[[str], None]) -> Iterator[Finding]:
    """Every check of a gate's machine, one after the other; each takes 5 s at most."""
    for name, port in _ports(settings):
        yield serial_port(name, port)
    for camera in settings.cameras:
        yield camera_opens(camera, open_camera)
    yield broker(settings)
    yield clock_source()
    if any(device.driver == "gpio" for device in settings.devices):
        yield gpio_back_end()
    yield from osdp_keys(settings, config)
    yield identity(settings, config)
    yield stolen_disk()
    yield disk(settings.data_dir)
    yield data_dir(settings.data_dir)
    yield from power_loss(settings, config)


def _ports(settings: EdgeSettings) -> list[tuple[str, str]]:
    bridges = [(f"bridge {x.name}", x.port) for x in settings.devices if x.driver == "mcu"]
    readers = [(f"reader {x.name}", x.port) for x in settings.readers if x.driver != "mcu"]
    return bridges + readers


def serial_port(name: str, port: str) -> Finding:
    """The port is there, a serial device, and ours to read and write."""
    if port.startswith("socket://"):
        return _reachable(name, port.removeprefix("socket://"))
    path = Path(port)
    if not path.exists():
        return Finding(name, "fail", f"no port {port}", "ls -l /dev/serial/by-id/")
    if not path.is_char_device():
        return Finding(name, "fail", f"{port} is no serial port", "ls -l /dev/serial/by-id/")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(
            name, "fail", f"{port}: this account may not use it", 'sudo usermod -aG dialout "$USER"  # sign in anew'
        )
    if re.fullmatch(r"/dev/tty(USB|ACM)\d+", port):
        words = f"{port} may get another number when cables are moved"
        return Finding(name, "warn", words, "ls -l /dev/serial/by-id/  # put that name into the file")
    return Finding(name, "ok", port)


def _reachable(name: str, address: str) -> Finding:
    host, _, number = address.partition(":")
    try:
        socket.create_connection((host, int(number or 0)), _CONNECT_S).close()
    except (OSError, ValueError) as error:
        return Finding(name, "fail", f"{address} does not answer: {error}", f"nc -vz {host} {number}")
    return Finding(name, "ok", address)


def camera_opens(camera: CameraSettings, open_camera: Callable[[str], None]) -> Finding:
    """A frame comes, or the folder that will bring them is there."""
    name = f"camera {camera.name}"
    if camera.source.startswith("folder:"):
        folder = Path(camera.source.removeprefix("folder:"))
        if folder.is_dir():
            return Finding(name, "ok", f"{folder} is there")
        return Finding(name, "fail", f"no folder {folder}", f"mkdir -p {folder}")
    try:
        open_camera(camera.source)
    except LinkError as error:
        return Finding(name, "fail", str(error), f"ffprobe -v error {camera.source}")
    return Finding(name, "ok", "a frame came")


def broker(settings: EdgeSettings) -> Finding:
    """Something listens where the broker should, and the password can be read."""
    host, port = settings.broker.host, settings.broker.port
    try:
        settings.broker.password()
    except ConfigError as error:
        return Finding("broker", "fail", str(error), f"sudo install -m 600 /dev/stdin {settings.broker.password_file}")
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        words = f"{host}:{port} does not answer ({error.strerror or error}); the gate opens without it"
        return Finding("broker", "fail", words, "systemctl status mosquitto  # on the server")
    if settings.broker.ca_file is None and host not in ("127.0.0.1", "localhost", "::1"):
        words = f"{host}:{port} answers, but broker.ca_file is not set: plates and names travel in clear"
        return Finding("broker", "warn", words, "openssl s_client -connect " + f"{host}:8883 -showcerts")
    return Finding("broker", "ok", f"{host}:{port} answers")


def identity(settings: EdgeSettings, config: Path) -> Finding:
    """This gate's own certificate is there, names it, and lasts."""
    path, enrol = settings.broker.cert_file, f"gatectl gate enrol --config {config}"
    if path is None:
        words = "no certificate of its own (broker.cert_file): whoever has its password is this gate"
        return Finding("identity", "warn", words, enrol)
    try:
        held = load_identity(path)
    except ConfigError as error:
        return Finding("identity", "fail", str(error), enrol)
    if held.gate != settings.gate:
        return Finding("identity", "fail", f"{path} is the certificate of {held.gate}", enrol)
    clock = SystemClock()
    if clock.trust() is ClockTrust.UNTRUSTED:
        return Finding("identity", "warn", f"ends on {held.ends_at:%Y-%m-%d}; the clock cannot tell", "date")
    if clock.now() >= held.ends_at:
        words = f"the certificate ended on {held.ends_at:%Y-%m-%d}; for 90 days more it can be renewed"
        return Finding("identity", "fail", words, f"gatectl gate renew --config {config}")
    if held.is_renewal_due(clock.now()):
        words = f"the certificate ends on {held.ends_at:%Y-%m-%d} and should have been renewed by now"
        return Finding("identity", "warn", words, f"gatectl gate renew --config {config}")
    return Finding("identity", "ok", f"certified as {held.gate} until {held.ends_at:%Y-%m-%d}")


def stolen_disk() -> Finding:
    """What a thief of this gate's disk gets. Said each time, because nothing here can mend it yet."""
    chip = " (this board has a TPM; gatectl does not use it)" if TPM.exists() else ""
    words = (
        f"NOT MET: no TPM or secure element keeps a key{chip}, so its card numbers can be read off a stolen disk and "
        "copied onto blanks, and its identity used until it is revoked; no names, phones or rooms are on it"
    )
    return Finding("stolen disk", "warn", words, "gatectl gate revoke GATE --why stolen  # at central, if it happens")


def clock_source() -> Finding:
    """The wall clock is plausible and something keeps it right."""
    clock = SystemClock()
    trust = clock.trust()
    if trust is ClockTrust.UNTRUSTED:
        words = f"the clock stands at {clock.now():%Y-%m-%d}: schedules refuse nobody until it is set"
        return Finding("clock", "fail", words, "sudo timedatectl set-ntp true")
    if trust is ClockTrust.HOLDOVER:
        return Finding("clock", "warn", "no NTP keeps the clock right", "sudo timedatectl set-ntp true")
    return Finding("clock", "ok", "synchronised")


def board_model() -> str:
    """The board's own name; empty on a machine that has none."""
    try:
        return MODEL_FILE.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def gpio_back_end(model: str | None = None) -> Finding:
    """`import RPi.GPIO` works on this board. On a Pi 5 only rpi-lgpio's does."""
    board = board_model() if model is None else model
    cure = "pip uninstall -y RPi.GPIO && pip install rpi-lgpio"
    try:
        import RPi.GPIO  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        return Finding("gpio", "fail", "no GPIO library is installed", "pip install 'gatectl[pi]'")
    except RuntimeError as error:
        words = str(error)
        if "SOC peripheral base address" in words:
            words += ": the old RPi.GPIO does not know this board (Pi 5); rpi-lgpio takes its place"
            return Finding("gpio", "fail", words, cure)
        return Finding("gpio", "fail", words, 'sudo usermod -aG gpio "$USER"  # sign in anew')
    if "Raspberry Pi 5" in board and not _has_lgpio():
        words = f'{board}: RPi.GPIO ends in "Cannot determine SOC peripheral base address"; rpi-lgpio does not'
        return Finding("gpio", "fail", words, cure)
    return Finding("gpio", "ok", f"RPi.GPIO on {board or 'this board'}")


def _has_lgpio() -> bool:
    from importlib import metadata

    try:
        metadata.distribution("rpi-lgpio")
    except metadata.PackageNotFoundError:
        return False
    return True


def disk(folder: Path) -> Finding:
    """Room for the journal and the pictures."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    free = shutil.disk_usage(there).free
    words = f"{free // (1024 * 1024)} MB free at {there}"
    if free < LOW_DISK_BYTES:
        return Finding("disk", "fail", words, f"du -xh {there} | sort -h | tail")
    if free < LOW_DISK_BYTES * 5:
        return Finding("disk", "warn", words, f"du -xh {there} | sort -h | tail")
    return Finding("disk", "ok", words)


def data_dir(folder: Path) -> Finding:
    """The data directory takes files."""
    probe = folder / f".doctor-{os.getpid()}-{time.monotonic_ns()}"
    repair = f'sudo install -d -o "$USER" {folder}'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"ok")
        probe.unlink()
    except OSError as error:
        return Finding("data_dir", "fail", f"{folder} cannot be written: {error.strerror}", repair)
    return Finding("data_dir", "ok", f"{folder} can be written")


def osdp_keys(settings: EdgeSettings, config: Path) -> Iterator[Finding]:
    """Each OSDP reader has a good key of its own, and none stands open for installing."""
    folder = osdp_folder(settings.data_dir)
    for reader in settings.readers:
        if reader.driver != "osdp":
            continue
        name = f"osdp {reader.name}"
        if reader.insecure:
            words = f"no secure channel, cards can be read off the cable: {reader.insecure_reason}"
            repair = (
                f"nano {config}  # readers {reader.name}: take `insecure` away, then: gatectl reader key {reader.name}"
            )
            yield Finding(name, "warn", words, repair)
            continue
        try:
            load_key(key_path(folder, reader.name))
        except ConfigError as error:
            yield Finding(name, "fail", str(error), f"gatectl reader key {reader.name} --config {config}")
            continue
        if is_install_asked(folder, reader.name):
            words = "waits to be given its key"
            yield Finding(name, "warn", words, f"gatectl reader install {reader.name} --cancel --config {config}")
        else:
            yield Finding(name, "ok", "a key of its own")


def power_loss(settings: EdgeSettings, config: Path) -> Iterator[Finding]:
    """Each lane says what it does without power or host: nobody but the operator can know that."""
    for lane in settings.lanes:
        name = f"power loss {lane.id}"
        if lane.on_power_loss == "unset":
            usual = "fail_safe" if lane.kind is LaneKind.PEDESTRIAN else "fail_secure"
            words = f"not declared; {usual} is usual for a {lane.kind.value} lane"
            repair = f'nano {config}  # lane {lane.id}: on_power_loss = "fail_safe" or "fail_secure"'
            yield Finding(name, "warn", words, repair)
        else:
            yield Finding(name, "ok", lane.on_power_loss)
