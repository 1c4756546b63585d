"""The least that a paho → database path can be: what `gatectl bench uplink` is held against. Promises nothing."""

import os
import queue
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import insert

from gatectl.bench.uplink import GATE
from gatectl.central import tables
from gatectl.central.database import open_database, writing
from gatectl.wire.events import MAX_BATCH_EVENTS, EventRow, decode_rows, encode_rows
from gatectl.wire.messages import gate_topic

_BATCH = 500
_INFLIGHT = 100


def _client(name: str, user: str, port: int) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
    client.username_pw_set(user, os.environ["GATECTL_BROKER_PASSWORD"])
    client.max_inflight_messages_set(_INFLIGHT)
    client.connect("127.0.0.1", port)
    return client


def publish(path: str, port: int) -> None:
    """Every event of a journal, 50 a message, QoS 1, as fast as the broker takes them."""
    client = _client("bare-publisher", GATE, port)
    client.loop_start()
    rows: list[EventRow] = []
    with sqlite3.connect(path) as journal:
        for seq, prev, own, body, personal in journal.execute(
            "SELECT seq, prev, hash, body, personal FROM journal ORDER BY seq"
        ):
            rows.append(EventRow(epoch="bare", seq=seq, prev=prev, hash=own, body=body, personal=personal))
            if len(rows) == MAX_BATCH_EVENTS:
                client.publish(gate_topic(GATE, "ev"), encode_rows(tuple(rows)), qos=1).wait_for_publish(60)
                rows.clear()
    if rows:
        client.publish(gate_topic(GATE, "ev"), encode_rows(tuple(rows)), qos=1)
    threading.Event().wait()


def consume(url: str, port: int) -> None:
    """Decode and insert, at most 500 rows a commit."""
    engine = open_database(url)
    inbox: queue.Queue[bytes] = queue.Queue()
    client = _client("bare-consumer", "central", port)
    client.on_message = lambda _client, _data, message: inbox.put(bytes(message.payload))
    ready = threading.Event()
    client.on_subscribe = lambda *_: ready.set()
    client.loop_start()
    client.subscribe(gate_topic("+", "ev"), 1)
    ready.wait(10)
    print("ready", flush=True)
    while True:
        rows = list(decode_rows(inbox.get()))
        while len(rows) + MAX_BATCH_EVENTS <= _BATCH and not inbox.empty():
            rows += decode_rows(inbox.get())
        values: list[dict[str, Any]] = [
            {
                **row.model_dump(exclude={"v"}),
                "gate_id": GATE,
                "event_id": "",
                "kind": "access",
                "at": 0,
                "reason": 0,
                "received_at": 0,
            }
            for row in rows
        ]
        with writing(engine) as conn:
            conn.execute(insert(tables.events), values)


def fan_out(folder: str, port: int) -> None:
    """The files of a folder, each once to all who listen: `head` now and retained, `*.chunk` when told to on stdin."""
    client = _client("bare-fan-out", "central", port)
    client.loop_start()
    files = Path(folder)
    topics = dict(line.split() for line in (files / "topics").read_text(encoding="utf-8").splitlines())
    client.publish(topics["head"], (files / "head").read_bytes(), qos=1, retain=True).wait_for_publish(60)
    chunks = [path.read_bytes() for path in sorted(files.glob("*.chunk"))]
    print("ready", flush=True)
    sys.stdin.readline()
    for chunk in chunks:
        client.publish(topics["chunks"], chunk, qos=1)
    threading.Event().wait()


if __name__ == "__main__":
    {"publish": publish, "consume": consume, "fan_out": fan_out}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
