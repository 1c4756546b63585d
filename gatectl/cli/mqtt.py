"""`gatectl mqtt …`: what the broker must know, made from central's database."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gatectl.central import identities
from gatectl.central.authority import Authority, load_or_make_authority
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, central, central_settings
from gatectl.errors import ConfigError
from gatectl.settings import CentralSettings
from gatectl.wire import certificates
from gatectl.wire.acl import acl_changes

app = typer.Typer(help="The broker's files: ACL, revoked certificates, its own certificate.", no_args_is_help=True)

_FINDINGS_EXIT = 8
OutOption = Annotated[Path | None, typer.Option("--out", help="Write there instead of to stdout.")]


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all. Raises ConfigError."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError(f"{path}: {error.strerror}") from error


def _give(data: bytes, out: Path | None) -> None:
    if out is None:
        typer.echo(data.decode(), nl=False)
    else:
        _write(out, data, 0o644)


@app.command("acl")
def acl(
    out: OutOption = None,
    check: Annotated[
        Path | None, typer.Option("--check", help="Compare this file instead; exit 8 if it differs.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """mosquitto's acl_file: a gate writes its own topics only, and reads its own and its site's list."""
    account = central_settings(config).broker.username
    with central(config) as engine, engine.connect() as conn:
        text = identities.broker_acl(conn, account)
    if check is None:
        _give(text.encode(), out)
        return
    try:
        found = check.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{check}: cannot be read: {error}") from error
    changes = acl_changes(found, text)
    for change in changes:
        typer.echo(change)
    if changes:
        output.say(f"{check} 与数据库不一致", f"{check} differs from central's database in {len(changes)} places")
        raise typer.Exit(_FINDINGS_EXIT)
    output.say("一致", f"{check} grants what it should")


@app.command("crl")
def crl(out: OutOption = None, config: ConfigOption = None) -> None:
    """mosquitto's crlfile: certificates that were taken back, signed by the site authority."""
    settings = central_settings(config)
    at = datetime.now(UTC)
    with central(config) as engine, engine.connect() as conn:
        serials = identities.revoked_serials(conn, time.time_ns() // 1_000_000)
    _give(_authority(settings).revocations(serials, at), out)


def _authority(settings: CentralSettings) -> Authority:
    return load_or_make_authority(settings.authority_dir, datetime.now(UTC))


@app.command("ca")
def ca(out: OutOption = None, config: ConfigOption = None) -> None:
    """mosquitto's cafile: the site authority's certificate, made at the first use."""
    _give(_authority(central_settings(config)).pem, out)


@app.command("certificate")
def certificate(
    folder: Annotated[Path, typer.Argument(help="Where to put the key and the certificate.")],
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="The broker's name or address for gates; may stand twice."),
    ] = None,
    client: Annotated[bool, typer.Option("--client", help="For central's own account instead of the broker.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, max=3650)] = 825,
    config: ConfigOption = None,
) -> None:
    """Make a key and a certificate for the broker (server.key, server.crt), or for central's account (central.*)."""
    if client == bool(host):
        raise ConfigError("give either --host (once or more), or --client", zh="请指定 --host(可多次)或 --client")
    settings = central_settings(config)
    authority, key, at = _authority(settings), certificates.new_key(), datetime.now(UTC)
    if client:
        name, issued = "central", authority.issue_client(settings.broker.username, key.public_key(), days, at)
    else:
        name, issued = "server", authority.issue_server(host or [], key.public_key(), days, at)
    _write(folder / f"{name}.key", certificates.key_pem(key), 0o600)
    _write(folder / f"{name}.crt", certificates.certificate_pem(issued), 0o644)
    output.say(
        f"已写入 {folder}/{name}.key 与 {name}.crt,有效期 {days} 天",
        f"wrote {folder}/{name}.key and {name}.crt, good for {days} days",
    )
