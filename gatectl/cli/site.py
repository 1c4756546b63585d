"""`gatectl site …` and `gatectl lane …`: enter what a real central is built of."""

from typing import Annotated

import typer

from gatectl.central import sites
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, actor, central
from gatectl.core.model import Direction, LaneKind

app = typer.Typer(help="Sites: list, add.", no_args_is_help=True)
lane_app = typer.Typer(help="Lanes: list, add.", no_args_is_help=True)

ZhOption = Annotated[str, typer.Option("--zh", help="Its name in Chinese.")]
EnOption = Annotated[str, typer.Option("--en", help="Its name in English.")]


@app.command("list")
def list_sites(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the sites."""
    with central(config) as engine, engine.connect() as conn:
        rows = sites.list_sites(conn)
    if json:
        output.print_json(rows)
        return
    heads = output.pick("小区 名称 英文名 村社 闸口 通道", "site name english village gates lanes").split()
    output.print_table(
        heads, [[row.id, row.name_zh, row.name_en, row.village, str(row.gates), str(row.lanes)] for row in rows]
    )


@app.command("add")
def add_site(
    site: Annotated[str, typer.Argument(help="Its id: small letters, digits, - and _.")],
    zh: ZhOption,
    en: EnOption,
    village: Annotated[str, typer.Option("--village", help="The village or street that it belongs to.")] = "",
    config: ConfigOption = None,
) -> None:
    """Enter a site."""
    with central(config) as engine, writing(engine) as conn:
        sites.add_site(conn, actor(), site, zh, en, village)
    output.say(f"已添加小区 {site}", f"site {site} is entered; next: gatectl gate add")


@lane_app.command("list")
def list_lanes(
    gate: Annotated[str | None, typer.Option("--gate")] = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List the lanes."""
    with central(config) as engine, engine.connect() as conn:
        rows = sites.list_lanes(conn, gate)
    if json:
        output.print_json(rows)
        return
    heads = output.pick("通道 闸口 小区 类型 方向 名称", "lane gate site kind direction name").split()
    output.print_table(
        heads,
        [[row.id, row.gate, row.site, row.kind, row.direction, output.pick(row.name_zh, row.name_en)] for row in rows],
    )


@lane_app.command("add")
def add_lane(
    lane: Annotated[str, typer.Argument(help="Its id, as in the gate's own file.")],
    gate: Annotated[str, typer.Option("--gate", help="The gate that it belongs to.")],
    kind: Annotated[LaneKind, typer.Option("--kind")],
    direction: Annotated[Direction, typer.Option("--direction")],
    zh: ZhOption,
    en: EnOption,
    config: ConfigOption = None,
) -> None:
    """Enter a lane; residents' cards open it, and their cars where it is for cars."""
    with central(config) as engine, writing(engine) as conn:
        sites.add_lane(conn, actor(), lane, gate, kind, direction, zh, en)
    output.say(f"已添加通道 {lane}", f"lane {lane} is entered")
