"""Words of the console in Chinese and English: one catalogue a language, tested to hold the same keys."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal

from gatectl.core.model import RuleStep
from gatectl.core.reasons import REASONS, Reason
from gatectl.core.reasons import words as reason_words
from gatectl.core.trace_words import step_words

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")


@lru_cache(maxsize=2)
def catalogue(language: Language) -> Mapping[str, str]:
    """Every key of one language. A section `[events]` with `title` gives `events.title`."""
    text = (files(__package__) / "locale" / language / "console.toml").read_text(encoding="utf-8")
    return {
        f"{section}.{key}": words for section, entries in tomllib.loads(text).items() for key, words in entries.items()
    }


def as_language(value: str | None) -> Language | None:
    """`value` if it names a language we speak."""
    return value if value in LANGUAGES else None


@dataclass(frozen=True, slots=True)
class Words:
    """The translation function of one language: `t("events.title")`. An unknown key raises KeyError."""

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        """The words behind `key`, with `{name}` places filled in."""
        words = catalogue(self.language)[key]
        return words.format(**values) if values else words

    def code(self, section: str, value: object) -> str:
        """The words of a coded value such as `state.lost`; the bare value where none are known."""
        return catalogue(self.language).get(f"{section}.{value}", str(value))

    def reason(self, value: int) -> str:
        """A reason code in words; a code of a newer gate is shown by its number."""
        try:
            return reason_words(Reason(value), self.language)
        except ValueError:
            return self("reason.unknown", code=value)

    def step(self, step: RuleStep) -> tuple[str, str, str]:
        """Rule, value and outcome of one line of a decision's trace."""
        return step_words(step, self.language)

    def name_of(self, zh: str, en: str) -> str:
        """The one of two names that this language reads."""
        return (en or zh) if self.language == "en" else (zh or en)

    def name(self, row: object) -> str:
        """The `name_zh` or `name_en` of a row."""
        return self.name_of(str(getattr(row, "name_zh", "")), str(getattr(row, "name_en", "")))


def severity(value: int) -> str:
    """`none`, `info`, `minor` or `major` of a reason code."""
    try:
        return str(REASONS[Reason(value)].severity)
    except ValueError:
        return "none"
