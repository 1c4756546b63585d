"""`gatectl people …` and `gatectl household …`: who lives where."""

from typing import Annotated, Any

import typer

from gatectl.central import residents
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import (
    ConfigOption,
    JsonOption,
    RevealOption,
    SiteOption,
    WaitOption,
    actor,
    central,
    log_reveal,
    report_effect,
    the_household,
    the_site,
)
from gatectl.errors import NotFoundError, RefusedError

app = typer.Typer(help="People: find, show, add, edit, remove.", no_args_is_help=True)
household_app = typer.Typer(help="Households: add, show.", no_args_is_help=True)

DoorArgument = Annotated[str, typer.Argument(help="The door, 3-2-501, or a household id.")]


def _person(row: residents.PersonRow, *, is_open: bool) -> dict[str, Any]:
    return {
        "person_id": row.person_id,
        "household_id": row.household_id,
        "site": row.site_id,
        "door": row.door,
        "name": row.name if is_open else row.masked_name,
        "phone": row.phone if is_open else row.masked_phone,
        "relation": row.relation,
        "cards": row.cards,
        "vehicles": row.vehicles,
        "matched": row.matched,
    }


@app.command()
def find(
    query: Annotated[
        str, typer.Argument(help="Name, room (3-2-501), phone tail (4+ digits), card number, or part of a plate.")
    ],
    site: SiteOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    reveal: RevealOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Find people. Exit 3 when nobody is found."""
    with central(config) as engine:
        is_open = log_reveal(engine, reveal, "people.find")
        with engine.connect() as conn:
            rows = [_person(row, is_open=is_open) for row in residents.find_people(conn, query, site, limit)]
    if json:
        output.print_json(rows)
    elif rows:
        heads = output.pick(
            "编号 小区 房号 姓名 电话 关系 卡 车辆 依据", "id site door name phone relation cards vehicles matched"
        ).split()
        fields = ("person_id", "site", "door", "name", "phone", "relation", "cards", "vehicles", "matched")
        output.print_table(heads, [[str(row[field]) for field in fields] for row in rows])
    if not rows:
        raise NotFoundError(f"nobody matches {query!r}", zh=f"没有找到“{query}”")


@app.command()
def show(
    person: Annotated[str, typer.Argument(help="The person's id (see `people find`).")],
    reveal: RevealOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show a person with the household, its cards and its vehicles."""
    with central(config) as engine:
        is_open = log_reveal(engine, reveal, person)
        with engine.connect() as conn:
            found = residents.person(conn, person)
            home = residents.household(conn, found.household_id)
    if home is None:
        raise NotFoundError(f"no household of {person!r}", zh="没有这户")
    document = {"person": _person(found, is_open=is_open), "household": _home(home, is_open=is_open)}
    if json:
        output.print_json(document)
        return
    typer.echo(f"{document['person']['name']}  {document['person']['phone']}  {found.relation}  [{found.person_id}]")
    _print_home(document["household"])


@app.command()
def add(
    door: DoorArgument,
    name: Annotated[str, typer.Argument(help="The person's name.")],
    phone: Annotated[str, typer.Option()] = "",
    relation: Annotated[str, typer.Option(help="owner, family, tenant, helper or resident.")] = "resident",
    site: SiteOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Add a person to a household; prints the new id."""
    with central(config) as engine, writing(engine) as conn:
        home = the_household(conn, door, site)
        person_id = residents.add_person(conn, actor(), home, name, phone, relation)
    _print_id(person_id, json)


@app.command()
def edit(
    person: Annotated[str, typer.Argument(help="The person's id.")],
    name: Annotated[str | None, typer.Option()] = None,
    phone: Annotated[str | None, typer.Option()] = None,
    relation: Annotated[str | None, typer.Option()] = None,
    extended_open: Annotated[
        bool | None, typer.Option("--extended-open/--no-extended-open", help="Hold the way open longer.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Change what is given; keep the rest."""
    with central(config) as engine, writing(engine) as conn:
        residents.edit_person(
            conn, actor(), person, name=name, phone=phone, relation=relation, extended_open=extended_open
        )
    output.say("已保存", "saved")


@app.command()
def remove(
    person: Annotated[str, typer.Argument(help="The person's id.")],
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Take a person out of the household and revoke the person's cards."""
    with central(config) as engine:
        with writing(engine) as conn:
            site = residents.person(conn, person).site_id
            cards = residents.remove_person(conn, actor(), person)
        output.say(f"已移除,注销 {cards} 张卡", f"removed; {cards} card(s) revoked")
        report_effect(engine, site, is_wait=wait)


# --- households ------------------------------------------------------------------------------------


def _home(view: residents.HouseholdView, *, is_open: bool) -> dict[str, Any]:
    return {
        "household_id": view.id,
        "site": view.site_id,
        "door": view.door,
        "members": [
            {
                "person_id": member.id,
                "name": member.name if is_open else residents.mask_name(member.name),
                "phone": member.phone if is_open else residents.mask_phone(member.phone),
                "relation": member.relation,
            }
            for member in view.members
        ],
        "cards": [
            {
                "credential_id": card.id,
                "card": card.key if is_open else residents.mask_key(card.key),
                "forms": dict(card.forms) if is_open else {},
                "state": card.state,
                "person_id": card.person_id,
                "note": card.note,
            }
            for card in view.cards
        ],
        "vehicles": [
            {
                "credential_id": car.id,
                "plate": car.plate,
                "colour": car.colour,
                "state": car.state,
                "note": car.note,
            }
            for car in view.vehicles
        ],
    }


def _print_home(home: dict[str, Any]) -> None:
    typer.echo(f"{home['site']}  {home['door']}  [{home['household_id']}]")
    for heading, items in (
        (output.pick("成员", "members"), home["members"]),
        (output.pick("卡", "cards"), home["cards"]),
        (output.pick("车辆", "vehicles"), home["vehicles"]),
    ):
        typer.echo(f"{heading}: {len(items) or '-'}")
        for item in items:
            typer.echo("  " + "  ".join(str(value) for value in item.values() if value))


def _print_id(made: str, json: bool) -> None:
    if json:
        output.print_json({"id": made})
    else:
        typer.echo(made)


@household_app.command("add")
def add_household(
    door: Annotated[str, typer.Argument(help="Building-unit-room, e.g. 3-2-501, or building-room.")],
    site: SiteOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Add a household; prints the new id."""
    parts = residents.split_room(door)
    if parts is None:
        raise RefusedError(f"{door!r} is no door, e.g. 3-2-501", zh=f"“{door}”不是房号,例:3-2-501")
    with central(config) as engine, writing(engine) as conn:
        made = residents.add_household(conn, actor(), the_site(conn, site), *parts)
    _print_id(made, json)


@household_app.command("show")
def show_household(
    door: DoorArgument,
    site: SiteOption = None,
    reveal: RevealOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show a household with its members, cards and vehicles."""
    with central(config) as engine:
        is_open = log_reveal(engine, reveal, "household.show")
        with engine.connect() as conn:
            view = residents.household(conn, the_household(conn, door, site))
    if view is None:
        raise NotFoundError(f"no household {door!r}", zh=f"没有 {door!r} 这户")
    home = _home(view, is_open=is_open)
    if json:
        output.print_json(home)
    else:
        _print_home(home)
