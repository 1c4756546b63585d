"""`gatectl edge`: serve a gate, or check its file."""

from pathlib import Path
from typing import Annotated

import typer

from gatectl.errors import ConfigError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The gate's TOML file.")]


@app.command()
def run(
    config: ConfigOption,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Log one JSON object a line.")] = False,
) -> None:
    """Serve the gate until SIGTERM; `edge.ready` on stderr says that it serves."""
    from gatectl.edge import daemon

    raise typer.Exit(daemon.run(config, is_verbose=verbose, as_json=json_logs))


@app.command("check-config")
def check_config(config: ConfigOption) -> None:
    """Read the file and name every mistake in it; exit 2 when there is one."""
    from gatectl.edge.config_check import mistakes

    found = mistakes(config)
    if found:
        raise ConfigError("\n".join([f"{config}: {len(found)} mistake(s)", *(f"  {line}" for line in found)]))
    typer.echo(f"{config}: no mistakes", err=True)
