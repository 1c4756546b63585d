"""`gatectl gate …`: the gates as central sees them, and orders to open or refuse."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal

import typer
from sqlalchemy import Connection, Engine

from gatectl.central import gates, rules
from gatectl.central.database import writing
from gatectl.cli import gate_identity, output
from gatectl.cli.office import ConfigOption, JsonOption, actor, central, report_effect
from gatectl.core.model import LaneMode
from gatectl.errors import ConfigError, LinkError, RefusedError

app = typer.Typer(help="Gates: list, open, refuse.", no_args_is_help=True)
app.add_typer(gate_identity.app)

POLL_S = 0.1
SEND_TIMEOUT_S = 5.0
"""Central's ingest takes an order off the table within 50 ms; this long means that it is not running."""
_STATE_WORDS = {
    "queued": ("等待发送", "waiting to be sent"),
    "sent": ("已发送", "sent"),
    "received": ("闸机已收到", "the gate has it"),
    "confirmed": ("已抬杆(传感器确认)", "open: the arm's sensor says so"),
    "unconfirmed": ("未确认:未见抬杆", "unconfirmed: the arm was not seen to rise"),
    "refused": ("闸机拒绝", "the gate refused"),
    "expired": ("已过期,未执行", "expired without an answer"),
}
_ARM_ZH = {"up": "抬起", "down": "落下", "moving": "动作中", "unknown": "未知"}

ModeWord = Literal["normal", "hold-open", "hold-closed", "exit-only", "lockdown"]
_MODES: Mapping[ModeWord, LaneMode] = {
    "normal": LaneMode.NORMAL,
    "hold-open": LaneMode.HELD_OPEN,
    "hold-closed": LaneMode.HELD_CLOSED,
    "exit-only": LaneMode.EXIT_ONLY,
    "lockdown": LaneMode.LOCKDOWN,
}

GateArgument = Annotated[str, typer.Argument(help="The gate's id (see `gate list`).")]
LaneOption = Annotated[str | None, typer.Option("--lane", help="Which lane (needed when there are several).")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for the gate's answer; exit 9 if unconfirmed.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=1, max=120, help="Seconds to wait.")]


@app.command("list")
def list_gates(
    site: Annotated[str | None, typer.Option("--site")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the gates: online, list revision and age, outbox, arms."""
    with central(config) as engine, engine.connect() as conn:
        tiles = gates.gate_tiles(conn, site)
    if json:
        output.print_json(tiles)
        return
    heads = output.pick(
        "闸口 名称 状态 名单 名单时长 待上传 通道", "gate name state list list-age outbox lanes"
    ).split()
    output.print_table(heads, [_line(tile) for tile in tiles])


def _line(tile: gates.GateTile) -> list[str]:
    language = output.language()
    state = output.pick("在线", "online")
    if not tile.is_online:
        state = output.pick("离线", "offline")
        if tile.offline_since_ms is not None:
            away_s = time.time() - tile.offline_since_ms / 1000
            state += f" {gates.duration_words(away_s, language)}"
    stand = f"{tile.list_ver}/{tile.head_ver}"
    if tile.is_drifted:
        stand += output.pick(" 不一致", " drifted")
    lanes = (
        f"{lane.id}({_ARM_ZH[lane.arm] if language == 'zh' else lane.arm}"
        + (output.pick(",有车等待", ", held") if lane.is_held else "")
        + ")"
        for lane in tile.lanes
    )
    age = "-" if tile.list_age_s is None else gates.duration_words(tile.list_age_s, language)
    name = tile.name_zh if language == "zh" else tile.name_en
    return [tile.id, name, state, stand, age, str(tile.outbox_depth), " ".join(lanes)]


def _lane(conn: Connection, gate: str, lane: str | None) -> str:
    """The lane that is meant, at a gate that is online. Raises NotFoundError, ConfigError, LinkError."""
    tile = gates.gate_tile(conn, gate)
    if not tile.is_online:
        since = output.clock_words(tile.offline_since_ms)
        raise LinkError(f"gate {gate} is offline since {since}", zh=f"闸口 {gate} 离线(自 {since})")
    known = [found.id for found in tile.lanes]
    if lane is not None:
        return lane
    if len(known) != 1:
        raise ConfigError(f"say which --lane: {', '.join(known)}", zh=f"请用 --lane 指明通道:{', '.join(known)}")
    return known[0]


@app.command("open")
def open_gate(
    gate: GateArgument,
    reason: Annotated[str, typer.Option("--reason", help=f"Mandatory; one of {', '.join(gates.OpenReason)}.")],
    lane: LaneOption = None,
    note: Annotated[str, typer.Option("--note", help="Mandatory with the reason `other`.")] = "",
    wait: WaitOption = False,
    timeout: TimeoutOption = 20.0,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Open a lane. Exit 7: gate offline; 9: unconfirmed; 10: refused."""
    with central(config) as engine:
        with writing(engine) as conn:
            where = _lane(conn, gate, lane)
            order = gates.order_open(conn, actor(), gate, where, reason, note)
        _follow_order(engine, order, timeout if wait else None, json)


@app.command("refuse")
def refuse_car(
    gate: GateArgument,
    lane: LaneOption = None,
    note: Annotated[str, typer.Option("--note")] = "",
    wait: WaitOption = False,
    timeout: TimeoutOption = 20.0,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Refuse the car that is held at a lane."""
    with central(config) as engine:
        with writing(engine) as conn:
            where = _lane(conn, gate, lane)
            order = gates.order_refuse(conn, actor(), gate, where, note)
        _follow_order(engine, order, timeout if wait else None, json)


@app.command("mode")
def set_mode(
    gate: Annotated[str, typer.Argument(help="A gate (all its lanes) or one lane.")],
    mode: Annotated[ModeWord, typer.Argument()],
    reason: Annotated[str, typer.Option("--reason", help="Mandatory for all but normal.")] = "",
    until: Annotated[str, typer.Option("--until", help="18:00 (today or tomorrow) or 2026-05-01T18:00.")] = "",
    second: Annotated[str, typer.Option("--second", help="A second account, to hold open for over 5 minutes.")] = "",
    wait: WaitOption = False,
    config: ConfigOption = None,
) -> None:
    """Make lanes serve in a mode, also without a network. Nobody is locked in, no emergency is stopped by any."""
    until_s = _until(until) if until else None
    with central(config) as engine:
        with writing(engine) as conn:
            lanes = rules.lanes_of(conn, gate)
            concerned = rules.affected(conn, lanes)
            for lane in lanes:
                rules.set_mode(conn, actor(), lane, _MODES[mode], until_s=until_s, reason=reason, second=second)
            site = rules.site_of_lane(conn, lanes[0])
        output.say(concerned.words("zh"), concerned.words("en"))
        report_effect(engine, site, is_wait=wait)


def _until(text: str) -> int:
    """UTC seconds of a time of day (the next one) or a date and time. Raises ConfigError."""
    now = datetime.now(output.SITE_TIME)
    try:
        if len(text) <= 5:
            clock = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - only its hours and minutes are taken
            at = datetime.combine(now.date(), clock, output.SITE_TIME)
            return int((at if at > now else at + timedelta(days=1)).timestamp())
        at = datetime.fromisoformat(text)
    except ValueError as error:
        words = f"--until: {text!r} is no time, e.g. 18:00"
        raise ConfigError(words, zh=f"--until:{text} 不是时间,例:18:00") from error
    return int((at if at.tzinfo is not None else at.replace(tzinfo=output.SITE_TIME)).timestamp())


def _follow_order(engine: Engine, order: str, timeout_s: float | None, json: bool) -> None:
    """Report an order; with a timeout, wait until it has ended. Raises for every end but a confirmed one."""
    if timeout_s is not None:
        _wait(engine, order, timeout_s)
    with engine.connect() as conn:
        row = gates.command(conn, order)
    if json:
        output.print_json(row)
    elif timeout_s is None:
        typer.echo(row.id)
    if timeout_s is not None:
        _raise_unless_confirmed(row)


def _wait(engine: Engine, order: str, timeout_s: float) -> None:
    """Poll the order until it has ended, saying each new state on stderr."""
    start = time.monotonic()
    said = ""
    while True:
        with engine.connect() as conn:
            row = gates.command(conn, order)
        if row.state != said:
            said = row.state
            output.say(*_STATE_WORDS[said])
        waited_s = time.monotonic() - start
        if row.state == "queued" and waited_s >= min(SEND_TIMEOUT_S, timeout_s):
            with writing(engine) as conn:
                is_withdrawn = gates.withdraw(conn, actor(), order)
            if is_withdrawn:
                raise LinkError(
                    "the order was not sent and is withdrawn; is `gatectl central ingest` running?",
                    zh="指令未发出,已撤回;gatectl central ingest 是否在运行?",
                )
        if row.is_final or waited_s >= timeout_s:
            return
        time.sleep(POLL_S)


def _raise_unless_confirmed(row: gates.CommandRow) -> None:
    zh, en = _STATE_WORDS[row.state]
    if row.words:
        zh, en = f"{zh}:{row.words}", f"{en}: {row.words}"
    if row.state == "refused":
        raise RefusedError(en, zh=zh)
    if row.state != "confirmed":
        raise output.UnconfirmedError(en, zh=zh)
