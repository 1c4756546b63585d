"""`gatectl bridge …`: the microcontroller between a gate's computer and its wires, for who installs it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gatectl.cli import output
from gatectl.cli.bridge_session import BridgeSession, Report, bridge_session
from gatectl.errors import ConfigError, LinkError, RefusedError
from gatectl.wire.bridge_ids import SCHEMA_HASH, Input, Outcome, Relay
from gatectl.wire.bridge_image import BOARD, RELEASED, Image, from_hex

app = typer.Typer(help="The bridge: info, flash, selftest.", no_args_is_help=True)

FINDINGS_EXIT = 8
_RELEASE = Path(__file__).resolve().parents[2] / "firmware_bridge" / "release" / "gatectl-bridge-atmega328p.hex"
_CHIP = "m328p"
_FLASHING_S = 180
_MOVE_MS = 500

PortArgument = Annotated[str, typer.Argument(help="The bridge's port, e.g. /dev/ttyUSB0. The daemon must not hold it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def _inputs(numbers: frozenset[Input]) -> str:
    return " ".join(number.name.lower() for number in sorted(numbers)) or "-"


def _fault_words(report: Report) -> list[str]:
    return [f"channel {channel}: {code.name.lower().replace('_', ' ')}" for channel, code in sorted(report.faults)]


@app.command("info")
def info(port: PortArgument, is_json: JsonOption = False) -> None:
    """Firmware, board, inputs, counters and faults of a bridge; moves nothing. Exit 7: no answer; 8: another schema."""
    with bridge_session(port) as session:
        welcome = session.greet()
        report = session.report() if session.is_ready else Report(welcome)
        words = session.words
    if is_json:
        output.print_json(
            {
                "firmware": welcome.firmware,
                "board": welcome.board,
                "schema_hash": f"{welcome.schema_hash:08x}",
                "is_compatible": welcome.schema_hash == SCHEMA_HASH,
                "uptime_ms": report.uptime_ms,
                "channels": {
                    str(number): {
                        "wired": [x.name.lower() for x in sorted(lane.wired)],
                        "active": [x.name.lower() for x in sorted(lane.active)],
                        "opens": lane.opens,
                        "local_opens": lane.local_opens,
                    }
                    for number, lane in sorted(report.channels.items())
                },
                "faults": _fault_words(report),
            }
        )
    else:
        typer.echo(words)
        heads = output.pick(
            "通道 已接输入 有效输入 抬杆次数 自行抬杆", "channel wired active opens local-opens"
        ).split()
        rows = [
            [str(number), _inputs(lane.wired), _inputs(lane.active), str(lane.opens), str(lane.local_opens)]
            for number, lane in sorted(report.channels.items())
        ]
        if rows:
            output.print_table(heads, rows)
        for line in _fault_words(report):
            output.say(f"故障 {line}", f"fault: {line}")
    if welcome.schema_hash != SCHEMA_HASH:
        raise typer.Exit(FINDINGS_EXIT)


# --- flash ---


def _load_image(path: Path) -> Image:
    try:
        return from_hex(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", zh=f"{path}:无法读取:{error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}", zh=f"{path}:映像无效:{error}") from error


def _require_signed(image: Image, path: Path, key: Path | None) -> None:
    """A release's image is known by its hash; any other needs IMAGE.sig by the named key. Raises RefusedError."""
    if image.is_released:
        return
    if key is None:
        raise RefusedError(
            f"{path.name} is none of the released images ({', '.join(sorted(RELEASED))}); an image of your own needs "
            "--key PUBLIC.pem and its signature beside it (.sig)",
            zh=f"{path.name} 不是正式发布的映像;自制映像需要 --key 公钥.pem 以及同名 .sig 签名",
        )
    try:
        public = load_pem_public_key(key.read_bytes())
        signature = path.with_name(path.name + ".sig").read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the key or the signature cannot be read: {error}", zh=f"公钥或签名无法读取:{error}"
        ) from error
    if not isinstance(public, Ed25519PublicKey):
        raise ConfigError(f"{key}: not an Ed25519 key", zh=f"{key}:不是 Ed25519 公钥")
    try:
        public.verify(signature, image.manifest)
    except InvalidSignature as error:
        raise RefusedError(f"{path.name}: the signature is not by {key.name}", zh=f"{path.name}:签名不符") from error


def _require_fitting(image: Image) -> None:
    """The board and the schema of this release. Raises RefusedError."""
    if image.board != BOARD:
        raise RefusedError(
            f"the image is for {image.board}, not for {BOARD}", zh=f"映像用于 {image.board},不是 {BOARD}"
        )
    if image.schema_hash != SCHEMA_HASH:
        raise RefusedError(
            f"the image speaks schema {image.schema_hash:08x}, this gatectl {SCHEMA_HASH:08x}",
            zh=f"映像协议 {image.schema_hash:08x} 与本机 {SCHEMA_HASH:08x} 不一致",
        )


def _number(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else (0,)


def _require_newer(image: Image, port: str) -> None:
    """Not older than what runs. Raises RefusedError, LinkError."""
    with bridge_session(port) as session:
        running = session.greet().firmware
    if _number(image.version) < _number(running):
        raise RefusedError(
            f"the bridge runs {running}, the image is {image.version}: --allow-older takes it all the same",
            zh=f"桥接器运行 {running},映像为 {image.version};确需降级请加 --allow-older",
        )
    output.say(f"当前固件 {running},将写入 {image.version}", f"running {running}, flashing {image.version}")


@app.command("flash")
def flash(
    image_path: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="A .hex image.", show_default="the shipped one")
    ] = (_RELEASE),
    programmer: Annotated[str, typer.Option("--programmer", help="avrdude's name of the ISP programmer.")] = "usbasp",
    port: Annotated[
        str | None, typer.Option("--port", help="The bridge's serial port: its firmware's version is compared first.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Ed25519 public key for an image that is no release.")
    ] = None,
    allow_older: Annotated[bool, typer.Option("--allow-older", help="Go back to an older version.")] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Check the image, print the command, flash nothing.")
    ] = False,
) -> None:
    """Check an image's signature, board, schema and version, then write it with avrdude. Exit 10: refused."""
    image = _load_image(image_path)
    _require_signed(image, image_path, key)
    _require_fitting(image)
    if port is not None and not allow_older:
        _require_newer(image, port)
    command = ["avrdude", "-p", _CHIP, "-c", programmer, "-U", f"flash:w:{image_path}:i"]
    output.say(
        f"映像 {image.version}({len(image.code)} 字节,协议 {image.schema_hash:08x})可用",
        f"image {image.version} is good: {len(image.code)} bytes, schema {image.schema_hash:08x}",
    )
    if check_only:
        typer.echo(" ".join(command))
        return
    if shutil.which(command[0]) is None:
        raise ConfigError(
            "avrdude is not installed: apt-get install avrdude", zh="未安装 avrdude:apt-get install avrdude"
        )
    try:
        done = subprocess.run(command, check=False, timeout=_FLASHING_S)
    except subprocess.TimeoutExpired as error:
        raise LinkError(
            "avrdude did not finish; is the programmer plugged in?", zh="avrdude 未完成;编程器是否接好?"
        ) from error
    if done.returncode:
        raise LinkError(f"avrdude failed ({done.returncode}); see above", zh=f"avrdude 失败({done.returncode}),见上")


# --- selftest ---


def _refusals(session: BridgeSession, report: Report) -> Iterator[tuple[bool, str]]:
    """Orders that a sound bridge refuses: nothing moves, whatever it answers right."""
    outcome = session.order(0, Relay.OPEN, _MOVE_MS)
    yield outcome is Outcome.REFUSED_NO_LEASE, "a pulse without a heartbeat is refused"
    session.feed()
    outcome = session.order(0, Relay.OPEN, 1)
    yield outcome is Outcome.REFUSED_RANGE, "a pulse of 1 ms is refused"
    lane = report.channels[0]
    if Input.FIRE in lane.active:
        session.feed()
        outcome = session.order(0, Relay.CLOSE, _MOVE_MS)
        yield outcome is Outcome.REFUSED_FIRE, "CLOSE under fire is refused"
    elif Input.SAFETY in lane.active:
        session.feed()
        outcome = session.order(0, Relay.CLOSE, _MOVE_MS)
        yield outcome is Outcome.REFUSED_SAFETY_OCCUPIED, "CLOSE on the occupied safety loop is refused"


def _moves(session: BridgeSession, report: Report) -> Iterator[tuple[bool, str]]:
    for channel, lane in sorted(report.channels.items()):
        before = lane.opens
        session.feed()
        outcome = session.order(channel, Relay.OPEN, _MOVE_MS)
        session.feed()
        yield (
            outcome is Outcome.STARTED and lane.opens == before + 1,
            f"OPEN of channel {channel} closed for {_MOVE_MS} ms and was counted ({before} -> {lane.opens})",
        )


@app.command("selftest")
def selftest(
    port: PortArgument,
    move: Annotated[bool, typer.Option("--move", help="Pulse each OPEN relay as well: ARMS WILL RISE.")] = False,
    is_json: JsonOption = False,
) -> None:
    """Try what a bridge must refuse, look for faults, and with --move open each lane. Exit 8: something is wrong."""
    with bridge_session(port) as session:
        welcome = session.greet()
        if not session.is_ready:
            raise LinkError(session.words, zh=f"桥接器协议不一致:{session.words}")
        report = session.report()
        checks = [
            (welcome.firmware in RELEASED, f"firmware {welcome.firmware} is a release"),
            (not report.faults, "; ".join(_fault_words(report)) or "no faults"),
            *_refusals(session, report),
            *(_moves(session, report) if move else ()),
        ]
    if is_json:
        output.print_json({"ok": all(ok for ok, _ in checks), "checks": [{"ok": ok, "words": w} for ok, w in checks]})
    else:
        for is_ok, words in checks:
            typer.echo(f"{'ok' if is_ok else 'FAIL':<5}{words}")
    if not all(is_ok for is_ok, _ in checks):
        raise typer.Exit(FINDINGS_EXIT)
