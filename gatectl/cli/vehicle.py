"""`gatectl vehicle …`: add, edit, space, near, revoke."""

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
    the_site,
)
from gatectl.core.model import PlateColour
from gatectl.core.plates import normalise, parse_plate
from gatectl.errors import RefusedError

app = typer.Typer(help="Vehicles: add, edit, space, near, revoke.", no_args_is_help=True)

ColourOption = Annotated[PlateColour | None, typer.Option("--colour", help="Else as the plate's form tells.")]
VehicleArgument = Annotated[str, typer.Argument(help="The plate, or the credential's id.")]


def _warn_near(conn: Connection, site: str, plate: str) -> tuple[residents.NearVehicle, ...]:
    """Say which plates of the site may be taken for this one, whose they are and why; enrolment goes on."""
    near = residents.near_vehicles(conn, site, plate)
    for one in near:
        output.say(f"注意:相近车牌 {one.words(plate, 'zh')}", f"note: near-identical plate {one.words(plate, 'en')}")
    return near


@app.command("near")
def near_plates(
    plate: Annotated[str, typer.Argument(help="e.g. 粤E12345")],
    site: SiteOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Which registered plates may be taken for this one, whose they are, and why. Changes nothing."""
    parsed = parse_plate(plate)
    if parsed is None:
        raise RefusedError(f"{plate!r} is not a plate, e.g. 粤E12345", zh=f"“{plate}”不是有效车牌,例:粤E12345")
    with central(config) as engine, engine.connect() as conn:
        found = residents.near_vehicles(conn, the_site(conn, site), parsed.text)
    if json:
        output.print_json(found)
        return
    for one in found:
        typer.echo(one.words(parsed.text, output.language()))
    if not found:
        output.say("没有相近车牌", "no plate here is like it")


@app.command()
def add(
    door: Annotated[str, typer.Argument(help="The door, 3-2-501, or a household id.")],
    plate: Annotated[str, typer.Argument(help="e.g. 粤E12345 or 粤ED12345")],
    colour: ColourOption = None,
    fixed_space: Annotated[
        bool, typer.Option("--fixed-space", help="It has a space of its own: never refused for a full car park.")
    ] = False,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Register a household's vehicle; prints the credential's id and warns of near-identical plates."""
    with central(config) as engine:
        with writing(engine) as conn:
            home = the_household(conn, door, site)
            made = residents.add_vehicle(conn, actor(), home, plate, colour, has_fixed_space=fixed_space)
            where = site_of_credential(conn, made)
            near = _warn_near(conn, where, normalise(plate))
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
    """Change a vehicle's plate or colour; the old plate may still leave for three days and stays in the history."""
    with central(config) as engine:
        with writing(engine) as conn:
            made = residents.edit_vehicle(conn, actor(), vehicle, plate, colour, site=site)
            where = site_of_credential(conn, made)
            near = _warn_near(conn, where, normalise(plate))
        if json:
            output.print_json({"id": made, "site": where, "near": near})
        else:
            typer.echo(made)
        report_effect(engine, where, is_wait=wait)


@app.command()
def space(
    vehicle: VehicleArgument,
    fixed: Annotated[bool, typer.Option("--fixed/--none", help="A parking space of its own (固定车位), or none.")],
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Give a vehicle a parking space of its own, or take it back."""
    with central(config) as engine:
        with writing(engine) as conn:
            changed = residents.set_fixed_space(conn, actor(), vehicle, fixed, site=site)
            where = site_of_credential(conn, changed)
        if fixed:
            output.say("已设为固定车位", "it has a space of its own")
        else:
            output.say("已取消固定车位", "it has no space of its own")
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
