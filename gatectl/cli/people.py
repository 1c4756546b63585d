"""`gatectl people …` and `gatectl household …`: who lives where, and for how long."""

import time
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer

from gatectl.central import residents, rules, tenancy
from gatectl.central.database import writing
from gatectl.central.directory import site_of_household
from gatectl.cli import output
from gatectl.cli.office import (
    ConfigOption,
    JsonOption,
    RevealOption,
    SiteOption,
    WaitOption,
    actor,
    central,
    end_seconds,
    log_reveal,
    report_effect,
    the_household,
    the_site,
)
from gatectl.core.model import CredentialKind, Profile
from gatectl.errors import ConfigError, NotFoundError, RefusedError

app = typer.Typer(help="People: find, show, add, edit, profile, remove; tenancies, move-out.", no_args_is_help=True)
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


@app.command()
def profile(
    person: Annotated[str, typer.Argument(help="The person's id (see `people find`).")],
    kind: Annotated[Profile | None, typer.Argument(metavar="PROFILE", help=", ".join(Profile))] = None,
    hours: Annotated[
        str | None, typer.Option("--hours", help="Days and hours: mon-fri 08:00-18:00, sat 08:00-12:00; '' = always.")
    ] = None,
    level: Annotated[str | None, typer.Option("--level", help="An access level instead (see `rule list`).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="2026-12-31 or 2026-12-31T18:00; '' = no end.")] = None,
    stay: Annotated[
        int | None, typer.Option("--stay", min=0, help="Expected to leave within so many minutes; 0 = any time.")
    ] = None,
    extended_open: Annotated[
        bool | None, typer.Option("--extended-open/--no-extended-open", help="Hold the way open longer.")
    ] = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say what somebody is to the site, and when all their cards serve; keeps what is not given, and shows it."""
    if hours is not None and level is not None:
        raise ConfigError("give --hours or --level, not both", zh="--hours 与 --level 只能给一个")
    is_change = any(value is not None for value in (kind, hours, level, until, stay, extended_open))
    with central(config) as engine:
        with writing(engine) as conn:
            site = residents.person(conn, person).site_id
            terms = tenancy.terms_of(conn, person)
            if kind is not None:
                terms = replace(terms, profile=kind)
            if hours is not None:
                terms = replace(terms, level_id=rules.level_for_hours(conn, actor(), site, hours) if hours else "")
            if level is not None:
                terms = replace(terms, level_id=level)
            if until is not None:
                terms = replace(terms, until_s=end_seconds(until, "--until") if until else None)
            if stay is not None:
                terms = replace(terms, max_stay_s=stay * 60)
            if is_change:
                tenancy.set_terms(conn, actor(), person, terms)
            if extended_open is not None:
                residents.edit_person(conn, actor(), person, extended_open=extended_open)
        _print_terms(person, terms, json)
        if is_change:
            report_effect(engine, site, is_wait=wait)


def _print_terms(person: str, terms: tenancy.Terms, json: bool) -> None:
    if json:
        output.print_json(
            {
                "person_id": person,
                "profile": terms.profile.value,
                "level": terms.level_id,
                "until_s": terms.until_s,
                "max_stay_s": terms.max_stay_s,
            }
        )
        return
    end = output.pick("无期限", "no end") if terms.until_s is None else output.clock_words(terms.until_s * 1000)
    stay = output.pick(f"停留 {terms.max_stay_s // 60} 分钟", f"leaves within {terms.max_stay_s // 60} min")
    typer.echo("  ".join([terms.profile, terms.level_id or "residents", end, *([stay] if terms.max_stay_s else [])]))


# --- tenancies -------------------------------------------------------------------------------------


@app.command("tenancy")
def set_tenancy(
    door: DoorArgument,
    until: Annotated[str, typer.Argument(metavar="END", help="2026-12-31 (its last second), a time, or `none`.")],
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Let a flat until a date: the tenants' cards and all its cars stop then; for 24 h more they may leave."""
    until_s = None if until == "none" else end_seconds(until, "END")
    with central(config) as engine:
        with writing(engine) as conn:
            home = the_household(conn, door, site)
            tenancy.set_tenancy(conn, actor(), home, until_s)
            where = site_of_household(conn, home)
        if until_s is None:
            output.say("已取消租期", "the tenancy has no end now")
        else:
            end = output.clock_words(until_s * 1000)
            output.say(f"租期至 {end},此后 24 小时内仍可离开", f"let until {end}; for 24 h more they may leave")
        report_effect(engine, where, is_wait=wait)


@app.command()
def tenancies(
    within: Annotated[int, typer.Option("--within", min=0, max=3660, help="Days ahead.")] = 14,
    site: SiteOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the tenancies that are over, with credentials that nobody took back, and those that end soon."""
    now_s = int(time.time())
    with central(config) as engine, engine.connect() as conn:
        found = tenancy.endings(conn, the_site(conn, site) if site else None, now_s + within * 86_400)
    if json:
        output.print_json([{**_fields(one), "is_over": one.until_s <= now_s} for one in found])
        return
    heads = output.pick("小区 房号 租期至 剩余天数 凭证", "site door until days credentials").split()
    rows = [
        [
            one.site_id,
            one.door,
            output.clock_words(one.until_s * 1000),
            str((one.until_s - now_s) // 86_400),
            str(one.credentials),
        ]
        for one in found
    ]
    output.print_table(heads, rows)


def _fields(one: tenancy.Ending) -> dict[str, Any]:
    return {
        "household_id": one.household_id,
        "site": one.site_id,
        "door": one.door,
        "until": datetime.fromtimestamp(one.until_s, output.SITE_TIME).isoformat(),
        "credentials": one.credentials,
    }


@app.command("move-out")
def move_out(
    door: DoorArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Revoke all that a household holds, take its people out, and list the cards to ask back (退租)."""
    with central(config) as engine:
        with engine.connect() as conn:
            home = the_household(conn, door, site)
            view = residents.household(conn, home)
        if view is None:
            raise NotFoundError(f"no household {door!r}", zh=f"没有 {door!r} 这户")
        people, cars = len(view.members), sum(car.state == "active" for car in view.vehicles)
        output.say(
            f"{view.door}:{people} 人、{cars} 辆车,全部凭证将注销",
            f"{view.door}: {people} people, {cars} cars; every credential is revoked",
        )
        if not yes and not typer.confirm(output.pick("继续?", "go on?"), err=True):
            raise RefusedError("nothing was changed; --yes does not ask", zh="未作更改;用 --yes 可跳过确认")
        with writing(engine) as conn:
            revoked = tenancy.move_out(conn, actor(), home)
        cards = [residents.mask_key(row.key) for row in revoked if row.kind == CredentialKind.CARD]
        if json:
            output.print_json({"household_id": home, "revoked": len(revoked), "cards": cards})
        else:
            output.say(f"已注销 {len(revoked)} 个凭证;请收回:", f"{len(revoked)} credentials revoked; ask back:")
            for card in cards:
                typer.echo(card)
        report_effect(engine, view.site_id, is_wait=wait)


# --- households ------------------------------------------------------------------------------------


def _home(view: residents.HouseholdView, *, is_open: bool) -> dict[str, Any]:
    now_s = int(time.time())
    return {
        "household_id": view.id,
        "site": view.site_id,
        "door": view.door,
        "quota": view.quota,
        "unloading_s": view.unloading_s,
        "tenancy_until_s": view.tenancy_until_s,
        "members": [
            {
                "person_id": member.id,
                "name": member.name if is_open else residents.mask_name(member.name),
                "phone": member.phone if is_open else residents.mask_phone(member.phone),
                "relation": member.relation,
                "profile": member.profile,
                "level": member.level_id,
                "until_s": member.valid_until_s,
                "max_stay_s": member.max_stay_s,
                "extended_open": member.extended_open,
            }
            for member in view.members
        ],
        "cards": [
            {
                "credential_id": card.id,
                "card": card.key if is_open else residents.mask_key(card.key),
                "forms": dict(card.forms) if is_open else {},
                "state": residents.standing(card.state, card.valid_from_s, card.valid_until_s, now_s),
                "has_no_plate": card.has_no_plate,
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
                "state": residents.standing(car.state, car.valid_from_s, car.valid_until_s, now_s),
                "has_fixed_space": car.has_fixed_space,
                "exit_until_s": car.exit_until_s,
                "note": car.note,
            }
            for car in view.vehicles
        ],
    }


def _print_home(home: dict[str, Any]) -> None:
    typer.echo(f"{home['site']}  {home['door']}  [{home['household_id']}]")
    if home["tenancy_until_s"]:
        end = output.clock_words(home["tenancy_until_s"] * 1000)
        typer.echo(output.pick(f"租期至 {end}", f"let until {end}"))
    for heading, items in (
        (output.pick("成员", "members"), home["members"]),
        (output.pick("卡", "cards"), home["cards"]),
        (output.pick("车辆", "vehicles"), home["vehicles"]),
    ):
        typer.echo(f"{heading}: {len(items) or '-'}")
        for item in items:
            typer.echo("  " + "  ".join(_shown(name, value) for name, value in item.items() if value))


def _shown(name: str, value: Any) -> str:
    """A value that says what it is: flags by their names, times as times."""
    if value is True:
        return name
    if name.endswith("until_s"):
        return f"{name.removesuffix('_s')} {output.clock_words(value * 1000)}"
    return f"{value // 60} min" if name == "max_stay_s" else str(value)


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
