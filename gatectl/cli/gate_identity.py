"""`gatectl gate add|code|enrol|renew|revoke|identities`: who a gate is, at central and at the gate itself."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, actor, central, central_settings
from gatectl.errors import ConfigError, LinkError, PayloadError, RefusedError

app = typer.Typer()

GateArgument = Annotated[str, typer.Argument(help="The gate's id (see `gate list`).")]
EdgeConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The gate's TOML file.")]
CentralUrlOption = Annotated[
    str, typer.Option("--central", metavar="URL", help="Where the console answers. [central_url in the file]")
]
_FINDINGS_EXIT = 8


@app.command("add")
def add_gate(
    gate: Annotated[str, typer.Argument(help="Its id: small letters, digits, - and _.")],
    site: Annotated[str, typer.Option("--site", help="The site that it belongs to.")],
    zh: Annotated[str, typer.Option("--zh", help="Its name in Chinese.")],
    en: Annotated[str, typer.Option("--en", help="Its name in English.")],
    config: ConfigOption = None,
) -> None:
    """Enter a gate at central."""
    from gatectl.central import sites
    from gatectl.central.database import writing

    reserved = central_settings(config).broker.username
    with central(config) as engine, writing(engine) as conn:
        sites.add_gate(conn, actor(), gate, site, zh, en, reserved=reserved)
    output.say(f"已添加闸口 {gate}", f"gate {gate} is entered; next: gatectl lane add, gatectl gate code {gate}")


@app.command("code")
def make_code(
    gate: GateArgument,
    minutes: Annotated[int | None, typer.Option("--minutes", min=1, max=1440, help="[identity.code_min]")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a one-time code at central for `gate enrol`; an earlier one is void."""
    from gatectl.central.database import writing
    from gatectl.central.enrolment import make_code as make

    lasts_min = minutes or central_settings(config).identity.code_min
    with central(config) as engine, writing(engine) as conn:
        code = make(conn, actor(), gate, lasts_min)
    if json:
        output.print_json(code)
        return
    typer.echo(code.code)
    output.say(
        f"有效至 {output.clock_words(code.expires_at_ms)},只能使用一次;请在闸口运行 gatectl gate enrol 并输入",
        f"good once, until {output.clock_words(code.expires_at_ms)}; type it at the gate: gatectl gate enrol",
    )


def _typed_code(*, from_stdin: bool) -> str:
    """Never from the command line, where others see it."""
    if from_stdin:
        return sys.stdin.readline()
    if not sys.stdin.isatty():
        raise ConfigError("no terminal to ask in: use --code-stdin", zh="没有终端可输入:请用 --code-stdin")
    found: str = typer.prompt(output.pick("登记码", "One-time code"), err=True)
    return found


@app.command("enrol")
def enrol(
    config: EdgeConfigOption,
    central_url: CentralUrlOption = "",
    code_stdin: Annotated[
        bool, typer.Option("--code-stdin", help="Read the code from the first line of stdin.")
    ] = False,
) -> None:
    """At the gate: make a key that never leaves it; get its certificate for a one-time code. Exit 8: edit the file."""
    from gatectl.edge.enrol import enrol_gate
    from gatectl.edge.identity import paths_of
    from gatectl.settings import EdgeSettings, load_settings

    settings = load_settings(EdgeSettings, config)
    code = _typed_code(from_stdin=code_stdin)
    try:
        got = enrol_gate(settings, code, central_url)
    except PayloadError as error:
        raise RefusedError(str(error), zh="对方不能证明知道登记码,未采信任何内容;请核对登记码,并检查网络") from error
    typer.echo(got.check)
    output.say(
        f"已登记,证书有效至 {got.ends_at:%Y-%m-%d};核对码 {got.check} 应与中心审计记录所示一致",
        f"enrolled, the certificate ends on {got.ends_at:%Y-%m-%d}; central's audit shows the same check {got.check}",
    )
    paths = paths_of(settings)
    lines = [
        ("", "site_key", settings.site_key, got.site_key),
        ("", "root_key", settings.root_key, got.root_key),
        ("[broker] ", "ca_file", str(settings.broker.ca_file or ""), str(paths.authority)),
        ("[broker] ", "cert_file", str(settings.broker.cert_file or ""), str(paths.identity)),
    ]
    missing = [f'{section}{name} = "{value}"' for section, name, old, value in lines if old != value]
    if missing:
        output.say(f"请在 {config} 中写入:", f"put into {config}:")
        for line in missing:
            typer.echo(line, err=True)
        raise typer.Exit(_FINDINGS_EXIT)


@app.command("renew")
def renew(config: EdgeConfigOption, central_url: CentralUrlOption = "") -> None:
    """At the gate: get the next certificate now; the daemon does so by itself after two thirds of its life."""
    from gatectl.edge.enrol import renew_identity
    from gatectl.settings import EdgeSettings, load_settings

    settings = load_settings(EdgeSettings, config)
    try:
        ends_at = renew_identity(settings, central_url)
    except PayloadError as error:
        raise LinkError(f"the answer is not central's: {error}") from error
    output.say(f"已续期,证书有效至 {ends_at:%Y-%m-%d}", f"renewed, the certificate ends on {ends_at:%Y-%m-%d}")


@app.command("revoke")
def revoke(
    gate: GateArgument,
    why: Annotated[str, typer.Option("--why", help="Mandatory; kept in the audit.")],
    config: ConfigOption = None,
) -> None:
    """Take a gate's certificates and its rights at the broker away. It goes on opening, but is no longer believed."""
    from gatectl.central import identities
    from gatectl.central.database import writing

    with central(config) as engine, writing(engine) as conn:
        identities.revoke(conn, actor(), gate, why)
    output.say(
        f"已吊销 {gate};重新登记:gatectl gate code {gate}",
        f"{gate} is revoked; to enrol it anew: gatectl gate code {gate}",
    )


@app.command("identities")
def list_identities(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List each gate's certificate: good, ending soon, expired, revoked, or none."""
    import time

    from gatectl.central import identities

    with central(config) as engine, engine.connect() as conn:
        rows = identities.identities(conn, time.time_ns() // 1_000_000)
    if json:
        output.print_json(rows)
        return
    heads = output.pick(
        "闸口 小区 状态 到期 首次使用 指纹 原因", "gate site state ends first-used fingerprint why"
    ).split()
    output.print_table(
        heads,
        [
            [
                row.gate,
                row.site,
                row.state,
                output.clock_words(row.expires_at_ms),
                output.clock_words(row.seen_at_ms),
                row.fingerprint[:16],
                row.revoked_why,
            ]
            for row in rows
        ],
    )
