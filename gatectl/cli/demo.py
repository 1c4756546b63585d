"""`gatectl demo`: a whole town on one computer; nothing in it is short-cut."""

import json
import math
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gatectl.central import gates as central_gates
from gatectl.central import staff
from gatectl.cli.demo_report import access_events, make_report
from gatectl.cli.demo_town import DemoTown
from gatectl.core.model import Direction, LaneKind
from gatectl.errors import LinkError
from gatectl.sim.cast import Part
from gatectl.sim.plan import LanePlan, load_town
from gatectl.sim.site import LaneStage
from gatectl.sim.traffic import Author, Presentation, Scenery, once_script, play_lane

_ROOT = Path(__file__).resolve().parents[2]
_SETUP_LINK_S = 24 * 3600
_PLAY_TIMEOUT_S = 420.0
_DRAIN_TIMEOUT_S = 60.0
_MORNING_GAP_S = 40.0
"""Mean time between two people at one lane, at --speed 1: about the town's morning peak on 29 lanes (DOMAIN 3)."""
_OFFLINE_AFTER_S, _OFFLINE_FOR_S = 60.0, 45.0
_OFFLINE_GATE = "xiangang-north"

_stderr = Console(stderr=True)


def demo(
    once: Annotated[bool, typer.Option(help="Play a fixed script, compare with its truth, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: one JSON document on stdout.")] = False,
    gates: Annotated[int, typer.Option(min=1, max=20, help="How many of the 20 gates.")] = 20,
    speed: Annotated[float, typer.Option(min=0.1, max=20.0, help="How busy the street is; 1 = a morning.")] = 1.0,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The console's port; another one is used if taken.")
    ] = 8080,
    data_dir: Annotated[Path | None, typer.Option(help="Where the town lives; default var/demo.")] = None,
    town_file: Annotated[Path | None, typer.Option("--town", help="Another town file.")] = None,
    reset: Annotated[bool, typer.Option(help="Forget the town of former runs first.")] = False,
) -> None:
    """Run a broker, central and a small town of gates, with traffic, on this computer."""
    folder = (data_dir or _ROOT / "var" / ("demo-once" if once else "demo")).resolve()
    if (reset or once) and folder.exists() and not (folder / "lock").exists() and any(folder.iterdir()):
        raise LinkError(f"{folder} is no demo folder; nothing was removed")
    if reset or once:
        shutil.rmtree(folder, ignore_errors=True)
    plan = load_town(town_file or _ROOT / "config" / "danzao.toml").cut(gates)
    say = _be_quiet if as_json else _tell
    offline_gate = _OFFLINE_GATE if any(g.id == _OFFLINE_GATE for g in plan.gates) else plan.gates[-1].id
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with DemoTown(plan, folder, port, say, offline_gate=offline_gate) as running:
        try:
            _start(running, is_quiet=as_json)
            if once:
                _play_once(running, as_json=as_json)
            else:
                _play_on(running, speed)
        except KeyboardInterrupt:
            _stderr.print("\n  stopping the town …")


def _tell(words: str) -> None:
    _stderr.print(f"  {words}")


def _be_quiet(_words: str) -> None:
    """With --json stdout is one document and stderr stays still."""


def _always(seconds: float) -> Callable[[], float]:
    return lambda: seconds


def _start(running: DemoTown, *, is_quiet: bool) -> None:
    running.say("starting broker and central …")
    running.start_central()
    if not is_quiet:
        _announce(running)
    running.build_street()
    total = len(running.plan.gates)
    columns = (
        TextColumn("  gates"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=_stderr, disable=is_quiet) as progress:
        task = progress.add_task("", total=total)
        running.start_gates(lambda gate, _at: progress.update(task, advance=1, description=gate))
    slowest = max(running.gate_ready_s.values())
    first = min(running.gate_ready_s.values())
    running.say(f"console after {running.console_ready_s:.1f} s")
    running.say(f"first gate after {first:.1f} s, all {total} after {slowest:.1f} s")


def _announce(running: DemoTown) -> None:
    if running.engine is None:
        return
    with running.engine.begin() as conn:
        is_new = not staff.has_staff(conn)
        token = staff.make_setup_token(conn, _SETUP_LINK_S) if is_new else ""
    _stderr.print(f"\n  [bold]console[/bold]  {running.url}")
    if is_new:
        _stderr.print("  Create the first administrator with this one-time link:")
        _stderr.print(f"  [bold cyan]{running.url}/setup?token={token}[/bold cyan]", soft_wrap=True)
    _stderr.print("  Another terminal: ./scripts/gatectl follow   ·   Ctrl-C ends the town\n")


def _scenery(running: DemoTown, seed: str) -> Scenery:
    if running.cast is None or running.engine is None:
        raise LinkError("start central first")
    engine = running.engine

    def order_open(lane: LanePlan) -> None:
        with engine.begin() as conn:
            central_gates.order_open(conn, "demo-desk", lane.gate, lane.id, "visitor", "demo script")

    return Scenery(running.cast, random.Random(seed), order_open)  # noqa: S311 - a play, not a secret


def _stages(running: DemoTown) -> dict[str, LaneStage]:
    if running.town is None:
        raise LinkError("build the street first")
    return running.town.lanes


def _play_once(running: DemoTown, *, as_json: bool) -> None:
    """The fixed script: every lane plays its part at once; one gate loses its network half-way."""
    scenery = _scenery(running, "once")
    stages = _stages(running)
    shown: dict[str, list[Presentation]] = {}
    for lane_id, stage in stages.items():
        author = Author(stage.plan, scenery.cast.sites[stage.plan.site], scenery)
        play = once_script(stage.plan, author)
        if lane_id == next(iter(stages)):
            play[-2] = author.unreadable_car()
        shown[lane_id] = play
    _await_lists(running)
    for lane_id, play in shown.items():
        stage = stages[lane_id]
        gap_s = 0.6 if stage.plan.kind is LaneKind.VEHICLE else 2.2
        _send_in(running, play_lane(stage, iter(play), scenery, _always(gap_s)))
    total = sum(len(play) for play in shown.values())
    with Progress(
        TextColumn("  attempts"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_stderr,
        disable=as_json,
    ) as progress:
        task = progress.add_task("", total=total)
        _await_quiet(running, lambda: progress.update(task, completed=_count(shown)))
    _await_drained(running, _count(shown))
    if running.engine is None:
        raise LinkError("central is gone")
    with running.engine.connect() as conn:
        report = make_report(len(running.plan.gates), shown, stages, access_events(conn))
    if as_json:
        typer.echo(json.dumps(report.document(), ensure_ascii=False))
    else:
        typer.echo(json.dumps(report.document(), ensure_ascii=False, indent=2))
    if not report.is_ok:
        raise typer.Exit(1)


def _count(shown: dict[str, list[Presentation]]) -> int:
    return sum(1 for play in shown.values() for top in play for seen in (top, *top.extra) if seen.shown_ns)


def _send_in(running: DemoTown, actor: Any) -> None:
    if running.town is not None:
        running.town.send_in(actor)


def _check_alive(running: DemoTown) -> None:
    for child in running.dead_children():
        raise LinkError(f"{child.name} died: {child.last_words()}")
    if running.town is not None and running.town.failure is not None:
        raise running.town.failure


def _await_lists(running: DemoTown) -> None:
    """Wait until every gate reports the list that central wants it to have."""
    deadline = time.monotonic() + _DRAIN_TIMEOUT_S
    while time.monotonic() < deadline:
        _check_alive(running)
        if running.engine is None:
            return
        with running.engine.connect() as conn:
            effects = [central_gates.list_effect(conn, site.id) for site in running.plan.sites]
        if all(effect.is_everywhere for effect in effects):
            return
        time.sleep(0.2)  # other processes work; central's table is the only sign
    raise LinkError("some gates did not report their whitelist within a minute; see the logs in the demo's folder")


def _await_quiet(running: DemoTown, on_turn: Any) -> None:
    started = time.monotonic()
    is_cut = False
    while running.town is not None and not running.town.is_quiet:
        on_turn()
        _check_alive(running)
        waited = time.monotonic() - started
        if running.proxy is not None and not is_cut and waited > 5.0:
            running.proxy.cut()
            is_cut = True
        if waited > _PLAY_TIMEOUT_S:
            raise LinkError("the script did not end in time; the machine is too slow or a gate hangs")
        time.sleep(0.1)  # the street has a thread of its own
    on_turn()
    if running.proxy is not None:
        running.proxy.mend()


def _await_drained(running: DemoTown, attempts: int) -> None:
    """Wait until central has an event for every attempt, and every gate says that its outbox is empty."""
    deadline = time.monotonic() + _DRAIN_TIMEOUT_S
    settled = 0
    while time.monotonic() < deadline and settled < 3:
        _check_alive(running)
        if running.engine is None:
            return
        with running.engine.connect() as conn:
            arrived = sum(len(events) for events in access_events(conn).values())
            tiles = central_gates.gate_tiles(conn)
        is_drained = all(tile.is_online and not tile.outbox_depth for tile in tiles)
        settled = settled + 1 if arrived >= attempts and is_drained else 0
        time.sleep(0.5)  # heartbeats tell


def _play_on(running: DemoTown, speed: float) -> None:
    """A morning that does not end: people at every lane, a refused one now and then, a gate that loses its network."""
    scenery = _scenery(running, "morning")
    rng = scenery.rng
    for stage in _stages(running).values():
        author = Author(stage.plan, scenery.cast.sites[stage.plan.site], scenery)
        gap_s = _gap(rng, speed)
        _send_in(running, play_lane(stage, _morning(stage.plan, author, rng), scenery, gap_s))
    running.say("the morning plays; the console shows it live")
    cut_at = time.monotonic() + _OFFLINE_AFTER_S / speed
    stop = threading.Event()
    is_cut = False
    while not stop.wait(0.5):
        _check_alive(running)
        now = time.monotonic()
        if running.proxy is None or now < cut_at:
            continue
        if is_cut:
            running.proxy.mend()
            running.say(f"{running.offline_gate} is back and catches up")
            cut_at = now + 10 * _OFFLINE_AFTER_S / speed
        else:
            running.proxy.cut()
            running.say(f"{running.offline_gate} loses its network; it goes on opening from its own list")
            cut_at = now + _OFFLINE_FOR_S
        is_cut = not is_cut


def _gap(rng: random.Random, speed: float) -> Any:
    """Exponential gaps: people come by chance."""
    return lambda: min(300.0, -math.log(1.0 - rng.random()) * _MORNING_GAP_S / speed)


def _morning(lane: LanePlan, author: Author, rng: random.Random) -> Iterator[Presentation]:
    refused_cards = (Part.STRANGER, Part.LOST, Part.EXPIRED, Part.OTHER_GATE, Part.OFF_HOURS, Part.REVOKED)
    while True:
        dice = rng.random()
        if lane.kind is LaneKind.PEDESTRIAN:
            yield author.resident() if dice < 0.93 else author.refused(rng.choice(refused_cards))
        elif dice < 0.9:
            yield author.car()
        elif dice < 0.93 and lane.direction is Direction.IN:
            yield author.unreadable_car()
        else:
            yield author.refused_car(rng.choice((Part.STRANGER, Part.STRANGER, Part.EXPIRED, Part.BLOCKED)))
