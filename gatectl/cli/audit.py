"""`gatectl audit …`: prove that no event was altered, lost or slipped in."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import func, select

from gatectl.central import tables
from gatectl.central.database import writing
from gatectl.central.disclosures import newest
from gatectl.central.gates import gate_tile
from gatectl.central.signed_heads import accept_key
from gatectl.central.verify import ChainReport, verify
from gatectl.cli import output
from gatectl.cli.office import ConfigOption, JsonOption, actor, central
from gatectl.errors import NotFoundError
from gatectl.wire.chain import ChainCheck, Finding

app = typer.Typer(
    help="Proof of the event log: verify, register.", no_args_is_help=True, pretty_exceptions_enable=False
)
EXIT_FOUND = 8

GateOption = Annotated[str, typer.Option("--gate", help="Only this gate's events.")]
JournalOption = Annotated[
    Path | None, typer.Option("--journal", help="A gate's own journal (edge.db in its data_dir) in place of central's.")
]


@app.command("verify")
def verify_log(
    gate: GateOption = "", journal: JournalOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Check every hash from the first event to the last; names the event that was changed, removed or inserted."""
    found = _journal(journal) if journal is not None else _central(gate, config)
    if json:
        output.print_json(found)
    else:
        for chain in found["chains"]:
            _show(chain)
        _verdict(found)
    if not found["ok"]:
        raise typer.Exit(EXIT_FOUND)


@app.command("register")
def show_register(config: ConfigOption = None, json: JsonOption = False) -> None:
    """The register of exports (调阅登记): who asked for what, why, and the file's SHA-256."""
    with central(config) as engine, engine.connect() as conn:
        found = [dict(row) for row in newest(conn)]
    if json:
        output.print_json(found)
        return
    shown = ("actor", "unit", "person", "why", "what", "digest")
    rows = [(output.clock_words(row["at"]), *(str(row[name]) for name in shown)) for row in found]
    zh = ("时间", "经办", "单位", "调阅人", "事由", "内容", "摘要")
    heads = zh if output.language() == "zh" else ("at", "by", "organisation", "asker", "why", "what", "digest")
    output.print_table(heads, rows)


@app.command("accept-key")
def accept(
    gate: Annotated[str, typer.Argument(help="The gate whose card or computer was changed.")],
    key: Annotated[str, typer.Argument(help="The key that its signed heads name (in the audit trail).")],
    config: ConfigOption = None,
) -> None:
    """Vouch that a gate signs with another key from now on."""
    with central(config) as engine, writing(engine) as conn:
        gate_tile(conn, gate)
        accept_key(conn, gate, key, actor())
    output.say(f"{gate} 的签名密钥已更换", f"{gate} signs with this key from now on")


def _central(gate: str, config: Path | None) -> dict[str, Any]:
    with central(config) as engine, engine.connect() as conn:
        if gate:
            gate_tile(conn, gate)
        total = conn.scalar(select(func.count()).select_from(tables.events)) or 0
        columns = (SpinnerColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=total)
            reports = verify(conn, gate, lambda rows: progress.advance(task, rows))
    chains = [_chain(report) for report in reports]
    return {"chains": chains, "events": sum(report.rows for report in reports), "ok": _is_ok(chains)}


def _chain(report: ChainReport) -> dict[str, Any]:
    return {
        "gate": report.gate,
        "epoch": report.epoch,
        "events": report.rows,
        "last": report.head,
        "signed_upto": report.signed_upto,
        "purged": report.purged,
        "given_up": report.given_up,
        "findings": [_finding(finding) for finding in report.findings],
        "more_findings": report.untold,
    }


def _journal(path: Path) -> dict[str, Any]:
    from gatectl.edge.verify import verify_journal

    if not path.exists():
        raise NotFoundError(f"no journal at {path}", zh=f"{path} 没有事件库")
    check, findings = verify_journal(path)
    chain = _journal_chain(path, check, findings)
    return {"chains": [chain], "events": check.rows, "ok": _is_ok([chain])}


def _journal_chain(path: Path, check: ChainCheck, findings: list[Finding]) -> dict[str, Any]:
    return {
        "journal": str(path),
        "epoch": findings[0].epoch if findings else "",
        "events": check.rows,
        "last": check.seq,
        "before": check.given_up,
        "findings": [_finding(finding) for finding in findings[:100]],
        "more_findings": max(0, len(findings) - 100),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {"seq": finding.seq, "what": finding.what, "words": finding.words}


def _is_ok(chains: list[dict[str, Any]]) -> bool:
    return not any(chain["findings"] for chain in chains)


def _show(chain: dict[str, Any]) -> None:
    name = chain.get("gate") or chain.get("journal")
    mark = typer.style("✗", fg="red") if chain["findings"] else typer.style("✓", fg="green")
    facts = [f"{chain['events']} events", f"last {chain['last']}"]
    facts += [f"{chain[key]} {words}" for key, words in _FACTS.items() if chain.get(key)]
    typer.echo(f"{mark} {name}  {chain['epoch'][:8]}  " + ", ".join(facts))
    for finding in chain["findings"]:
        typer.secho(f"    {finding['seq']}  {finding['what']}: {finding['words']}", fg="red")
    if chain["more_findings"]:
        typer.secho(f"    … and {chain['more_findings']} more", fg="red")


_FACTS = {"signed_upto": "= newest signed head", "purged": "purged of personal data", "given_up": "given up and told"}


def _verdict(found: dict[str, Any]) -> None:
    count = sum(len(chain["findings"]) + chain["more_findings"] for chain in found["chains"])
    if found["ok"]:
        output.say(f"{found['events']} 条记录完整,未被改动", f"{found['events']} events are whole and unaltered")
    else:
        output.say(f"发现 {count} 处问题", f"{count} problems found")
