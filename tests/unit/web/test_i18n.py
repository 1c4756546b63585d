"""Both languages have every word, and every word that the code asks for exists."""

import re
import string
from pathlib import Path

import pytest

from gatectl.central import web
from gatectl.central.web.i18n import LANGUAGES, Words, as_language, catalogue, severity
from gatectl.core.reasons import Reason

WEB = Path(web.__file__).parent
HAN = re.compile(r"[\u4e00-\u9fff]")


def _places(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


def test_chinese_and_english_have_the_same_keys() -> None:
    assert catalogue("zh").keys() == catalogue("en").keys()


def test_both_languages_fill_in_the_same_places() -> None:
    differ = [key for key, words in catalogue("zh").items() if _places(words) != _places(catalogue("en")[key])]
    assert differ == []


def test_no_entry_is_empty() -> None:
    for language in LANGUAGES:
        assert [key for key, words in catalogue(language).items() if not words.strip()] == []


def test_english_words_hold_no_chinese_but_the_switch_back_and_plates() -> None:
    found = [key for key, words in catalogue("en").items() if HAN.search(words)]
    assert found == ["app.other_language", "enrol.plate_hint"]


def test_every_key_that_templates_and_views_ask_for_exists() -> None:
    asked: set[str] = set()
    for path in WEB.rglob("*.html"):
        asked |= set(re.findall(r"""\bt\(["']([a-z_]+\.[a-z_0-9]+)["'](?!\s*~)""", path.read_text(encoding="utf-8")))
    for path in WEB.rglob("*.py"):
        asked |= set(re.findall(r"""words\("([a-z_]+\.[a-z_0-9]+)\"""", path.read_text(encoding="utf-8")))
    assert len(asked) > 100
    assert asked - catalogue("zh").keys() == set()


def test_templates_hold_no_words_of_their_own() -> None:
    holding = [path.name for path in WEB.rglob("*.html") if HAN.search(path.read_text(encoding="utf-8"))]
    assert holding == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reason_of_a_newer_gate_is_shown_by_its_number(language: str) -> None:
    words = Words(as_language(language) or "zh")
    assert "9999" in words.reason(9999)
    assert severity(9999) == "none"
    assert words.reason(int(Reason.CARD_LOST)) != words.reason(int(Reason.CARD_OK))


def test_an_unknown_code_is_shown_as_it_is() -> None:
    assert Words("zh").code("state", "melted") == "melted"
    assert Words("zh").code("state", "lost") == "已挂失"


def test_only_two_languages_are_spoken() -> None:
    assert as_language("en") == "en"
    assert as_language("fr") is None
    assert as_language(None) is None
