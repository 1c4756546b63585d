"""Writes docs/reasons.md and docs/cli.md from the code. `--check` only says whether they are up to date (exit 1)."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_VERDICTS = {
    "granted": "Granted: it opens",
    "denied": "Denied: it stays shut",
    "held": "Held: somebody decides",
    "": "The lane and the machine",
}


def reasons_page() -> str:
    """Every reason code with its words, grouped by verdict."""
    from gatectl.core.reasons import REASONS

    lines = [
        "# Reasons",
        "",
        "Every decision and every alarm carries one of these codes. A number is never reused or renumbered. Made from",
        "`gatectl/core/reasons.py` by `scripts/gen_docs.py`.",
    ]
    for verdict, title in _VERDICTS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| no. | code | severity | 中文 | English | voice |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {int(reason)} | `{reason.name}` | {info.severity} | {info.zh} | {info.en} | {info.voice_zh or '–'} |"
            for reason, info in REASONS.items()
            if str(info.verdict or "") == verdict
        ]
    return "\n".join(lines) + "\n"


def commands(command: Any, path: tuple[str, ...] = ("gatectl",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something (no bare groups) with its full path, in the order of the help."""
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    context = command.context_class(command, info_name=path[-1])
    for name in command.list_commands(context):
        child = command.resolve_command(context, [name])[1]  # the root group loads a noun only here
        if child is not None and not child.hidden:
            yield from commands(child, (*path, name))


def root_command() -> Any:
    """The click command behind the Typer app."""
    import typer

    from gatectl.cli import app

    return typer.main.get_command(app)


def cli_page() -> str:
    """Every command with its arguments and options."""
    lines = [
        "# Commands",
        "",
        "Nouns, then verbs. Data goes to stdout, everything else to stderr. In a clone, write `./scripts/gatectl`",
        "for `gatectl`. Made from the program's own help by `scripts/gen_docs.py`.",
        "",
        "Exit codes: 0 ok, 1 failure, 2 usage or configuration, 3 not found, 6 partly done, 7 unreachable,",
        "8 checks found problems, 9 sent but not confirmed, 10 refused by a rule.",
    ]
    for path, command in commands(root_command()):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
        usage = " ".join([*path, *(_argument(p) for p in arguments)])
        lines += ["", f"## `{usage}`", "", _one_line(command.help or "")]
        if options:
            lines += ["", "| option | meaning | default |", "|---|---|---|"]
            lines += [f"| {_option(p)} | {_one_line(p.help or '')} | {_default(p)} |" for p in options]
    return "\n".join(lines) + "\n"


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper() + ("…" if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return names if not parameter.required else f"{names} (required)"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or callable(value) or value is False or value in ("", ()) or "unset" in str(value).lower():
        return ""
    return "on" if value is True else f"`{value}`"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write the pages, or check them."""
    is_check = "--check" in sys.argv[1:]
    stale = []
    for name, make in (("reasons.md", reasons_page), ("cli.md", cli_page)):
        page = make()
        path = ROOT / "docs" / name
        if path.exists() and path.read_text(encoding="utf-8") == page:
            continue
        if is_check:
            stale.append(name)
        else:
            path.write_text(page, encoding="utf-8")
    for name in stale:
        sys.stderr.write(f"docs/{name} is not what the code says: run .venv/bin/python scripts/gen_docs.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
