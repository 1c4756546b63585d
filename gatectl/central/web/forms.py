"""Small forms as values: fields, choices and words; one template draws them all."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a list."""

    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Field:
    """One input. With `choices` it is a list; `kind` is an HTML input type."""

    name: str
    label: str
    value: str = ""
    kind: str = "text"
    hint: str = ""
    is_required: bool = True
    choices: tuple[Choice, ...] = ()


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
    is_download: bool = False
    """The answer is a file: the browser sends the form itself."""
