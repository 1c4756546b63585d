"""`gatectl emergency …`: open every lane and keep it open, release it, and the list of emergency vehicles."""

import time
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine, select

from gatectl.central import gates, rules, tables
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, actor, central
from gatectl.errors import ConfigError

app = typer.Typer(help="Emergencies: open, release, list, import.", no_args_is_help=True)

WhereArgument = Annotated[str, typer.Argument(help="A gate or a whole site.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in words.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=1, max=120, help="Seconds to wait.")]
POLL_S = 0.1


@app.command("open")
def open_all(
    where: WhereArgument, reason: ReasonOption, timeout: TimeoutOption = 20.0, config: ConfigOption = None
) -> None:
    """Open every lane of a gate or site, to stand open until it is released. Exit 9: not all confirmed."""
    _order(config, where, reason, timeout, is_release=False)


@app.command()
def release(
    where: WhereArgument, reason: ReasonOption, timeout: TimeoutOption = 20.0, config: ConfigOption = None
) -> None:
    """End an emergency, fire's included once its contact is quiet; arms come down when nothing stands under them."""
    _order(config, where, reason, timeout, is_release=True)


def _order(config: Path | None, where: str, reason: str, timeout_s: float, *, is_release: bool) -> None:
    with central(config) as engine:
        with writing(engine) as conn:
            orders = gates.order_emergency(conn, actor(), where, is_release, reason)
        rows = _wait(engine, orders, timeout_s)
    for row in rows:
        typer.echo(f"{row.lane_id}\t{row.state}\t{row.words}")
    missing = [row.lane_id for row in rows if row.state != "confirmed"]
    if missing:
        names = ", ".join(missing)
        raise output.UnconfirmedError(f"not confirmed: {names}", zh=f"未确认:{names}")


def _wait(engine: Engine, orders: tuple[str, ...], timeout_s: float) -> list[gates.CommandRow]:
    ends_s = time.monotonic() + timeout_s
    while True:
        with engine.connect() as conn:
            rows = [gates.command(conn, order) for order in orders]
        if all(row.is_final for row in rows) or time.monotonic() >= ends_s:
            return rows
        time.sleep(POLL_S)


@app.command("list")
def list_plates(config: ConfigOption = None, json: JsonOption = False) -> None:
    """The emergency vehicles that every gate lets in."""
    with central(config) as engine, engine.connect() as conn:
        rows = conn.execute(select(tables.emergency_plates).order_by(tables.emergency_plates.c.plate)).all()
    if json:
        output.print_json([{"plate": row.plate, "note": row.note} for row in rows])
    else:
        output.print_table(output.pick("车牌 备注", "plate note").split(), [[row.plate, row.note] for row in rows])


@app.command("import")
def import_plates(
    file: Annotated[Path, typer.Argument(help="One plate a line, a note after a comma.")],
    config: ConfigOption = None,
) -> None:
    """Take plates into the emergency list of every site. Nothing is taken when a line is wrong: all are named."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    with central(config) as engine, writing(engine) as conn:
        added = rules.import_emergency(conn, actor(), lines)
    output.say(f"已加入 {added} 个车牌", f"{added} plates added")
