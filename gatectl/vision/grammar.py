"""The plate grammar as the recogniser's decoder needs it: classes a position, and which glyphs count as which."""

import re

from gatectl.core.plates import DIGITS, LETTERS, PROVINCES

SERIAL = LETTERS + DIGITS
ENERGY = "ABCDEFGHJK"
WORDS = "学警挂港澳领使应急民航"
TOKENS = PROVINCES + SERIAL + WORDS
"""Every character that a plate can show; O shares the token of 0, I that of 1."""


Pattern = tuple[str, ...]
"""One row of GA 36 as the characters allowed at each position."""

_CAR = (PROVINCES, LETTERS + "O", SERIAL, SERIAL, SERIAL, SERIAL)
PATTERNS: tuple[Pattern, ...] = (
    (*_CAR, SERIAL),
    (*_CAR, "学挂警"),
    ("粤", "Z", SERIAL, SERIAL, SERIAL, SERIAL, "港澳"),
    (PROVINCES, LETTERS, DIGITS, DIGITS, DIGITS, DIGITS, "领"),
    ("使", *(DIGITS,) * 6),
    (PROVINCES, LETTERS, ENERGY, SERIAL, *(DIGITS,) * 4),
    (PROVINCES, LETTERS, *(DIGITS,) * 5, ENERGY),
    (PROVINCES, "XS", *(DIGITS,) * 4, "应", "急"),
    ("W", "J", PROVINCES, *(DIGITS,) * 4, DIGITS + "TDSHBXJ"),
)
"""What the first reader looks for: every one-row civil plate, and armed police. Army and civil aviation plates are
not among them: without a province in front, a date stamp or a fleet number would pass for one."""

RARE = 0.25
"""Prior of a letter that is not known to be in use after its province: a prior, not a law."""
_IN_USE = (
    "冀A-HJRT 晋A-FHJ-M 蒙A-HJ-M 辽A-HJ-NP 吉A-HJK 黑A-HJ-NPR 苏A-HJ-N 浙A-HJ-L 皖A-HJ-NPRS 闽A-HJK 赣A-HJ-M "
    "鲁A-HJ-SUVWYO 豫A-HJ-NP-SU 鄂A-HJ-NP-S 湘A-HJ-NSU 粤A-HJ-NP-ZO 桂A-HJ-NPR 琼A-F 川A-HJ-MQ-Z 贵A-HJ "
    "云AC-HJ-NP-S 藏A-G 陕A-HJKV 甘A-HJ-NP 青A-H 宁A-E 新A-HJ-NP-R 京A-HJ-NP-ZO 津A-HJ-NP-Z 沪A-HJ-NP-Z 渝A-HJ-NP-Z"
)


def _spelt(ranges: str) -> frozenset[str]:
    letters = re.sub("(.)-(.)", lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))), ranges)
    return frozenset(letters)


IN_USE = {entry[0]: _spelt(entry[1:]) for entry in _IN_USE.split()}
"""Issuing letters known to be in use, by province (PROTOCOLS 13); the four municipalities use all but I and O."""

LOOKALIKES = {
    "0": "OoО〇○",
    "1": "Il|i丨Ⅰ",
    "B": "β",
    "冀": "翼",
    "晋": "晉普",
    "辽": "遼",
    "黑": "黒",
    "沪": "滬泸护",
    "苏": "蘇",
    "浙": "淅折",
    "皖": "脘院",
    "闽": "閩闵",
    "赣": "贛",
    "鲁": "魯",
    "豫": "象",
    "鄂": "鄔",
    "湘": "相",
    "粤": "粵奥",
    "桂": "挂佳",
    "琼": "瓊",
    "渝": "愉榆喻输",
    "贵": "貴责",
    "云": "雲",
    "陕": "陝",
    "宁": "寧宇",
    "甘": "廿",
    "津": "律",
    "新": "薪",
    "吉": "古",
    "学": "學",
}
"""Glyphs of the recogniser's large alphabet that, on a plate, can only be this character."""
