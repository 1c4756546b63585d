"""`gatectl doctor`: check a gate's machine; each finding says how to repair it."""

from pathlib import Path
from typing import Annotated

import typer

from gatectl.cli import output
from gatectl.errors import LinkError

FINDINGS_EXIT = 8
_FRAME_TRIES = 20


def _first_frame(source: str) -> None:
    """Wait for one frame. Raises LinkError."""
    from gatectl.drivers.cv_camera import open_camera

    camera = open_camera(source, 8.0)
    try:
        for _ in range(_FRAME_TRIES):
            if camera.read() is not None:
                return
    finally:
        camera.close()
    raise LinkError(f"{source}: opened, but no frame came")


def doctor(
    config: Annotated[Path, typer.Option("--config", "-c", help="The gate's TOML file.")],
    is_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Check ports, cameras, broker, clock, GPIO, disk and lanes; exit 8 when something needs a hand."""
    from gatectl.edge.checkup import examine
    from gatectl.settings import EdgeSettings, load_settings

    settings = load_settings(EdgeSettings, config)
    findings = tuple(examine(settings, config, _first_frame))
    is_well = all(finding.grade == "ok" for finding in findings)
    if is_json:
        output.print_json({"ok": is_well, "checks": findings})
    else:
        for finding in findings:
            typer.echo(f"{finding.grade:<5}{finding.check}: {finding.words}")
            if finding.repair:
                typer.echo(f"     repair: {finding.repair}")
    if not is_well:
        raise typer.Exit(FINDINGS_EXIT)
