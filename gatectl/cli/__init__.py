"""The command line: nouns, then verbs. Each noun's module is imported only when it is called."""

import importlib
from typing import Annotated, Any, Literal, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from gatectl import __version__
from gatectl.cli import output
from gatectl.errors import ConfigError, GatectlError


class _Noun(NamedTuple):
    """Where a command lives; `is_group` has verbs below it."""

    target: str
    help: str
    is_group: bool


_NOUNS = {
    "demo": _Noun("gatectl.cli.demo:demo", "A whole town of gates on this machine, console included.", False),
    "doctor": _Noun("gatectl.cli.doctor:doctor", "Check this machine; each finding says how to repair it.", False),
    "edge": _Noun("gatectl.cli.edge:app", "The daemon of one gate.", True),
    "central": _Noun("gatectl.cli.central:app", "The server: web, ingest, migrate.", True),
    "site": _Noun("gatectl.cli.site:app", "Sites: list, add.", True),
    "lane": _Noun("gatectl.cli.site:lane_app", "Lanes: list, add.", True),
    "mqtt": _Noun("gatectl.cli.mqtt:app", "The broker's files: ACL, revoked certificates, its own certificate.", True),
    "gate": _Noun("gatectl.cli.gate:app", "Gates: list, open, refuse.", True),
    "reader": _Noun("gatectl.cli.reader:app", "Readers: listen, keys, install, accept.", True),
    "people": _Noun("gatectl.cli.people:app", "People: find, show, add, edit, profile; tenancies.", True),
    "household": _Noun("gatectl.cli.people:household_app", "Households: add, show.", True),
    "card": _Noun("gatectl.cli.card:app", "Cards: issue, lost, revoke, restore, convert.", True),
    "vehicle": _Noun("gatectl.cli.vehicle:app", "Vehicles: add, edit, space, near, revoke.", True),
    "events": _Noun("gatectl.cli.events:events", "Search the event log.", False),
    "event": _Noun("gatectl.cli.events:event_app", "One event in full.", True),
    "follow": _Noun("gatectl.cli.events:follow", "Watch events as they come in.", False),
    "plate": _Noun("gatectl.cli.plate:app", "Read, evaluate and parse licence plates.", True),
    "rule": _Noun("gatectl.cli.rule:app", "Rules: list, lane, area, schedule, level, test.", True),
    "visitor": _Noun("gatectl.cli.visitor:app", "Visitors and couriers: invite, list, check, cancel.", True),
    "quota": _Noun("gatectl.cli.quota:app", "A household's parking: show, set.", True),
    "inside": _Noun("gatectl.cli.inside:app", "Who is inside; correct the count.", True),
    "holiday": _Noun("gatectl.cli.holiday:app", "Holidays and make-up workdays: list, import.", True),
    "emergency": _Noun("gatectl.cli.emergency:app", "Open every lane and keep it open; release; the list.", True),
    "audit": _Noun("gatectl.cli.audit:app", "Proof that no event was altered, lost or slipped in.", True),
    "retention": _Noun("gatectl.cli.retention:app", "What is deleted when; legal holds; proofs.", True),
    "bridge": _Noun("gatectl.cli.bridge:app", "The bridge's firmware: info, flash, selftest.", True),
    "lists": _Noun("gatectl.cli.lists:app", "Whitelists: status, diff, explain, rotate-key.", True),
    "bench": _Noun("gatectl.cli.bench:app", "Figures of speed, memory and false grants.", True),
    "users": _Noun("gatectl.cli.users:app", "Staff accounts: list, add, reset.", True),
}


def _load(name: str) -> Any:
    """Import a noun and build its command. Raises ConfigError when its module cannot be imported."""
    noun = _NOUNS[name]
    module, _, attribute = noun.target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(f"`gatectl {name}` cannot start: {error}", zh=f"gatectl {name} 无法启动:{error}") from error
    if noun.is_group:
        return typer.main.get_group(found)
    single = typer.Typer(pretty_exceptions_enable=False)
    single.command(name)(found)
    return typer.main.get_command(single)


class _LazyGroup(TyperGroup):
    """Shows every noun from the table above, imports the one that is called, and turns errors into exit codes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, noun in _NOUNS.items():
            self.add_command(TyperCommand(name, callback=None, help=noun.help), name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let `--lang` stand anywhere on the line."""
        return super().parse_args(ctx, _language_first(args))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the stub that help shows by the real command."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name in _NOUNS else command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what is raised on purpose ends in words on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except GatectlError as error:
            raise typer.Exit(output.report(error)) from error


def _language_first(args: list[str]) -> list[str]:
    """Move `--lang X` to the front; what follows `--` stays as it is."""
    end = args.index("--") if "--" in args else len(args)
    moved: list[str] = []
    kept: list[str] = []
    position = 0
    while position < end:
        if args[position] == "--lang" and position + 1 < end:
            moved += args[position : position + 2]
            position += 2
        elif args[position].startswith("--lang="):
            moved.append(args[position])
            position += 1
        else:
            kept.append(args[position])
            position += 1
    return moved + kept + args[end:]


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"gatectl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    lang: Annotated[
        Literal["zh", "en"] | None, typer.Option("--lang", help="Words in zh or en; else from LANG.")
    ] = None,
    version: Annotated[  # noqa: ARG001 - the option's callback does the work
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """gatectl: cards and licence plates decide at the gate, with or without a network."""
    output.set_language(lang)


def main() -> None:
    """The console script."""
    app(prog_name="gatectl")
