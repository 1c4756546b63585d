"""Declared framings as files: the shipped ones by name, an installer's own by path."""

import sys
import tomllib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gatectl.drivers.framing import Framing
from gatectl.errors import ConfigError

FOLDERS = (
    Path("/etc/gatectl/readers"),
    Path(sys.prefix) / "share" / "gatectl" / "readers",
    Path(__file__).resolve().parents[2] / "config" / "readers",
)
"""Where a name is looked up: the installer's folder, the package's, a clone's."""
_FRAMING = TypeAdapter(Framing)


def framing_path(name: str) -> Path:
    """The file of a name, or the path itself. Raises ConfigError that lists the names there are."""
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    for folder in FOLDERS:
        path = folder / f"{name}.toml"
        if path.is_file():
            return path
    raise ConfigError(f"framing: no reader {name!r}; there are {', '.join(shipped())}; or give the path of a TOML file")


def shipped() -> list[str]:
    """The names that `framing` may have."""
    return sorted({path.stem for folder in FOLDERS for path in folder.glob("*.toml")})


def load_framing(name: str) -> Framing:
    """Read one declaration. Raises ConfigError that names every mistake: file, key, rule."""
    path = framing_path(name)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"framing: {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"framing: {path}: not TOML: {error}") from error
    try:
        return _FRAMING.validate_python(raw)
    except ValidationError as error:
        lines = [f"framing: {path}: {error.error_count()} mistake(s)"]
        for mistake in error.errors():
            where = ".".join(str(part) for part in mistake["loc"]) or "file"
            lines.append(f"  {where}: {mistake['msg']} (given: {mistake['input']!r:.80})")
        raise ConfigError("\n".join(lines)) from error
