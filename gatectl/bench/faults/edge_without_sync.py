"""The daemon with databases that are never synced. `power` must find it out."""

import sqlite3
from typing import Any

from gatectl.edge import daemon

_CONNECT = sqlite3.connect


class _Unsynced(sqlite3.Connection):
    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), *parameters)


def _connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
    made: sqlite3.Connection = _CONNECT(*arguments, **{"factory": _Unsynced, **options})
    return made


if __name__ == "__main__":
    sqlite3.connect = _connect  # type: ignore[assignment]
    raise SystemExit(daemon.main())
