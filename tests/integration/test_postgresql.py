"""Central on PostgreSQL: what central's unit tests say of SQLite holds there too, and ingest runs on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatectl.central.database import migrate, open_database, require_current
from gatectl.sim.postgres import binaries, running_postgres

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed: apt install postgresql")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_postgres(is_durable=False) as found:
        yield found


def test_every_unit_test_of_central_passes_on_postgresql(url: str) -> None:
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "tests/unit/central"],
        cwd=ROOT,
        env={**os.environ, "GATECTL_TEST_POSTGRESQL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_migrations_go_forward_on_postgresql_and_twice_is_harmless() -> None:
    with running_postgres(is_durable=False) as fresh:
        migrate(fresh)
        migrate(fresh)
        engine = open_database(fresh)
        require_current(engine)
        engine.dispose()
