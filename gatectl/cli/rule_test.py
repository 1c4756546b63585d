"""`gatectl rule test`: what a gate would say to a card, a plate, a pass or a code, and every rule that it asked."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gatectl.cli import output
from gatectl.core.cards import parse_card
from gatectl.core.codes import code_key, is_code
from gatectl.core.decide import decide
from gatectl.core.model import (
    Attempt,
    CharVote,
    ClockTrust,
    Decision,
    LaneId,
    LaneKind,
    LaneState,
    PlateRead,
    Verdict,
    WhitelistView,
)
from gatectl.core.plates import parse_plate
from gatectl.core.reasons import words
from gatectl.core.trace_words import step_words
from gatectl.edge.dry_run import occupancy_on_disk, view_on_disk
from gatectl.edge.lanes import lane_of
from gatectl.errors import ConfigError, NotFoundError, PayloadError
from gatectl.settings import EdgeSettings, LaneSettings, load_settings
from gatectl.wire.passes import read_pass

MARKS = {"pass": "✓", "fail": "✗", "skip": "–"}
_COLOURS = {Verdict.GRANTED: typer.colors.GREEN, Verdict.DENIED: typer.colors.RED, Verdict.HELD: typer.colors.YELLOW}


def rule_test(
    config: Annotated[Path, typer.Option("--config", "-c", help="The gate's TOML file.")],
    lane: Annotated[str, typer.Option("--lane", help="A lane of the gate; may be left out where there is one.")] = "",
    card: Annotated[str, typer.Option("--card", help="A card number in any printed form.")] = "",
    plate: Annotated[str, typer.Option("--plate", help="A plate, taken as read for sure.")] = "",
    visitor_pass: Annotated[str, typer.Option("--pass", help="The text of a visitor pass.")] = "",
    code: Annotated[str, typer.Option("--code", help="The digits of a PIN or a visitor code.")] = "",
    at: Annotated[str, typer.Option("--at", help="2026-05-01T08:30 in site time. [now]")] = "",
    empty: Annotated[bool, typer.Option("--empty", help="As if no vehicle stood at the lane.")] = False,
    link_down: Annotated[bool, typer.Option("--link-down", help="As if the other gates could not be heard.")] = False,
    clock_untrusted: Annotated[bool, typer.Option("--clock-untrusted", help="As if the clock were not set.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Ask a gate's own list what it would say; nothing opens, nothing is recorded. Exit 10 when it would not open."""
    settings = load_settings(EdgeSettings, config)
    found = _lane(settings, lane)
    when = _time(at) if at else datetime.now(UTC)
    view = view_on_disk(settings)
    attempt = _attempt(view, found, when, card=card, plate=plate, visitor_pass=visitor_pass, code=code)
    state = _state(settings, found, when, is_empty=empty, is_link_up=not link_down, is_clock_set=not clock_untrusted)
    decision = decide(attempt, view, state)
    if as_json:
        output.print_json(_document(decision, attempt))
    else:
        _show(decision)
    if decision.verdict is not Verdict.GRANTED:
        raise typer.Exit(10)


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--at: {text!r} is no time, e.g. 2026-05-01T08:30", zh=f"--at:{text} 不是时间") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=output.SITE_TIME)


def _lane(settings: EdgeSettings, name: str) -> LaneSettings:
    names = [lane.id for lane in settings.lanes]
    if not name and len(names) == 1:
        return settings.lanes[0]
    for lane in settings.lanes:
        if lane.id == name:
            return lane
    if not name:
        raise ConfigError(f"--lane: one of {', '.join(names)}", zh=f"--lane:请选择 {'、'.join(names)}")
    raise NotFoundError(
        f"no lane {name!r} at this gate; it has {', '.join(names)}", zh=f"本闸口没有通道 {name};有 {'、'.join(names)}"
    )


def _attempt(
    view: WhitelistView, lane: LaneSettings, at: datetime, *, card: str, plate: str, visitor_pass: str, code: str
) -> Attempt:
    """Raises ConfigError unless exactly one credential is given, and it is one."""
    if sum(map(bool, (card, plate, visitor_pass, code))) != 1:
        raise ConfigError(
            "give one of --card, --plate, --pass and --code", zh="--card、--plate、--pass、--code 请给出其中一个"
        )
    key = read = claim = None
    try:
        if card:
            key = parse_card(card)
        elif plate:
            read = _sure_read(plate)
        elif code:
            if not is_code(code):
                raise ConfigError("--code: 4 to 8 digits", zh="--code:4 到 8 位数字")
            key = code_key(view.code_salt, code)
        else:
            claim = read_pass(visitor_pass, view.issuers)
    except (ValueError, PayloadError) as error:
        raise ConfigError(str(error)) from error
    return Attempt("dry-run", LaneId(lane.id), lane.direction, at, "dry-run", key=key, plate=read, claim=claim)


def _sure_read(text: str) -> PlateRead:
    """What the reader would say of this plate seen clearly: the colour is the first that such plates are issued in."""
    parsed = parse_plate(text)
    if parsed is None:
        return PlateRead(text.upper(), 1.0, None, 1)
    chars = tuple(CharVote(((char, 1.0),)) for char in parsed.text)
    colour = next(iter(parsed.colours)) if len(parsed.colours) == 1 else None
    return PlateRead(parsed.text, 1.0, colour, 1, chars, ((parsed.text, 1.0),))


def _state(
    settings: EdgeSettings, lane: LaneSettings, at: datetime, *, is_empty: bool, is_link_up: bool, is_clock_set: bool
) -> LaneState:
    return LaneState(
        lane=lane_of(settings, lane.id),
        is_present=not is_empty if lane.kind is LaneKind.VEHICLE else None,
        clock=ClockTrust.SYNCED if is_clock_set else ClockTrust.UNTRUSTED,
        occupancy=occupancy_on_disk(settings, int(at.timestamp())),
        is_link_up=is_link_up,
    )


def _document(decision: Decision, attempt: Attempt) -> dict[str, Any]:
    return {
        "lane": attempt.lane,
        "at": attempt.at.isoformat(),
        "verdict": decision.verdict.value,
        "reason": decision.reason.name,
        "words": {"zh": words(decision.reason, "zh"), "en": words(decision.reason, "en")},
        "list": {"epoch": decision.revision[0], "version": decision.revision[1]},
        "link_policy": decision.link_policy,
        "trace": [{"rule": step.rule, "value": step.value, "outcome": step.outcome} for step in decision.trace],
    }


def _show(decision: Decision) -> None:
    language = output.language()
    said = {
        Verdict.GRANTED: output.pick("放行", "opens"),
        Verdict.DENIED: output.pick("拒绝", "refuses"),
        Verdict.HELD: output.pick("等候值班", "holds for the guard"),
    }[decision.verdict]
    typer.secho(f"{said}: {words(decision.reason, language)} ({decision.reason.name})", fg=_COLOURS[decision.verdict])
    for step in decision.trace:
        rule, value, outcome = step_words(step, language)
        typer.echo(f"  {MARKS[step.outcome]} {rule}: {value} ({outcome})")
    epoch, version = decision.revision
    output.say(f"名单版本 {version}({epoch[:8]})", f"list version {version} ({epoch[:8]})")
