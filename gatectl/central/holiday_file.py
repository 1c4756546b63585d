"""The office's file of holidays and make-up days (`holidays_file`): written whole, checked before it is in place."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from gatectl.central.holidays import DayWord, FileDay, Override, check, named_days, read_override
from gatectl.errors import ConfigError

_HEADING = """\
# Holidays and make-up workdays beside those of the holiday library; written by `gatectl holiday import` or the console.
# holiday: 法定假日; workday: 调休上班日; plain: the weekday decides. first, last: the days that it is complete for.
"""
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


@dataclass(frozen=True, slots=True)
class Change:
    """What a day was and will be: holiday, workday or plain."""

    date: date
    before: str
    after: str
    name: str


def need_file(file: Path | None) -> Path:
    """The file that is configured. Raises ConfigError."""
    if file is None:
        line = 'holidays_file = "/var/lib/gatectl-central/holidays.toml"'
        raise ConfigError(
            f"central has no holidays_file: write {line} into its TOML file",
            zh=f"中心未配置 holidays_file:请在其 TOML 文件中写入 {line}",
        )
    return file


def written(file: Path | None) -> Path | None:
    """The configured file once it is there; before its first day is written there is nothing to read."""
    return file if file is not None and file.exists() else None


def read_days(path: Path) -> Override:
    """Days from a TOML file as central's, or a CSV of date, kind, name. Raises ConfigError that names every mistake."""
    if path.suffix.lower() != ".csv":
        return read_override(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", zh=f"{path} 无法读取:{error}") from error
    days, wrong = [], []
    for number, row in enumerate(csv.reader(io.StringIO("\n".join(lines))), 1):
        cells = [cell.strip() for cell in (*row, "", "", "")]
        if not cells[0] or cells[0].lower() == "date":
            continue
        try:
            days.append(FileDay.model_validate({"date": cells[0], "kind": cells[1].lower(), "name": cells[2]}))
        except ValidationError:
            wrong.append(f"{number}: {','.join(row)}")
    if wrong:
        example = "2027-02-06,holiday,春节"
        raise ConfigError(
            f"{path}: cannot read line {'; '.join(wrong)}; write e.g. {example}, kinds: {', '.join(get_args(DayWord))}",
            zh=f"{path}:无法理解第 {';'.join(wrong)} 行;例:{example}",
        )
    try:
        return Override(day=tuple(days))
    except ValidationError as error:
        raise ConfigError(f"{path}: {error.errors()[0]['msg']}") from error


def merged(file: Path | None, new: Override) -> Override:
    """The file as it stands with these days put over it; its span grows to theirs. Raises ConfigError."""
    there = written(file)
    return joined(read_override(there) if there is not None else Override(), new)


def joined(old: Override, new: Override) -> Override:
    """Both, the new one's word where they differ."""
    days = {day.date: day for day in old.day} | {day.date: day for day in new.day}
    ends = [end for end in (old.first, old.last, new.first, new.last) if end is not None]
    span = (min(ends), max(ends)) if ends else (None, None)
    return Override(first=span[0], last=span[1], day=tuple(days[day] for day in sorted(days)))


def put(file: Path, override: Override) -> None:
    """Write the file, or leave it as it was. Raises ConfigError for what central would not take up."""
    check(override, file)
    text = _HEADING + "".join(_lines(override))
    handle, name = -1, ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".toml", dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be written: {error.strerror}", zh=f"{file} 无法写入:{error.strerror}"
        ) from error
    finally:
        if name:
            Path(name).unlink(missing_ok=True)


def changes(file: Path | None, override: Override) -> tuple[Change, ...]:
    """What putting this would change of what is known now, by day."""
    before = {day.date: day for day in named_days(_FIRST_YEAR, _LAST_YEAR, file)}
    known = {day.date: day for day in named_days(_FIRST_YEAR, _LAST_YEAR)}
    found = []
    for day in override.day:
        was = str(before[day.date].kind) if day.date in before else "plain"
        if was != day.kind:
            name = day.name or (known[day.date].name if day.date in known else "")
            found.append(Change(day.date, was, day.kind, name))
    return tuple(found)


def one_day(on: date, kind: DayWord, name: str) -> Override:
    """A single day, as an override."""
    return Override(day=(FileDay(date=on, kind=kind, name=name.strip()[:40]),))


def _lines(override: Override) -> Iterable[str]:
    if override.first is not None:
        yield f"\nfirst = {override.first}\nlast = {override.last}\n"
    for day in override.day:
        name = json.dumps(day.name, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML takes no bare DEL
        yield f'\n[[day]]\ndate = {day.date}\nkind = "{day.kind}"\nname = {name}\n'
