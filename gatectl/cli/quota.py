"""`gatectl quota …`: a household's parking."""

from typing import Annotated

import typer

from gatectl.central import tenancy
from gatectl.central.database import writing
from gatectl.central.directory import site_of_household
from gatectl.cli import output
from gatectl.cli.office import (
    ConfigOption,
    JsonOption,
    SiteOption,
    WaitOption,
    actor,
    central,
    report_effect,
    the_household,
)
from gatectl.errors import ConfigError

app = typer.Typer(help="A household's parking: show, set.", no_args_is_help=True)

DoorArgument = Annotated[str, typer.Argument(help="The door, 3-2-501, or a household id.")]


@app.command()
def show(door: DoorArgument, site: SiteOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """How many cars may be inside at once, and which are."""
    with central(config) as engine, engine.connect() as conn:
        found = tenancy.quota(conn, the_household(conn, door, site))
    if json:
        output.print_json(found)
        return
    count = output.pick("不限", "any number") if found.quota is None else str(found.quota)
    typer.echo(output.pick(f"车位 {len(found.inside)}/{count}", f"{len(found.inside)} of {count} inside"))
    for subject in found.inside:
        typer.echo(f"  {subject.removeprefix('plate:')}")


@app.command("set")
def set_quota(
    door: DoorArgument,
    cars: Annotated[str, typer.Argument(help="Cars inside at once, or `any`.")],
    unloading: Annotated[int, typer.Option("--unloading", min=0, help="Minutes for one car more.")] = 0,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Set a household's quota; the car beyond it is refused in words."""
    with central(config) as engine:
        with writing(engine) as conn:
            home = the_household(conn, door, site)
            tenancy.set_quota(conn, actor(), home, _count(cars), unloading_s=unloading * 60)
            where = site_of_household(conn, home)
        report_effect(engine, where, is_wait=wait)


def _count(cars: str) -> int | None:
    if cars == "any":
        return None
    if not cars.isdecimal():
        raise ConfigError(f"{cars!r} is neither a number nor `any`", zh=f"{cars!r} 不是数字,也不是 any")
    return int(cars)
