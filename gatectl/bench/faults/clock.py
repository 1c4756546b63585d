"""`clock`: a gate whose wall clock stands in 1970, jumps by a day either way, or drifts.

The daemon runs in a world of its own: its wall time is the machine's plus what a file says (`edge_with_clock`).
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from gatectl.bench.faults.rig import CARDS, GATE, LANE, LOST_CARD, SITE, Rig, Run, until
from gatectl.central import tables
from gatectl.central.database import writing
from gatectl.central.replicate import mark_dirty
from gatectl.core.model import CredentialKey, Verdict

OFFSET_FILE = "GATECTL_BENCH_CLOCK"
_COMMAND = ("-m", "gatectl.bench.faults.edge_with_clock")
_CLOSED, _EXPIRED = CredentialKey("em:0B00000001"), CredentialKey("em:0B00000002")
_DAY_S = 86_400.0


def clock(run: Run) -> dict[str, Any]:
    """Taps under every clock: who is let in, in which order they are kept, how well central knows when."""
    offset = run.folder / "clock" / "offset_s"
    offset.parent.mkdir(parents=True, exist_ok=True)
    offset.write_text("0", encoding="utf-8")
    rig_folder = run.folder / "clock"
    cases: dict[str, Any] = {}
    with Rig(rig_folder, edge_command=_COMMAND, edge_environment={OFFSET_FILE: str(offset)}) as rig:
        with writing(rig.engine) as conn:
            _seed(conn)
        rig.start()
        cases["right"] = _case(rig, offset, 0.0, is_trusted=True)
        cases["1970"] = _case(rig, offset, -datetime.now(UTC).timestamp(), is_trusted=False, restart=True)
        cases["a day back"] = _case(rig, offset, -_DAY_S, is_trusted=False, restart=True)
        cases["a day ahead"] = _case(rig, offset, _DAY_S, is_trusted=None)
        cases["drift"] = _drift(run, rig, offset)
        offset.write_text("0", encoding="utf-8")
        rig.settle()
        ledger = rig.ledger()
        worst_ms, bound_ms = _worst_error(rig)
    is_ok = ledger.is_ok and all(case["ok"] for case in cases.values()) and worst_ms <= bound_ms
    return {
        "runs": len(cases),
        **ledger.figures(),
        "cases": cases,
        "worst_error_ms": worst_ms,
        "stated_error_ms": bound_ms,
        "ok": is_ok,
    }


def _seed(conn: Any) -> None:
    """A card whose schedule is closed at this moment, and one that expired long ago."""
    now_s = int(time.time())
    schedule = {"id": "never", "site_id": SITE, "name_zh": "从不", "name_en": "never", "windows": "[]"}
    conn.execute(insert(tables.schedules), schedule)
    level = {"id": "off", "site_id": SITE, "name_zh": "保洁", "name_en": "cleaning", "schedule_id": "never"}
    conn.execute(insert(tables.access_levels), level)
    conn.execute(insert(tables.access_level_lanes), {"level_id": "off", "lane_id": LANE})
    for key, level_id, until_s in ((_CLOSED, "off", None), (_EXPIRED, "all", now_s - 3600)):
        card = {"id": key, "site_id": SITE, "household_id": "h1", "kind": "card", "key": key, "state": "active"}
        conn.execute(insert(tables.credentials), {**card, "valid_until_s": until_s, "created_at": 0, "changed_at": 0})
        conn.execute(insert(tables.credential_levels), {"credential_id": key, "level_id": level_id})
    mark_dirty(conn, SITE)


def _case(rig: Rig, offset: Path, offset_s: float, *, is_trusted: bool | None, restart: bool = False) -> dict[str, Any]:
    """Set the clock; tap each kind of card; compare. `is_trusted` None: the schedule may go either way."""
    if restart:
        rig.kill("edge")
    offset.write_text(str(offset_s), encoding="utf-8")
    if restart:
        if rig.ingest is not None:  # a gate that boots without a network learns no time
            rig.kill("ingest")
        rig.start_edge()
    answers = {name: _answer(rig, key) for name, key in _PEOPLE.items()}
    if restart:
        rig.start_ingest()
        rig.settle()
    expected = {
        "resident": Verdict.GRANTED.value,
        "lost": Verdict.DENIED.value,
        "expired": Verdict.DENIED.value,
        "off hours": Verdict.DENIED.value if is_trusted else Verdict.GRANTED.value,
    }
    if is_trusted is None:
        del expected["off hours"]
    wrong = {name: answers[name] for name, verdict in expected.items() if answers[name] != verdict}
    return {"answers": answers, "wrong": wrong, "ok": not wrong}


_PEOPLE = {"resident": CARDS[0], "lost": LOST_CARD, "expired": _EXPIRED, "off hours": _CLOSED}


def _answer(rig: Rig, key: CredentialKey) -> str:
    before = len(rig.journal_rows())
    rig.tap(key)
    until(lambda: len(rig.journal_rows()) > before, "an answer", 10)
    time.sleep(2.2)  # the same card within two seconds is the same tap
    return _last_verdict(rig, key)


def _last_verdict(rig: Rig, key: CredentialKey) -> str:
    import json
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{rig.journal}?mode=ro", uri=True, timeout=5)) as database:
        rows = database.execute("SELECT body, personal FROM journal ORDER BY seq DESC LIMIT 10").fetchall()
    for body, personal in rows:
        if personal and json.loads(personal).get("credential") == key:
            return str(json.loads(body)["verdict"])
    return ""


def _drift(run: Run, rig: Rig, offset: Path) -> dict[str, Any]:
    """The clock runs a tenth too fast; taps all the while."""
    turns = run.times(20, 200)
    for turn in range(turns):
        offset.write_text(str(turn * 0.05), encoding="utf-8")
        rig.tap(CARDS[turn % len(CARDS)])
        time.sleep(0.1)
    return {"drift_s": round(turns * 0.05, 2), "ok": True}


def _worst_error(rig: Rig) -> tuple[int, int]:
    """The largest distance between an event's corrected time and its arrival, where it arrived at once; the bound."""
    events = tables.events.c
    worst, bound = 0, 0
    with rig.engine.connect() as conn:
        query = select(events.at, events.received_at, events.clock_error_ms, events.clock).where(
            events.gate_id == GATE, events.clock_error_ms.is_not(None), events.clock != "synced"
        )
        for row in conn.execute(query):
            worst = max(worst, row.at - row.received_at)  # never later than it arrived, but for the error
            bound = max(bound, row.clock_error_ms)
    return worst, bound
