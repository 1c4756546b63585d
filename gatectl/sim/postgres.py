"""A PostgreSQL server of our own: private folder, private port, thrown away with the folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatectl.errors import LinkError
from gatectl.sim.broker import free_port

_PLACES = ("/usr/lib/postgresql", "/usr/pgsql")
_START_S = 60


def binaries() -> Path | None:
    """Where the newest installed server's programs are; None where there is none."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).parent
    versions = [path for place in _PLACES for path in Path(place).glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


@contextmanager
def running_postgres(*, is_durable: bool = True) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database; server and data end with the context. Raises LinkError."""
    programs = binaries()
    if programs is None:
        raise LinkError("PostgreSQL is not installed; on Debian: apt install postgresql")
    with tempfile.TemporaryDirectory(prefix="gatectl-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user = _server_account()
        if user is not None:
            shutil.chown(folder, user)
        data, port = folder / "data", free_port()
        _run(user, folder, programs / "initdb", "-D", data, "-U", "gatectl", "-A", "trust", "-E", "UTF8", "-N")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        if not is_durable:
            options += " -c fsync=off"
        control = programs / "pg_ctl"
        _run(user, folder, control, "-D", data, "-w", "-t", _START_S, "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://gatectl@127.0.0.1:{port}/postgres"
        finally:
            _run(user, folder, control, "-D", data, "-m", "immediate", "-w", "stop")


def _server_account() -> str | None:
    """The server refuses to run as root: there it gets an account without rights."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


def _run(user: str | None, folder: Path, *command: object) -> None:
    words = [str(word) for word in command]
    with (folder / "words").open("w+", encoding="utf-8") as said:  # a pipe would stay open with the server
        done = subprocess.run(
            words, user=user, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False
        )
        if done.returncode:
            said.seek(0)
            raise LinkError(f"{Path(words[0]).name}: {said.read().strip()[-400:]}")
