"""`gatectl vehicle …`: add, edit, revoke."""

from typing import Annotated

import typer
from sqlalchemy import Connection

from gatectl.central import residents
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import (
    ConfigOption,
    JsonOption,
    SiteOption,
    WaitOption,
    actor,
    central,
    report_effect,
    site_of_credential,
    the_household,
)
from gatectl.core.model import PlateColour

app = typer.Typer(help="Vehicles: add, edit, revoke.", no_args_is_help=True)

ColourOption = Annotated[PlateColour | None, typer.Option("--colour", help="Else as the plate's form tells.")]
VehicleArgument = Annotated[str, typer.Argument(help="The plate, or the credential's id.")]


def _warn_near(conn: Connection, site: str, plate: str) -> tuple[str, ...]:
    near = residents.near_plates(conn, site, plate)
    if near:
        output.say(f"注意:本小区有相近车牌 {'、'.join(near)}", f"note: near-identical plates here: {', '.join(near)}")
    return near


@app.command()
def add(
    door: Annotated[str, typer.Argument(help="The door, 3-2-501, or a household id.")],
    plate: Annotated[str, typer.Argument(help="e.g. 粤E12345 or 粤ED12345")],
    colour: ColourOption = None,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Register a household's vehicle; prints the credential's id and warns of near-identical plates."""
    with central(config) as engine:
        with writing(engine) as conn:
            made = residents.add_vehicle(conn, actor(), the_household(conn, door, site), plate, colour)
            where = site_of_credential(conn, made)
            near = _warn_near(conn, where, plate)
        if json:
            output.print_json({"id": made, "site": where, "near": near})
        else:
            typer.echo(made)
        report_effect(engine, where, is_wait=wait)


@app.command()
def edit(
    vehicle: VehicleArgument,
    plate: Annotated[str, typer.Argument(help="The plate as it shall be.")],
    colour: ColourOption = None,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change a vehicle's plate or colour; the old plate stays in the household's history, revoked."""
    with central(config) as engine:
        with writing(engine) as conn:
            made = residents.edit_vehicle(conn, actor(), vehicle, plate, colour, site=site)
            where = site_of_credential(conn, made)
            near = _warn_near(conn, where, plate)
        if json:
            output.print_json({"id": made, "site": where, "near": near})
        else:
            typer.echo(made)
        report_effect(engine, where, is_wait=wait)


@app.command()
def revoke(
    vehicle: VehicleArgument,
    note: Annotated[str, typer.Option("--note", help="Kept with the vehicle.")] = "",
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Take a vehicle's right away."""
    with central(config) as engine:
        with writing(engine) as conn:
            changed = residents.revoke_vehicle(conn, actor(), vehicle, note=note, site=site)
            where = site_of_credential(conn, changed)
        output.say("车辆已注销", "vehicle is revoked")
        report_effect(engine, where, is_wait=wait)
