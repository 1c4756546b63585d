"""`gatectl reader …`: what an installer does with readers: listen, make keys, install, accept."""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from gatectl.cli import output
from gatectl.drivers.framed_serial import what_is_shown
from gatectl.drivers.framing import Framer
from gatectl.drivers.framing_file import load_framing, shipped
from gatectl.drivers.osdp_files import (
    allow_install,
    cancel_install,
    forget_identity,
    identity_stamp,
    is_install_asked,
    osdp_folder,
)
from gatectl.drivers.osdp_keys import key_path, load_key, new_key, store_key
from gatectl.drivers.serial_port import open_serial
from gatectl.errors import ConfigError, LinkError, NotFoundError, RefusedError, StoreError
from gatectl.settings import EdgeSettings, load_settings

app = typer.Typer(help="Readers: listen, keys, install, accept.", no_args_is_help=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The gate's TOML file.")]
NameArgument = Annotated[str, typer.Argument(help="The reader's name in the gate's file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
DEFAULT_CONFIG = Path("/etc/gatectl/edge.toml")
_POLL_S = 0.2
_LISTEN_TURN_S = 0.05


@app.command()
def kinds(json: JsonOption = False) -> None:
    """List the declared readers that `driver = "framed_serial"` knows by name."""
    found = [(name, load_framing(name)) for name in shipped()]
    if json:
        output.print_json([{"name": name, "title": x.title, "baud": x.baud, "parity": x.parity} for name, x in found])
        return
    heads = output.pick("名称 读卡器 波特率 校验", "name reader baud parity").split()
    output.print_table(heads, [[name, x.title, str(x.baud), x.parity] for name, x in found])


@app.command()
def listen(
    port: Annotated[str, typer.Argument(help="A serial device path, or socket://host:port.")],
    baud: Annotated[int | None, typer.Option("--baud", min=300, max=921600, help="Else as declared, or 9600.")] = None,
    parity: Annotated[Literal["none", "even", "odd"], typer.Option("--parity")] = "none",
    framing: Annotated[str, typer.Option("--framing", help="Also try a declared reader on what comes.")] = "",
    address: Annotated[int, typer.Option("--address", min=0, max=0xFFFF)] = 0,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=3600)] = 60.0,
) -> None:
    """Show what a port brings, in hex, a line a burst; with --framing also what a declared reader makes of it.

    Asks nothing: a reader that must be polled stays silent. Cards are shown in full; stop the gate's daemon first.
    """
    declared = load_framing(framing) if framing else None
    rate = baud or (declared.baud if declared is not None else 9600)
    framer = Framer(declared, address) if declared is not None else None
    ends_s = time.monotonic() + seconds
    with open_serial(port, rate, _LISTEN_TURN_S, declared.parity if declared is not None else parity) as line:
        output.say(f"{port} {rate} 波特,{seconds:.0f} 秒", f"{port} at {rate} baud, for {seconds:.0f} s")
        while time.monotonic() < ends_s:
            data = line.read(1)
            while data and (more := line.read(256)):
                data += more
            if data:
                typer.echo(data.hex(" ").upper())
            if framer is None or declared is None:
                continue
            for frame in framer.feed(data) if data else framer.idle():
                try:
                    shown = what_is_shown(declared.card, frame)
                    words = str(shown.key) if shown.key is not None else shown.text or "no card"
                except ValueError as error:
                    words = f"no card in it: {error}"
                typer.echo(f"  frame {frame.hex(' ').upper()}: {words}")
    if framer is not None:
        output.say(
            f"坏帧 {framer.bad_frames},杂讯 {framer.noise_bytes} 字节",
            f"{framer.bad_frames} bad frames, {framer.noise_bytes} bytes of noise",
        )


def _osdp_reader(config: Path, name: str) -> Path:
    """The folder of a secure OSDP reader's files. Raises ConfigError, NotFoundError."""
    settings = load_settings(EdgeSettings, config)
    found = next((reader for reader in settings.readers if reader.name == name), None)
    if found is None:
        raise NotFoundError(f"{config} has no reader {name!r}", zh=f"{config} 中没有读卡器 {name}")
    if found.driver != "osdp" or found.insecure:
        raise ConfigError(f"reader {name} has no secure channel", zh=f"读卡器 {name} 不使用安全通道")
    return osdp_folder(settings.data_dir)


@app.command()
def key(
    name: NameArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    replace: Annotated[bool, typer.Option("--replace", help="Put a new key in an old one's place.")] = False,
) -> None:
    """Make an OSDP reader's key, 128 random bits, in a file of mode 0600; prints its path, never the key."""
    path = key_path(_osdp_reader(config, name), name)
    if path.exists() and not replace:
        words = f"{path} exists; with --replace the reader must be installed anew"
        raise RefusedError(words, zh=f"{path} 已存在;用 --replace 更换后须重新安装读卡器")
    try:
        store_key(path, new_key())
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    typer.echo(path)


@app.command()
def install(
    name: NameArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    minutes: Annotated[float, typer.Option("--minutes", min=1, max=30, help="How long the leave lasts.")] = 10.0,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take the leave back.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the reader has the key; exit 7 if not.")] = False,
) -> None:
    """Let the daemon give one factory-new OSDP reader its key, once. Who taps the cable then has it."""
    folder = _osdp_reader(config, name)
    if cancel:
        cancel_install(folder, name)
        return
    load_key(key_path(folder, name))
    before = identity_stamp(folder, name)
    try:
        allow_install(folder, name, minutes * 60)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from error
    output.say(
        f"{minutes:.0f} 分钟内,闸机会把密钥交给 {name} 一次;期间密钥可从线上读到,请用短线在桌面上完成",
        f"within {minutes:.0f} min the gate gives {name} its key, once; do it on the desk, with a short cable",
    )
    ends_s = time.monotonic() + minutes * 60
    while wait and identity_stamp(folder, name) in (0, before):
        if time.monotonic() > ends_s:
            taken = "no" if is_install_asked(folder, name) else "yes"
            raise LinkError(
                f"{name} was not installed (did the daemon see the leave: {taken})", zh=f"{name} 未安装成功"
            )
        time.sleep(_POLL_S)


@app.command()
def accept(name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Say that an OSDP reader that is not the one that was installed is the right one."""
    if not forget_identity(_osdp_reader(config, name), name):
        raise NotFoundError(f"{name} has not been seen yet", zh=f"{name} 尚未连接过")
