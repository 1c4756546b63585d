"""`gatectl central`: the server's processes."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from gatectl.logs import configure_logs
from gatectl.settings import CentralSettings, load_settings

app = typer.Typer(no_args_is_help=True, help="The server: web, ingest, migrate.")

ConfigOption = Annotated[Path, typer.Option("--config", help="Central's TOML file.")]
_DEFAULT = Path("central.toml")
_STOP_GRACE_S = 3


@app.command()
def web(config: ConfigOption = _DEFAULT) -> None:
    """Serve the console."""
    import uvicorn

    from gatectl.central.app import make_app
    from gatectl.central.database import open_database, require_current

    settings = _settings(config)
    engine = open_database(settings.database)
    require_current(engine)
    engine.dispose()
    uvicorn.run(
        make_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_STOP_GRACE_S,
    )


@app.command()
def ingest(config: ConfigOption = _DEFAULT) -> None:
    """Take events from the broker into the database; send lists and orders."""
    from gatectl.central.ingest import make_ingest

    running = make_ingest(_settings(config))

    def stop(_signal: int, _frame: Any) -> None:
        running.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    running.run()


@app.command()
def migrate(config: ConfigOption = _DEFAULT) -> None:
    """Make the database, or bring it to this version's schema; print the site key and the root key that gates pin."""
    from gatectl.central.charters import root_public
    from gatectl.central.database import migrate as run_migrations
    from gatectl.central.keys import load_or_make_keys

    settings = _settings(config)
    run_migrations(settings.database)
    public = load_or_make_keys(settings.data_dir).public_base64
    typer.echo(f'site_key = "{public}"')
    typer.echo(f'root_key = "{root_public(settings.data_dir)}"')


def _settings(config: Path) -> CentralSettings:
    configure_logs()
    return load_settings(CentralSettings, config)
