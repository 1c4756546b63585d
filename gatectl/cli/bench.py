"""`gatectl bench …`: the figures of docs/benchmarks.md, each by the command that stands beside it there."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from gatectl.cli import output
from gatectl.errors import ConfigError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
SeedOption = Annotated[int, typer.Option("--seed", help="The same seed gives the same load.")]


def _say(words: str) -> None:
    if sys.stderr.isatty():
        typer.echo(words, err=True)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; silent where that is no terminal."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda steps: bar.advance(task, steps)


@app.command("decide")
def bench_decide(
    credentials: Annotated[int, typer.Option("--credentials", min=10, help="How many the list holds.")] = 20_000,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Decisions under a mixed load on a list built from its wire bytes: build time, memory, microseconds."""
    from gatectl.bench.decide import run

    figures = run(credentials, seed, _say)
    output.print_json(figures, is_line=as_json)


@app.command("plates-match")
def bench_plates_match(
    whitelist: Annotated[int, typer.Option("--whitelist", min=1, help="Plates in the list.")] = 5_000,
    strangers: Annotated[int, typer.Option("--strangers", min=1, help="Strangers' plates of each kind.")] = 3_000_000,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """How often a stranger's plate opens, and a right one is held, with the reader's measured errors as the noise."""
    from gatectl.bench.plates_match import run

    with _progress(2 * strangers) as advance:
        figures = run(whitelist, strangers, seed, advance)
    output.print_json(figures, is_line=as_json)


@app.command("uplink")
def bench_uplink(
    events: Annotated[int, typer.Option("--events", min=1000, help="Backlog at the gate.")] = 100_000,
    database: Annotated[list[str] | None, typer.Option("--database", help="sqlite, postgresql. [both]")] = None,
    as_json: JsonOption = False,
) -> None:
    """A gate's backlog drained to central's commit, beside a bare path through the same broker in the same run."""
    from gatectl.bench.uplink import run

    output.print_json(run(events, tuple(database or ("sqlite", "postgresql")), _say), is_line=as_json)


@app.command("sync")
def bench_sync(
    credentials: Annotated[int, typer.Option("--credentials", min=100, help="How many the list holds.")] = 100_000,
    gates: Annotated[int, typer.Option("--gates", min=2, help="Simulated gates.")] = 1_000,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Revocations, one after the other.")] = 50,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """A list to all gates: cold, beside the broker's bare fan-out in the same run; and one revocation to the last."""
    from gatectl.bench.sync import run

    figures = run(credentials, gates, repeats, seed, lambda words: typer.echo(words, err=True))
    output.print_json(figures, is_line=as_json)


@app.command("faults")
def bench_faults(
    only: Annotated[list[str] | None, typer.Option("--only", help="These faults; may be given again. [all]")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Minutes in place of hours.")] = False,
    seed: SeedOption = 1,
    keep: Annotated[Path | None, typer.Option("--keep", help="Keep logs and databases in this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Kill, cut, fill, forge and garble while events flow; nothing may be lost, doubled, altered or wrongly opened."""
    from gatectl.bench.faults.run import FAULTS, run_faults

    names = tuple(only or FAULTS)
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise ConfigError(f"no fault {unknown[0]!r}; one of: {', '.join(FAULTS)}")
    found = run_faults(names, seed, is_quick=quick, kept=keep, say=lambda words: typer.echo(words, err=True))
    output.print_json(found, is_line=as_json)
    if not found["ok"]:
        raise typer.Exit(1)


@app.command("tap")
def bench_tap(
    taps: Annotated[int, typer.Option("--taps", min=2, help="Of each kind of reader.")] = 60,
    credentials: Annotated[int, typer.Option("--credentials", min=2000, help="How many the list holds.")] = 250_000,
    as_json: JsonOption = False,
) -> None:
    """A card's last byte to the relay's order, through a whole daemon, with the journal synced and the camera busy."""
    from gatectl.bench.tap import run

    output.print_json(run(taps, credentials, _say), is_line=as_json)


@app.command("decoders")
def bench_decoders(
    count: Annotated[int, typer.Option("--bytes", min=10_000, help="Into each decoder.")] = 10_000_000,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Random bytes into every decoder: no exception, no grant, and the next good frame is read."""
    from gatectl.bench.decoders import run

    found = run(count, seed, _say)
    output.print_json(found, is_line=as_json)
    if not found["ok"]:
        raise typer.Exit(1)
