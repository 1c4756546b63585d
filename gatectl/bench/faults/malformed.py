"""`malformed`: payloads that no peer sends, on every topic, and requests that no browser makes, on every route."""

import json
import random
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gatectl.bench.faults.forger import Forger
from gatectl.bench.faults.rig import CARDS, GATE, SITE, Rig, Run, until
from gatectl.central import staff
from gatectl.central.database import writing
from gatectl.central.web.guard import SESSION_COOKIE
from gatectl.central.web.routes import PAGES
from gatectl.sim.broker import CENTRAL_USER, free_port
from gatectl.wire.messages import gate_topic, list_topic, site_topic

_UP = ("ev", "hb", "ans", "wl/req", "wl/state", "media")
_WORDS = (
    "",
    "0",
    "-1",
    "9" * 400,
    "粤E12345",
    "\x00",
    "'; DROP TABLE events; --",
    "%s%n",
    "../../etc/passwd",
    "😀" * 50,
)


def malformed(run: Run) -> dict[str, Any]:
    """Everything is still alive afterwards, nothing is lost, and no answer was a 500."""
    with Rig(run.folder / "malformed") as rig:
        rig.start()
        sent = _topics(run, rig)
        answers = _routes(run, rig)
        before = len(rig.lane.opened_ticks)
        rig.tap(CARDS[1])
        until(lambda: len(rig.lane.opened_ticks) > before, "an opening for a resident")
        rig.settle()
        ledger = rig.ledger()
        alive = rig.ingest is not None and rig.ingest.poll() is None and rig.is_serving()
    fives = {code: count for code, count in answers.items() if code >= 500}
    is_ok = ledger.is_ok and alive and not fives
    return {
        "runs": sent + sum(answers.values()),
        **ledger.figures(),
        "payloads": sent,
        "answers": {str(code): count for code, count in sorted(answers.items())},
        "alive": alive,
        "ok": is_ok,
    }


# --- topics ---


def _topics(run: Run, rig: Rig) -> int:
    """Noise on what gates send, with the gate's account, and on what they hear, with central's."""
    gate = Forger(rig.broker, GATE, "gate-secret")
    central = Forger(rig.broker, CENTRAL_USER, "central-secret")
    seconds, sent = run.times(15, 600), 0
    down = [gate_topic(GATE, leaf) for leaf in ("ack", "cmd", "wl/data")]
    down += [list_topic(SITE, leaf) for leaf in ("head", "delta")]
    down.append(site_topic(SITE, "passages"))
    up = [gate_topic(GATE, leaf) for leaf in _UP]
    deadline_s = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline_s:
            who, topic = run.rng.choice([(gate, topic) for topic in up] + [(central, topic) for topic in down])
            who.send(topic, _mutant(run.rng, central.heard(topic)))
            sent += 1
    finally:
        gate.close()
        central.close()
    return sent


def _mutant(rng: random.Random, seen: list[bytes]) -> bytes:
    """Noise, or something that was really said with a part changed."""
    kind = rng.randrange(5)
    if kind == 0 or not seen:
        return rng.randbytes(rng.randrange(0, 400))
    body = bytearray(rng.choice(seen[-20:]))
    if not body:
        return b""
    if kind == 1:
        return bytes(body[: rng.randrange(len(body))])
    if kind == 2:
        for _ in range(rng.randrange(1, 6)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        return bytes(body)
    try:
        found = json.loads(body)
    except ValueError:
        return bytes(body) * 2
    return json.dumps(_bent(rng, found)).encode()


def _bent(rng: random.Random, value: Any) -> Any:
    """One leaf of a JSON document becomes something else."""
    strange: list[Any] = [None, -1, 2**70, 1e308, "", "\x00", [], {}, True, "9" * 500]
    if isinstance(value, dict) and value:
        name = rng.choice(sorted(value))
        return {**value, name: _bent(rng, value[name]) if rng.random() < 0.6 else rng.choice(strange)}
    if isinstance(value, list) and value:
        index = rng.randrange(len(value))
        return [*value[:index], _bent(rng, value[index]), *value[index + 1 :]]
    return rng.choice(strange)


# --- routes ---


def _routes(run: Run, rig: Rig) -> Counter[int]:
    """Strange parameters and forms on every url of the route table, signed in as its manager."""
    port = free_port()
    config = rig.folder / "central.toml"
    config.write_text(f"port = {port}\n" + config.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "gatectl", "central", "web", "--config", str(config)]
    with (rig.folder / "web.log").open("ab") as log:
        web = subprocess.Popen(command, stdout=log, stderr=log)
    answers: Counter[int] = Counter()
    try:
        until(lambda: _ask(f"http://127.0.0.1:{port}/healthz", {}) == 200, "the console")
        with writing(rig.engine) as conn:
            password = secrets.token_urlsafe(16)
            staff.add_staff(conn, "bench", "bench", password, role="admin")
            token = staff.sign_in(conn, "bench", password) or ""
        head = {"Cookie": f"{SESSION_COOKIE}={token}", "Origin": f"http://127.0.0.1:{port}"}
        deadline_s = time.monotonic() + run.times(20, 600)
        while time.monotonic() < deadline_s:
            for method, path, form in _requests(run.rng):
                answers[_ask(f"http://127.0.0.1:{port}{path}", head, form if method == "POST" else None)] += 1
                if time.monotonic() > deadline_s:
                    break
    finally:
        web.kill()
        web.wait()
    return answers


def _requests(rng: random.Random) -> Iterator[tuple[str, str, dict[str, str]]]:
    """One request for every row of the route table, but the one that never ends."""
    for page in PAGES:
        if page.path in ("/events/stream", "/signout"):
            continue
        path = page.path
        while "{" in path:
            start, end = path.index("{"), path.index("}")
            path = path[:start] + urllib.parse.quote(rng.choice(_WORDS) or "x", safe="") + path[end + 1 :]
        names = ("since", "gate", "plate", "before", "limit", "site", "name", "key", "note", "reason", "csrf", "room")
        query = {rng.choice(names): rng.choice(_WORDS) for _ in range(rng.randrange(4))}
        form = {rng.choice(names): rng.choice(_WORDS) for _ in range(rng.randrange(6))}
        yield page.method, f"{path}?{urllib.parse.urlencode(query)}", form


def _ask(url: str, head: dict[str, str], form: dict[str, str] | None = None) -> int:
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data, head)  # noqa: S310 - our own server on this machine
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
