"""`forged`: orders and lists that are forged, replayed, expired, meant for another gate, retained or queued.

The forger holds central's broker account, so that only signatures, challenges and counters stand between them and
the arm. Nothing may move, and the gate must say why.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from gatectl.bench.faults.forger import Forger
from gatectl.bench.faults.rig import CARDS, GATE, LANE, SITE, Rig, Run, until
from gatectl.central import tables
from gatectl.central.database import writing
from gatectl.central.keys import load_or_make_keys
from gatectl.central.replicate import mark_dirty
from gatectl.core.model import GrantState
from gatectl.core.reasons import Reason
from gatectl.sim.broker import CENTRAL_USER
from gatectl.wire.messages import Command, Heartbeat, decode, gate_topic, list_topic
from gatectl.wire.signed import seal

_SETTLE_S = 1.5


def forged(run: Run) -> dict[str, Any]:
    """Try every forgery; count what moved, what was accepted and what was logged."""
    with Rig(run.folder / "forged") as rig:
        rig.start()
        key = load_or_make_keys(rig.folder).site_key
        forger = Forger(rig.broker, CENTRAL_USER, "central-secret")
        try:
            before = len(rig.lane.opened_ticks)
            tried = _orders(run, rig, forger, key)
            rig.settle()
            moved = len(rig.lane.opened_ticks) - before
            logged = _count(rig, Reason.COMMAND_REFUSED)
            lists = _lists(run, rig, forger)
            rig.tap(CARDS[0])
            until(lambda: len(rig.lane.opened_ticks) > before + moved, "an opening for a resident")
            rig.settle()
            ledger = rig.ledger()
        finally:
            forger.close()
        return {
            "runs": tried + lists["tried"],
            **ledger.figures(),
            "orders": tried,
            "actuations": moved,
            "orders_logged": logged,
            "lists": lists,
            "ok": ledger.is_ok and moved == 0 and logged >= tried and lists["accepted"] == 0,
        }


def _order(challenge: str, counter: int, **changes: Any) -> Command:
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "id": f"forged-{counter}",
        "gate": GATE,
        "lane": LANE,
        "action": "open",
        "reason": "GUARD_OPEN",
        "issuer": "mallory",
        "nonce": f"nonce-{counter}-{time.monotonic_ns()}",
        "challenge": challenge,
        "counter": counter,
        "issued": now,
        "expires": now + timedelta(seconds=10),
    }
    return Command.model_validate({**fields, **changes})


def _orders(run: Run, rig: Rig, forger: Forger, key: Ed25519PrivateKey) -> int:
    topic = gate_topic(GATE, "cmd")
    tried = 0
    for turn in range(run.times(2, 20)):
        # A gate logs at most 20 refusals a minute, so that a flood of forgeries cannot fill its journal.
        if turn:
            time.sleep(_SETTLE_S if run.is_quick else 60)
        seen = len(forger.heard(gate_topic(GATE, "hb")))
        until(lambda count=seen: len(forger.heard(gate_topic(GATE, "hb"))) > count, "a heartbeat", 20)  # type: ignore[misc]
        challenge = decode(Heartbeat, forger.heard(gate_topic(GATE, "hb"))[-1]).challenge
        for payload, is_retained in _forgeries(run, challenge, key):
            forger.send(topic, payload, is_retained=is_retained)
            if is_retained:
                rig.kill("edge")
                rig.start_edge()
                forger.send(topic, b"", is_retained=True)
            tried += 1
            time.sleep(0.1)
    time.sleep(_SETTLE_S)
    return tried


def _forgeries(run: Run, challenge: str, key: Ed25519PrivateKey) -> Iterator[tuple[bytes, bool]]:
    """(payload, is_retained). Each is right but for one thing."""

    def sealed(command: Command, by: Ed25519PrivateKey = key, purpose: str = "cmd") -> bytes:
        return seal(command.model_dump_json().encode(), purpose, by)

    past = datetime.now(UTC) - timedelta(seconds=60)
    good = sealed(_order(challenge, 1))
    flipped = bytearray(good)
    flipped[run.rng.randrange(len(flipped))] ^= 1 << run.rng.randrange(8)
    yield sealed(_order(challenge, 1), Ed25519PrivateKey.generate()), False  # another key
    yield bytes(flipped), False  # one bit
    yield good[: len(good) // 2], False  # half
    yield sealed(_order(challenge, 1), purpose="ack"), False  # signed for something else
    yield sealed(_order(challenge, 1, gate="another-gate")), False
    yield sealed(_order(challenge, 1, lane="another-lane")), False
    yield sealed(_order("0" * 32, 1)), False  # queued from before this connection
    yield sealed(_order(challenge, 1, issued=past, expires=past + timedelta(seconds=10))), False  # expired
    yield sealed(_order(challenge, 1, expires=datetime.now(UTC) + timedelta(hours=1))), False  # lives too long
    yield sealed(_order(challenge, 0)), False  # out of turn
    yield good, True  # retained, and then the gate starts


def _lists(run: Run, rig: Rig, forger: Forger) -> dict[str, Any]:
    """Forged and rolled-back heads, deltas of noise: the gate stays on its list."""
    first = _stand(rig)
    with writing(rig.engine) as conn:
        credentials = tables.credentials
        conn.execute(update(credentials).where(credentials.c.key == CARDS[-1]).values(state=GrantState.LOST.value))
        mark_dirty(conn, SITE, urgent=True)
    until(lambda: _stand(rig) > first, "the next list")
    before = _stand(rig)
    heads = forger.heard(list_topic(SITE, "head"))
    tried = 1
    for _ in range(run.times(20, 200)):
        changed = bytearray(heads[-1])
        changed[run.rng.randrange(len(changed))] ^= 1 << run.rng.randrange(8)
        forger.send(list_topic(SITE, "head"), bytes(changed))
        tried += 1
    for leaf in ("head", "delta"):
        for payload in (b"", b"{}", run.rng.randbytes(300), seal(b"{}", leaf, Ed25519PrivateKey.generate())):
            forger.send(list_topic(SITE, leaf), payload)
            forger.send(gate_topic(GATE, "wl/data"), payload)
            tried += 2
    forger.send(list_topic(SITE, "head"), heads[0])  # the one before: it would give the lost card back
    time.sleep(_SETTLE_S)
    opened = len(rig.lane.opened_ticks)
    rig.tap(CARDS[-1])
    time.sleep(_SETTLE_S)
    is_lost_let_in = len(rig.lane.opened_ticks) > opened
    after = _stand(rig)
    return {"tried": tried, "accepted": int(after != before) + int(is_lost_let_in), "version": after}


def _stand(rig: Rig) -> int:
    with rig.engine.connect() as conn:
        return int(conn.scalar(select(tables.gates.c.list_ver).where(tables.gates.c.id == GATE)) or 0)


def _count(rig: Rig, reason: Reason) -> int:
    with rig.engine.connect() as conn:
        return len(conn.execute(select(tables.events.c.id).where(tables.events.c.reason == int(reason))).all())
