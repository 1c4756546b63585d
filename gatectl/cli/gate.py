"""`gatectl gate …`: the gates as central sees them, and orders to open or refuse."""

import time
from typing import Annotated

import typer
from sqlalchemy import Connection, Engine

from gatectl.central import gates
from gatectl.central.database import writing
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, actor, central
from gatectl.errors import ConfigError, LinkError, RefusedError

app = typer.Typer(help="Gates: list, open, refuse.", no_args_is_help=True)

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
