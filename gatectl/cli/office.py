"""How office commands reach central: its settings, its database, the site that is meant, and who is at the keyboard."""

import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection, Engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gatectl.central import tables
from gatectl.central.audit import write_audit
from gatectl.central.database import open_database, require_current, words_of, writing
from gatectl.central.directory import find_household, split_room
from gatectl.central.gates import ListEffect, list_effect
from gatectl.cli import output
from gatectl.errors import ConfigError, NotFoundError, RefusedError, StoreError
from gatectl.settings import CentralSettings, load_settings

DEFAULT_CONFIGS = (Path("var/central.toml"), Path("var/demo/central.toml"))
EFFECT_TIMEOUT_S = 30.0
EFFECT_POLL_S = 0.2

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="GATECTL_CENTRAL", help="Central's TOML file. [var/central.toml, else the demo's]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
SiteOption = Annotated[str | None, typer.Option("--site", help="The site (needed when there are several).")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until every gate of the site obeys (30 s).")]
RevealOption = Annotated[
    str | None,
    typer.Option("--reveal", metavar="WHY", help="Names, phones and card numbers in full; the reason is logged."),
]


def log_reveal(engine: Engine, why: str | None, what: str) -> bool:
    """Write down that personal data was asked for in full; False when it was not asked for. Raises RefusedError."""
    if why is None:
        return False
    if len(why.strip()) < 2:
        raise RefusedError("--reveal needs a reason", zh="--reveal 必须写明理由")
    with writing(engine) as conn:
        write_audit(conn, actor(), "person.reveal", what, why.strip()[:200])
    return True


def find_config(config: Path | None) -> Path:
    """Central's file: as named, else the first default that exists. Raises ConfigError."""
    if config is not None:
        return config
    for path in DEFAULT_CONFIGS:
        if path.exists():
            return path
    places = ", ".join(str(path) for path in DEFAULT_CONFIGS)
    raise ConfigError(
        f"no central here: none of {places} exists; start `gatectl demo`, or name a file with --config",
        zh=f"这里没有中心:{places} 都不存在;请先运行 gatectl demo,或用 --config 指定",
    )


def central_settings(config: Path | None) -> CentralSettings:
    """Central's settings. Raises ConfigError."""
    return load_settings(CentralSettings, find_config(config))


@contextmanager
def central(config: Path | None) -> Iterator[Engine]:
    """Central's database. Raises ConfigError (no file, no tables yet), StoreError (it refused)."""
    settings = central_settings(config)
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        raise ConfigError(
            f"no database at {url.database}; make it with `gatectl central migrate`",
            zh=f"{url.database} 没有数据库;请先运行 gatectl central migrate",
        )
    engine = open_database(settings.database)
    try:
        require_current(engine)
        yield engine
    except SQLAlchemyError as error:
        words = words_of(error)
        raise StoreError(f"central's database: {words}", zh=f"中心数据库:{words}") from error
    finally:
        engine.dispose()


def actor() -> str:
    """Who gave the command, for the audit: `cli:` and the system's user."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


def the_site(conn: Connection, site: str | None) -> str:
    """The site that is meant: as named, else the only one. Raises NotFoundError, ConfigError."""
    known = [str(found) for found in conn.execute(select(tables.sites.c.id).order_by(tables.sites.c.id)).scalars()]
    if site is not None:
        if site not in known:
            raise NotFoundError(
                f"no site {site!r}; known: {', '.join(known)}", zh=f"没有小区 {site!r};现有:{', '.join(known)}"
            )
        return site
    if len(known) != 1:
        raise ConfigError(
            f"say which --site: {', '.join(known) or 'none exists yet'}",
            zh=f"请用 --site 指明小区:{', '.join(known) or '尚无小区'}",
        )
    return known[0]


def the_household(conn: Connection, door_or_id: str, site: str | None) -> str:
    """A household's id, from `3-2-501` or an id. Raises NotFoundError, ConfigError."""
    if split_room(door_or_id) is None:
        found = conn.execute(select(tables.households.c.id).where(tables.households.c.id == door_or_id)).scalar()
    else:
        found = find_household(conn, the_site(conn, site), door_or_id)
    if found is None:
        raise NotFoundError(
            f"no household {door_or_id!r}; `gatectl household add` makes one",
            zh=f"没有 {door_or_id!r} 这户;用 gatectl household add 添加",
        )
    return str(found)


def site_of_credential(conn: Connection, credential_id: str) -> str:
    """The site of a card or vehicle that exists."""
    found = tables.credentials.c
    return str(conn.execute(select(found.site_id).where(found.id == credential_id)).scalar_one())


def report_effect(engine: Engine, site: str, *, is_wait: bool) -> ListEffect:
    """Say how far the change has reached. With `is_wait` not before it is everywhere; raises PartlyError after 30 s."""
    deadline = time.monotonic() + (EFFECT_TIMEOUT_S if is_wait else 0)
    while True:
        with engine.connect() as conn:
            effect = list_effect(conn, site)
        if effect.is_everywhere or time.monotonic() >= deadline:
            break
        time.sleep(EFFECT_POLL_S)
    if is_wait and not effect.is_everywhere:
        raise output.PartlyError(effect.words("en"), zh=effect.words("zh"))
    output.say(effect.words("zh"), effect.words("en"))
    return effect


def site_seconds(text: str, option: str) -> int:
    """UTC seconds of a time in site time. Raises ConfigError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{option}: {text!r} is no time, e.g. 2026-05-01T08:30", zh=f"{option}:{text} 不是时间,例:2026-05-01T08:30"
        ) from error
    return int((at if at.tzinfo is not None else at.replace(tzinfo=output.SITE_TIME)).timestamp())


def end_seconds(text: str, option: str) -> int:
    """UTC seconds of an end in site time: a date alone is its last second. Raises ConfigError."""
    at_s = site_seconds(text, option)
    return at_s + 86_399 if len(text) == len("2026-12-31") else at_s
