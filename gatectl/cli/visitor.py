"""`gatectl visitor …`: invite, list, check, cancel."""

import time
from pathlib import Path
from typing import Annotated

import segno
import typer

from gatectl.central import visitors
from gatectl.central.credentials import mask_name
from gatectl.central.database import writing
from gatectl.central.keys import load_or_make_keys
from gatectl.cli import output
from gatectl.cli.office import (
    ConfigOption,
    JsonOption,
    SiteOption,
    WaitOption,
    actor,
    central,
    central_settings,
    report_effect,
    site_seconds,
    the_household,
    the_site,
)
from gatectl.core.codes import is_code
from gatectl.core.model import Profile
from gatectl.errors import ConfigError, NotFoundError

app = typer.Typer(help="Visitors: invite, list, check, cancel.", no_args_is_help=True)

ProfileOption = Annotated[Profile, typer.Option("--profile", help="visitor, courier, decorator or nanny.")]


@app.command()
def invite(
    door: Annotated[str, typer.Argument(help="The host's door, 3-2-501, or a household id.")],
    name: Annotated[str, typer.Option("--name", help="The visitor's surname.")],
    until: Annotated[str, typer.Option("--until", help="2026-05-01T20:00 in site time.")],
    start: Annotated[str, typer.Option("--from", help="Likewise. [now]")] = "",
    plate: Annotated[str, typer.Option("--plate", help="The visitor's car.")] = "",
    uses: Annotated[int, typer.Option("--uses", min=0, max=255, help="Entries; 0 = any number.")] = 1,
    profile: ProfileOption = Profile.VISITOR,
    stay: Annotated[int, typer.Option("--stay", min=0, help="Expected to leave within so many minutes.")] = 0,
    qr: Annotated[Path | None, typer.Option("--qr", help="Write the pass as a picture (.svg or .png).")] = None,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Invite a guest: prints the message to send, with the code (shown this once), and the pass as a QR code."""
    begin_s = site_seconds(start, "--from") if start else int(time.time()) // 60 * 60
    with central(config) as engine:
        key = load_or_make_keys(central_settings(config).data_dir, visitors.PASS_ISSUER_FILE).site_key
        with writing(engine) as conn:
            home = the_household(conn, door, site)
            visit = visitors.Visit(
                home, name, begin_s, site_seconds(until, "--until"), uses or None, profile, plate, stay * 60
            )
            made = visitors.invite(conn, actor(), visit, key)
            where = visitors.site_of(conn, made.id)
        code = segno.make(made.pass_text, error="m", micro=False)
        if qr is not None:
            code.save(str(qr), scale=6, border=4)
        if json:
            output.print_json({"id": made.id, "code": made.code, "pass": made.pass_text, "words": made.words_zh})
        else:
            typer.echo(output.pick(made.words_zh, made.words_en))
            typer.echo(made.pass_text)
            code.terminal(compact=True)
            typer.echo(made.id)
        report_effect(engine, where, is_wait=wait)


@app.command("list")
def list_visits(
    every: Annotated[bool, typer.Option("--all", help="Past and cancelled ones too.")] = False,
    site: SiteOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the visits that are not over."""
    with central(config) as engine, engine.connect() as conn:
        rows = visitors.visits(conn, the_site(conn, site), now_s=int(time.time()), is_all=every)
    now_s = int(time.time())
    if json:
        fields = ("id", "household_id", "plate", "valid_from_s", "valid_until_s", "uses", "profile", "state")
        output.print_json(
            [
                {name: getattr(row, name) for name in fields} | {"standing": visitors.visit_state(row, now_s)}
                for row in rows
            ]
        )
        return
    heads = output.pick("编号 姓 状态 开始 结束 车牌", "id name state from until plate").split()
    output.print_table(
        heads,
        [
            [
                row.id,
                mask_name(row.visitor_name),
                visitors.visit_state(row, now_s),
                output.clock_words(row.valid_from_s * 1000),
                output.clock_words(row.valid_until_s * 1000),
                row.plate or "-",
            ]
            for row in rows
        ],
    )


@app.command()
def check(
    code: Annotated[str, typer.Argument(help="The six digits.")], site: SiteOption = None, config: ConfigOption = None
) -> None:
    """Say whose code this is and whether it is valid now. Exit 3 when it is nobody's."""
    if not is_code(code):
        raise ConfigError("a code has 4 to 8 digits", zh="访客码为 4 到 8 位数字")
    with central(config) as engine, writing(engine) as conn:
        row = visitors.find_code(conn, the_site(conn, site), code)
    if row is None:
        raise NotFoundError("nobody has this code", zh="没有此访客码")
    until = output.clock_words(row.valid_until_s * 1000)
    typer.echo(f"{row.id}  {mask_name(row.visitor_name)}  {row.state}  {until}")


@app.command()
def cancel(
    visit: Annotated[str, typer.Argument(help="The visit's id (see `visitor list`).")],
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Withdraw a visit: its code, pass and plate stop at every gate."""
    with central(config) as engine:
        with writing(engine) as conn:
            where = visitors.site_of(conn, visit)
            visitors.cancel(conn, actor(), visit)
        output.say("访问已取消", "the visit is cancelled")
        report_effect(engine, where, is_wait=wait)
