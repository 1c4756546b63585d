"""`gatectl plate`: read pictures, measure the reader on labelled photos, explain a plate's text."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gatectl.cli import output
from gatectl.errors import GatectlError, NotFoundError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Read, evaluate and parse licence plates.")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def read(
    files: Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, BMP, WebP.")],
    as_json: _Json = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the quick look that a lane takes of each frame.")
    ] = False,
) -> None:
    """Find and read the plates in pictures; goes on after a bad file and then exits 6."""
    documents: list[dict[str, Any]] = []
    failures: list[GatectlError] = []
    for file in files:
        try:
            document = _read_one(file, is_deep=not quick)
        except GatectlError as error:
            failures.append(error)
            if len(files) > 1:
                typer.echo(f"{output.pick('错误', 'error')}: {error.words(output.language())}", err=True)
            document = {"file": str(file), "error": str(error), "plates": []}
        documents.append(document)
        if not as_json and "error" not in document:
            _print_plates(document, is_named=len(files) > 1)
    if as_json:
        output.print_json(documents[0] if len(documents) == 1 else documents)
    if failures and len(files) == 1:
        raise failures[0]
    if failures:
        raise typer.Exit(_exit_code(failures, len(files)))


def _exit_code(failures: list[GatectlError], count: int) -> int:
    if len(failures) < count:
        return 6
    return 3 if all(isinstance(error, NotFoundError) for error in failures) else 1


def _read_one(file: Path, *, is_deep: bool) -> dict[str, Any]:
    from gatectl.vision import find_plates
    from gatectl.vision.pictures import load_picture

    image, scale = load_picture(file)
    plates = find_plates(image, is_deep=is_deep)
    return {
        "file": str(file),
        "plates": [
            {
                "text": plate.text,
                "confidence": round(plate.confidence, 4),
                "colour": plate.colour.value if plate.colour else None,
                "kind": plate.kind,
                "probs": [round(p, 4) for p in plate.probs],
                "corners": [[round(x * scale, 1), round(y * scale, 1)] for x, y in plate.corners],
                "width_px": round(plate.width_px * scale, 1),
                "reader": plate.reader,
            }
            for plate in plates
        ],
    }


def _print_plates(document: dict[str, Any], *, is_named: bool) -> None:
    prefix = f"{document['file']}\t" if is_named else ""
    for plate in document["plates"]:
        corners = " ".join(f"{x:.0f},{y:.0f}" for x, y in plate["corners"])
        typer.echo(f"{prefix}{plate['text']}\t{plate['confidence']:.2f}\t{plate['colour'] or '-'}\t{corners}")
    if not document["plates"]:
        output.say(f"{document['file']}：没有读到车牌", f"{document['file']}: no plate read")


@app.command(name="eval")
def evaluate_folder(
    folder: Annotated[Path, typer.Argument(help="A folder with scenes.csv and its photos.")],
    as_json: _Json = False,
) -> None:
    """Measure the reader on labelled photos."""
    from rich.console import Console
    from rich.progress import Progress

    from gatectl.vision import plate_reader
    from gatectl.vision.evaluate import evaluate, load_scenes

    scenes = load_scenes(folder)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(output.pick("读取照片", "reading photos"), total=len(scenes))
        figures = evaluate(plate_reader(), scenes, lambda done: bar.update(task, completed=done))
    if as_json:
        output.print_json(figures)
        return
    rows = [(name, f"{value:.3f}" if isinstance(value, float) else str(value)) for name, value in _flat(figures)]
    output.print_table((output.pick("指标", "figure"), output.pick("值", "value")), rows)


def _flat(figures: dict[str, Any]) -> list[tuple[str, Any]]:
    times = figures["ms"]
    plain = [(name, value) for name, value in figures.items() if name not in {"ms", "errors"}]
    missed = ", ".join(f"{x['label']} ({x['read'] or '-'})" for x in figures["errors"])
    return [*plain, ("ms_p50", times["p50"]), ("ms_p95", times["p95"]), ("not exact as top", missed or "-")]


@app.command()
def parse(text: Annotated[str, typer.Argument(help="A plate as someone wrote it.")], as_json: _Json = False) -> None:
    """Say what kind of plate a text is by GA 36; exits 1 when it is none."""
    from gatectl.core.plates import normalise, parse_plate

    parsed = parse_plate(text)
    if parsed is None:
        plain = normalise(text)
        raise GatectlError(f"{plain!r} is no plate by GA 36-2018", zh=f"“{plain}”不是合法车牌（GA 36-2018）")
    colours = sorted(colour.value for colour in parsed.colours)
    if as_json:
        output.print_json({"text": parsed.text, "kind": parsed.kind, "colours": colours})
        return
    typer.echo(f"{parsed.text}\t{parsed.kind}\t{', '.join(colours) or '-'}")
