"""`gatectl card …`: issue, lost, revoke, restore, convert."""

from pathlib import Path
from typing import Annotated

import typer

from gatectl.central import residents, tenancy
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import (
    ConfigOption,
    JsonOption,
    SiteOption,
    WaitOption,
    actor,
    central,
    end_seconds,
    report_effect,
    site_of_credential,
)
from gatectl.core.cards import other_forms, printed_forms, readings
from gatectl.core.model import GrantState
from gatectl.errors import ConfigError, RefusedError

WEDGE_TIMEOUT_S = 60.0

app = typer.Typer(help="Cards: issue, lost, revoke, restore, convert.", no_args_is_help=True)

CardArgument = Annotated[
    str, typer.Argument(help="The card: 10 hex digits, 10-digit decimal, 012,34567, w26:12:34567, or its id.")
]
NoteOption = Annotated[str, typer.Option("--note", help="Kept with the card.")]


def _from_reader(device: Path) -> str:
    """The card that is laid on the desk reader within a minute. Raises LinkError."""
    from gatectl.drivers.wedge import read_wedge

    output.say("请刷卡…", "lay the card on the reader…")
    card = read_wedge(device, WEDGE_TIMEOUT_S)
    output.say(f"读到:{card}", f"read: {card}")
    return card


@app.command()
def issue(
    person: Annotated[str, typer.Argument(help="The person's id (see `people find`).")],
    card: Annotated[str, typer.Argument(help="The number as printed or read, in any form.")] = "",
    reader: Annotated[
        Path | None,
        typer.Option("--reader", help="Read it from a USB desk reader: /dev/input/by-id/…-event-kbd."),
    ] = None,
    no_plate: Annotated[
        bool, typer.Option("--no-plate", help="For a car without plates (无牌车); opens for none that has some.")
    ] = False,
    until: Annotated[str, typer.Option("--until", help="When the paper plate ends: 2026-12-31 or a time.")] = "",
    wait: WaitOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Give a person a card; prints the credential's id."""
    if (reader is None) == (not card):
        raise ConfigError("give the card's number, or --reader", zh="请给出卡号,或用 --reader 指定桌面读卡器")
    if reader is not None:
        card = _from_reader(reader)
    until_s = end_seconds(until, "--until") if until else None
    with central(config) as engine:
        with writing(engine) as conn:
            made = residents.issue_card(conn, actor(), person, card, has_no_plate=no_plate, until_s=until_s)
            site = site_of_credential(conn, made)
        if json:
            output.print_json({"id": made, "site": site})
        else:
            typer.echo(made)
        report_effect(engine, site, is_wait=wait)


def _set_state(card: str, state: GrantState, note: str, site: str | None, wait: bool, config: ConfigOption) -> None:
    with central(config) as engine:
        with writing(engine) as conn:
            changed = residents.set_card_state(conn, actor(), card, state, note=note, site=site)
            where = site_of_credential(conn, changed)
        output.say(f"卡{residents.state_words(state, 'zh')}", f"card is {state}")
        report_effect(engine, where, is_wait=wait)


@app.command()
def lost(
    card: CardArgument,
    note: NoteOption = "",
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Report a card lost (挂失): the next tap is refused and raises an alarm."""
    _set_state(card, GrantState.LOST, note, site, wait, config)


@app.command()
def revoke(
    card: CardArgument,
    note: NoteOption = "",
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Revoke a card (注销): the next tap is refused."""
    _set_state(card, GrantState.REVOKED, note, site, wait, config)


@app.command()
def restore(
    card: CardArgument,
    note: NoteOption = "",
    site: SiteOption = None,
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a lost or revoked card valid again (解挂)."""
    _set_state(card, GrantState.ACTIVE, note, site, wait, config)


@app.command()
def pin(
    person: Annotated[str, typer.Argument(help="The person's id (see `people find`).")],
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Give a person a new PIN, shown this once. With its last digit one higher (9: 0) it opens and calls for help."""
    with central(config) as engine:
        with writing(engine) as conn:
            made = tenancy.issue_pin(conn, actor(), person)
            where = tenancy.site_of_person(conn, person)
        typer.echo(made)
        report_effect(engine, where, is_wait=wait)


@app.command()
def convert(
    number: Annotated[str, typer.Argument(help="A card number in any printed form.")],
    reversed_order: Annotated[bool, typer.Option("--reversed", help="Its last byte stands first.")] = False,
    json: JsonOption = False,
) -> None:
    """Show a card number in every form that cards, lists and readers' displays have, and all that it may mean."""
    try:
        keys = readings(number, is_reversed=reversed_order)
    except ValueError as error:
        raise RefusedError(f"not a card number: {error}", zh=f"卡号无效:{error}") from error
    cards = [{"key": str(key), **printed_forms(key), **other_forms(key)} for key in keys]
    if json:
        output.print_json({**cards[0], "other_readings": cards[1:]})
        return
    if len(cards) > 1:
        output.say(
            f"这个号码有 {len(cards)} 种读法;登记时可写 key 一行的写法以免混淆",
            f"this number can be read in {len(cards)} ways; enrol by the form in the line `key` to be sure",
        )
    names = dict.fromkeys(name for forms in cards for name in forms)
    heads = [output.pick("写法", "form"), *(output.pick(f"读法 {i}", f"reading {i}") for i in range(1, len(cards) + 1))]
    output.print_table(heads, [[name, *(forms.get(name, "") for forms in cards)] for name in names])
