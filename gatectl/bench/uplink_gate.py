"""The gate's side of `gatectl bench uplink`: the daemon's own store and uplink on a given journal, and nothing else."""

import base64
import sys
import threading
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatectl.bench.uplink import GATE, SITE
from gatectl.core.model import GateId
from gatectl.edge.clock import SystemClock
from gatectl.edge.commands import CommandJudge
from gatectl.edge.events import EventMaker
from gatectl.edge.ids import boot_id, new_id
from gatectl.edge.shelf import PictureShelf
from gatectl.edge.store import EventStore
from gatectl.edge.uplink import Uplink
from gatectl.settings import BrokerSettings


def main() -> None:
    """`python -m gatectl.bench.uplink_gate JOURNAL PORT PROTOCOL SITE_KEY`: serve until killed."""
    path, port, protocol, key = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    clock = SystemClock()
    maker = EventMaker(GateId(GATE), boot_id(), clock, new_id)
    keys = (Ed25519PublicKey.from_public_bytes(base64.b64decode(key)),)
    store = EventStore(path)
    store.start()
    store.wait_ready(10)
    broker = BrokerSettings.model_validate({"port": port, "protocol": protocol, "username": GATE})
    judge = CommandJudge(maker.gate, frozenset(), keys, clock)
    shelf = PictureShelf(path.parent / "pictures", GATE)
    uplink = Uplink(broker, SITE, maker, judge, keys, store, clock, shelf, 5.0)
    store.on_commit = uplink.wake
    uplink.start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
