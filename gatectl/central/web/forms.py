"""Small forms as values: fields, choices and words; one template draws them all."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from gatectl.central.web.present import SITE_ZONE, local
from gatectl.errors import ConfigError, GatectlError, NotFoundError, RefusedError


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a list."""

    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Field:
    """One input. With `choices` it is a list; `kind` is an HTML input type, or textarea, or checks.

    Of `checks` each choice is a box named `name.value`; `value` holds the chosen ones, with spaces between.
    """

    name: str
    label: str
    value: str = ""
    kind: str = "text"
    hint: str = ""
    is_required: bool = True
    choices: tuple[Choice, ...] = ()
    max_length: int = 60


@dataclass(frozen=True, slots=True)
class FormPage:
    """A form as a dialog or a page of its own; one with a `warning` asks for a confirmation."""

    title: str
    action: str
    back: str
    fields: tuple[Field, ...] = ()
    subtitle: str = ""
    warning: str = ""
    submit: str = ""
    note: str = ""
    """Said above the fields, e.g. whom the change concerns."""
    is_download: bool = False
    """The answer is a file: the browser sends the form itself."""


class FieldError(RefusedError):
    """What was typed into one field cannot be taken; its words stand beside the field."""

    def __init__(self, field: str, cause: GatectlError) -> None:
        super().__init__(str(cause), zh=cause.zh)
        self.field = field


@contextmanager
def at_field(name: str) -> Iterator[None]:
    """Whatever is refused inside concerns this field. Raises FieldError."""
    try:
        yield
    except FieldError:
        raise
    except (RefusedError, NotFoundError, ConfigError) as error:
        raise FieldError(name, error) from error


def site_seconds(text: str, *, is_end: bool = False) -> int | None:
    """UTC seconds of what a date or date-and-time input sends, in site time; None for nothing. Raises RefusedError.

    A date alone is its first second, or with `is_end` its last.
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise RefusedError(f"{text!r} is no time, e.g. 2026-05-01", zh=f"“{text}”不是时间,例:2026-05-01") from error
    at_s = int((at if at.tzinfo is not None else at.replace(tzinfo=SITE_ZONE)).timestamp())
    return at_s + 86_399 if is_end and len(text) == len("2026-05-01") else at_s


def whole(text: str, most: int, least: int = 0) -> int | None:
    """A whole number from `least` to `most`; None for nothing. Raises RefusedError."""
    if not text:
        return None
    if not text.isdecimal() or not least <= int(text) <= most:
        raise RefusedError(f"write a whole number from {least} to {most}", zh=f"请填写 {least} 到 {most} 的整数")
    return int(text)


def date_value(at_s: int | None) -> str:
    """`2026-05-01`, as a date input wants it."""
    return "" if at_s is None else local(at_s * 1000).strftime("%Y-%m-%d")


def minute_value(at_s: int | None) -> str:
    """`2026-05-01T08:30`, as a datetime-local input wants it."""
    return "" if at_s is None else local(at_s * 1000).strftime("%Y-%m-%dT%H:%M")
