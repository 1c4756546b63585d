"""A broker as a child process: mosquitto where it is installed, else amqtt. Accounts and an ACL either way."""

import base64
import hashlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher

from gatectl.errors import LinkError
from gatectl.wire.acl import acl_text, gate_rights

CENTRAL_USER = "central"
_PBKDF2_ROUNDS = 101
"""mosquitto 2's own default for its `$7$` password entries."""
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0


def free_port(wanted: int = 0, host: str = "127.0.0.1") -> int:
    """`wanted` if it can be bound, else one that the kernel picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LinkError("no free TCP port on this machine")


@dataclass(slots=True)
class Broker:
    """A running broker child."""

    kind: str
    """`mosquitto` or `amqtt`."""
    host: str
    port: int
    protocol: str
    """The newest MQTT it speaks: `5` or `3.1.1`."""
    process: subprocess.Popen[bytes]
    command: tuple[str, ...]
    log_file: Path

    def stop(self) -> None:
        """End the child; kill it when it does not listen."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart(self) -> None:
        """Start it again on the same port after `stop` or a kill."""
        self.process = _spawn(self.command, self.log_file)
        _await_listening(self)


def start_broker(
    folder: Path,
    passwords: Mapping[str, str],
    port: int = 0,
    *,
    prefer: str = "mosquitto",
    sites: Mapping[str, str] | None = None,
) -> Broker:
    """Start a broker in `folder` for these accounts; `sites`: gate -> its site, and another's lists are kept from it.

    Raises LinkError when none can be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sites = sites or {}
    chosen = free_port(port)
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if mosquitto and prefer == "mosquitto":
        kind, protocol = "mosquitto", "5"
        command: tuple[str, ...] = (mosquitto, "-c", str(_mosquitto_config(folder, passwords, sites, chosen)))
    else:
        kind, protocol = "amqtt", "3.1.1"
        command = (
            sys.executable,
            "-m",
            "amqtt.scripts.broker_script",
            "-c",
            str(_amqtt_config(folder, passwords, sites, chosen)),
        )
    log_file = folder / "broker.log"
    broker = Broker(kind, "127.0.0.1", chosen, protocol, _spawn(command, log_file), command, log_file)
    _await_listening(broker)
    return broker


def _spawn(command: tuple[str, ...], log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _await_listening(broker: Broker) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if broker.process.poll() is not None:
            break
        try:
            socket.create_connection((broker.host, broker.port), 0.5).close()
        except OSError:
            time.sleep(0.02)  # a child's port opens when it opens; there is nothing to wait on
            continue
        return
    broker.stop()
    tail = broker.log_file.read_text(encoding="utf-8", errors="replace")[-400:]
    raise LinkError(f"{broker.kind} did not start on port {broker.port}: {tail}")


def _private_file(path: Path, text: str) -> Path:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def _mosquitto_config(folder: Path, passwords: Mapping[str, str], sites: Mapping[str, str], port: int) -> Path:
    accounts = "".join(f"{user}:{_mosquitto_hash(password)}\n" for user, password in passwords.items())
    _private_file(folder / "passwords", accounts)
    gates = ((user, sites.get(user, "+")) for user in passwords if user != CENTRAL_USER)
    _private_file(folder / "acl", acl_text(CENTRAL_USER, gates))
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {folder / 'passwords'}",
        f"acl_file {folder / 'acl'}",
        "persistence false",  # the outbox and the watermark make it needless
        "max_queued_messages 0",
        "max_inflight_messages 500",  # the default of 20 caps central's batches
        "set_tcp_nodelay true",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "user root" if _is_root() else "",
    ]
    return _private_file(folder / "mosquitto.conf", "\n".join(lines) + "\n")


def _is_root() -> bool:
    import os

    return os.geteuid() == 0


def _mosquitto_hash(password: str) -> str:
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _PBKDF2_ROUNDS)
    return f"$7${_PBKDF2_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _amqtt_config(folder: Path, passwords: Mapping[str, str], sites: Mapping[str, str], port: int) -> Path:
    hasher = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)
    accounts = "".join(f"{user}:{hasher.hash(password)}\n" for user, password in passwords.items())
    password_file = _private_file(folder / "amqtt-passwords", accounts)
    publish: dict[str, list[str]] = {CENTRAL_USER: ["gatectl/v1/#"]}
    subscribe: dict[str, list[str]] = {CENTRAL_USER: ["gatectl/v1/#"]}
    for user in passwords:
        if user != CENTRAL_USER:
            may_publish, may_subscribe = gate_rights(user, sites.get(user, "+"))
            publish[user], subscribe[user] = list(may_publish), list(may_subscribe)
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {
            "amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(password_file)},
            "amqtt.plugins.topic_checking.TopicAccessControlListPlugin": {"publish_acl": publish, "acl": subscribe},
        },
    }
    return _private_file(folder / "amqtt.yaml", json.dumps(config, indent=1))  # JSON is YAML
