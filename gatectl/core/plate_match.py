"""Which car of the whitelist a read is, if it is surely one: the reader's own probabilities against any stranger.

**The test.** The read R says, for every position i, how likely each character is: d_i(c). How probable is R if the
plate is really p? Over the positions, the product of

    l_i(c) = 1                                    for the read's likeliest character t_i
    l_i(c) = M(t_i | c) * x ^ -(b + g)            for another one, x = d_i(t_i) / d_i(c) being the reader's odds;
                                                  without M where x < MIN_ODDS: there the reader does not know itself

M(t | c) is how often the reader takes c for t (`core.confusion`, measured, smoothed so that it is never 0). Given that
it does, its odds exceed x in x ^ -b of the cases; a right character's odds fall short of x in a share that grows as
x ^ g (both measured: `LOG_ODDS` and `LOG_DOUBT` are 1 / b and 1 / g; b is the pair's own where it is often confused).
So x ^ (b + g) is how the odds speak for t, by ratio of densities; l_i is in units of what they are at even odds.

The likelihood ratio of a listed plate w against a stranger s is P(R | w) / P(R | s), and `ratio` is that against the
*likeliest* legal plate s other than w, listed or not. Prior odds are even: w and s are as likely to stand at the gate.
That is the worst case, somebody who lives next door to his near-twin's gate; that few cars in the world are one
character from a listed one is not counted.

**The bound.** A stranger who has c where a listed plate has t opens as it only if the reader takes c for t and gives
odds of at least x, where M * x ^ -(b + g) = 1 / ratio asked for. So of his reads at most

    grant_bound(c, t) = M * min(1, (M * ratio asked for) ^ (-b / (b + g)))

open, whatever the list and the rest of his plate, up to the error of M, b and g; with k characters that differ, at
most the product of k such terms with the ratio's k-th root. Asked for are `EXACT_RATIO` when the read itself is a
listed plate, `LOOKALIKE_RATIO` when it is no legal plate, `LEGAL_RATIO` when it is another legal plate.
docs/benchmarks.md has the rates measured.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from heapq import heappop, heappush, heapreplace
from itertools import islice
from math import log10

from gatectl.core.confusion import LOG_DOUBT, LOG_ODDS, READ_AS
from gatectl.core.model import CharVote, CredentialKey, Grant, Grants, PlateRead
from gatectl.core.plates import (
    ALPHABET,
    DIGITS,
    LETTERS,
    PLATE_PREFIX,
    PROVINCES,
    WORDS,
    CharShares,
    fold,
    is_emergency,
    is_legal,
    is_plate,
    length_fits_colour,
    parse_plate,
    plate_key,
)

EXACT_RATIO = 5e4
"""Smallest ratio at which the read's own text opens. docs/benchmarks.md: what it costs and what it keeps out."""
LOOKALIKE_RATIO = EXACT_RATIO
"""Smallest ratio at which a read that is no legal plate opens as the listed plate that it looks like."""
LEGAL_RATIO = 1e6
"""Smallest ratio at which a read that is itself a legal plate opens as another one."""
MIN_CONFIDENCE = 0.5
"""Smallest confidence of a read that is looked up at all: below it, what was seen may be no plate character."""
MIN_ODDS = 2.0
"""Below these odds between two characters it does not count how seldom the reader confuses them."""
MOST_RATIO = 1e12
"""Ratios are told up to this."""
_LEAST_SHARE = 1e-6
"""Nothing is less likely than this: what the told characters leave of 1 is spread over the untold ones."""
_TOLD = 4
"""Untold characters tried a position, those that the reader most often takes for what it read."""
_MOST_STRINGS = 48
"""Strings looked at for a read that is not listed itself; the next one's likelihood then stands for all others'."""
_SERIAL = LETTERS + DIGITS
_ENERGY_LENGTH = 8
_ENERGY = "ABCDEFGHJK" + DIGITS
"""The third or the last character of a new-energy plate is a letter of these; its fifth to seventh are digits."""
_PROVINCE_COUNT = len(PROVINCES)
_OTHER_COUNT = len(ALPHABET) - _PROVINCE_COUNT

Options = tuple[tuple[float, str], ...]
"""What one position may be: (likelihood 0-1, character), likeliest first."""


class MatchKind(StrEnum):
    """How a read and the list go together."""

    EXACT = "exact"
    """The read is a listed plate, and no other plate explains it nearly as well: opens."""
    LOOKALIKE = "lookalike"
    """The read is none, and stands for one listed plate and for no other: opens."""
    UNSURE = "unsure"
    """A listed plate would explain the read, but so would a stranger's: a better picture may tell."""
    AMBIGUOUS = "ambiguous"
    """Two listed plates would, or one of another colour: a person decides."""
    NONE = "none"
    """No listed plate explains the read."""


@dataclass(frozen=True, slots=True)
class PlateMatch:
    """The outcome of `match_plate`. `key` is set only when it opens (EXACT, LOOKALIKE)."""

    kind: MatchKind
    key: CredentialKey | None = None
    ratio: float = 0.0
    """Likelihood of the best listed plate over that of the likeliest other legal plate; 0 where none is listed."""
    bound: float = EXACT_RATIO
    """The ratio that this read needed."""
    candidates: tuple[CredentialKey, ...] = ()
    """The listed plates in question, likeliest first: for the guard's card and the trace."""
    rival: str = ""
    """The likeliest other plate; "" = none is legal."""
    grant: Grant | None = None
    """The grant of `key`."""

    @property
    def ratio_log10(self) -> float:
        """The ratio's order of magnitude; -inf for 0."""
        return log10(self.ratio) if self.ratio > 0 else float("-inf")


def match_plate(read: PlateRead, grants: Grants) -> PlateMatch:
    """The listed car that this read surely is. Never raises; a few microseconds when the read is listed itself."""
    text = read.text
    if not text or len(text) > 12:
        return PlateMatch(MatchKind.NONE)
    places = likelihoods(read)
    key = plate_key(text)
    grant = grants.get(key)
    if grant is not None:
        return _exact(text, grant, places, grants)
    return _lookalike(read, places, grants)


def opens_by_class(read: PlateRead) -> bool:
    """An emergency or police plate that no car of another class explains nearly as well (DOMAIN 1.6).

    Such plates are white; one seen on a coloured ground is none (`length_fits_colour`).
    """
    if not is_emergency(read.text) or not length_fits_colour(read.text, read.colour):
        return False
    places = likelihoods(read)
    likelihood, _rival = _likeliest(places, lambda text: is_plate(text) and not is_emergency(text))
    return _likelihood(read.text, places) >= EXACT_RATIO * likelihood


def confusion(true: str, taken_for: str) -> float:
    """M: how often the reader takes one character for another (0-1), smoothed by one error a character in all."""
    seen, errors = READ_AS.get(true, _NEVER_SEEN)
    count = _PROVINCE_COUNT if true in PROVINCES else _OTHER_COUNT
    return (errors.get(taken_for, _NO_ERROR)[0] + 1 / count) / (seen + 1)


def tail(true: str, taken_for: str) -> float:
    """b: when one character is taken for another, the odds exceed x in x ^ -b of the cases.

    One over the mean logarithm of the pair's odds, and of `_BORROWED` errors as sure as all are on average.
    """
    count, log_odds = READ_AS.get(true, _NEVER_SEEN)[1].get(taken_for, _NO_ERROR)
    return (count + _BORROWED) / (count * log_odds + _BORROWED * LOG_ODDS)


_NO_ERROR: tuple[int, float] = (0, 0.0)
_NEVER_SEEN: tuple[int, dict[str, tuple[int, float]]] = (0, {})
_BORROWED = 3
GROWTH = 1 / LOG_DOUBT
"""g: right characters with odds below x grow in number as x ^ g."""


def grant_bound(true: str, taken_for: str) -> float:
    """The most of a stranger's reads (0-1) that open as a listed plate with another character in one place."""
    rate, b = confusion(true, taken_for), tail(true, taken_for)
    power: float = (rate * EXACT_RATIO) ** (-b / (b + GROWTH))
    return rate * min(1.0, power)


@dataclass(frozen=True, slots=True)
class _Rivals:
    """What may have been taken for one character: (M, b + g) by character, and the characters most often first."""

    rates: Mapping[str, tuple[float, float]]
    ranked: tuple[str, ...]


@lru_cache(maxsize=512)
def _rivals(character: str, standing: str) -> _Rivals:
    """The rivals of a character among those that can stand in its place."""
    rates = {
        other: (confusion(other, character), tail(other, character) + GROWTH)
        for other in standing
        if other != character
    }
    return _Rivals(rates, tuple(sorted(rates, key=lambda other: (-rates[other][0], other))))


def rivals_of(character: str) -> str:
    """The serial or province characters that the reader may have taken for this one, most often first."""
    return "".join(_rivals(character, PROVINCES if character in PROVINCES else _SERIAL).ranked)


def likelihoods(read: PlateRead) -> tuple[Options, ...]:
    """l_i of every position of the read's text; a read without distributions has its confidence at each."""
    text, chars = read.text, read.chars
    if len(chars) != len(text):
        chars = tuple(CharVote(((character, read.confidence),)) for character in text)
    standing = _standing(len(text)) if text[0] in PROVINCES else (ALPHABET,) * len(text)
    return tuple(
        _options(character, vote.candidates, may) for character, vote, may in zip(text, chars, standing, strict=True)
    )


@lru_cache(maxsize=16)
def _standing(length: int) -> tuple[str, ...]:
    """What can stand at each position of a plate that begins with its province."""
    if length == _ENERGY_LENGTH:
        return (PROVINCES, LETTERS + "O", _ENERGY, _SERIAL, DIGITS, DIGITS, DIGITS, _ENERGY)
    places = (PROVINCES, LETTERS + "O", *(_SERIAL,) * length)
    return tuple(_SERIAL + WORDS if i == length - 1 and i > 1 else places[i] for i in range(length))


@lru_cache(maxsize=4096)
def _options(character: str, told: CharShares, standing: str) -> Options:
    shares: dict[str, float] = {}
    for char, share in told:
        if 0 < share <= 1:
            shares[char] = max(_LEAST_SHARE, share)
    if character not in shares:
        shares[character] = _LEAST_SHARE
    top, top_share, total, least = character, shares[character], 0.0, 1.0
    for char, share in shares.items():
        total += share
        if share > top_share:
            top, top_share = char, share
        if share < least:
            least = share
    rivals = _rivals(top, standing)
    rates = rivals.rates
    options: list[tuple[float, str]] = [(1.0, top)]
    for other, share in shares.items():
        if other in rates:
            rate, exponent = rates[other]
            odds = top_share / share
            options.append((odds**-exponent * (rate if odds >= MIN_ODDS else 1.0), other))
        elif other == character and other != top:
            # The read's own character cannot stand here: it is kept, so that the read has a likelihood.
            options.append((share / top_share, other))
    rest = (1 - total) / max(1, len(standing) - len(shares))
    odds = top_share / max(min(rest, least), _LEAST_SHARE)
    is_sure = odds >= MIN_ODDS
    for other in rivals.ranked[: _TOLD + len(shares)]:
        if other not in shares:
            rate, exponent = rates[other]
            options.append((odds**-exponent * (rate if is_sure else 1.0), other))
    options.sort(reverse=True)
    return tuple(options)


# --- the hypotheses, likeliest first ---


def _first(places: tuple[Options, ...]) -> Iterator[tuple[float, str]]:
    """The `_MOST_STRINGS` likeliest strings with their likelihoods, likeliest first, legal or not."""
    return islice(_best_first(places), _MOST_STRINGS)


def _best_first(places: tuple[Options, ...]) -> Iterator[tuple[float, str]]:
    """Every string once. A choice is the place changed last, and for each place the rank of its option."""
    best = tuple(options[0][1] for options in places)
    heap: list[tuple[float, int, tuple[int, ...]]] = [(-1.0, 0, (0,) * len(places))]
    while heap:
        weight, changed, ranks = heappop(heap)
        yield -weight, "".join([best[i] if rank == 0 else places[i][rank][1] for i, rank in enumerate(ranks)])
        for i in range(changed, len(places)):
            rank, options = ranks[i], places[i]
            if rank + 1 < len(options):
                grown = weight * options[rank + 1][0] / options[rank][0]
                heappush(heap, (grown, i, (*ranks[:i], rank + 1, *ranks[i + 1 :])))


def _likelihood(text: str, places: tuple[Options, ...]) -> float:
    """P(read | text), 0 for a character that no option is."""
    product = 1.0
    for character, options in zip(text, places, strict=True):
        product *= next((likelihood for likelihood, option in options if option == character), 0.0)
    return product


def _likeliest(places: tuple[Options, ...], is_meant: Callable[[str], bool]) -> tuple[float, str]:
    """The likeliest string that is meant; the likelihood that bounds it and "" when none is among the first."""
    likelihood = 0.0
    for likelihood, text in _first(places):
        if is_meant(text):
            return likelihood, text
    return likelihood, ""


def _over(own: float, other: float) -> float:
    return min(own / other, MOST_RATIO) if other > 0 else MOST_RATIO


# --- the read's own text is listed ---


def _exact(text: str, grant: Grant, places: tuple[Options, ...], grants: Grants) -> PlateMatch:
    key = grant.key
    own, (likelihood, rival) = _against_another(text, places)
    ratio = _over(own, likelihood)
    if ratio >= EXACT_RATIO:
        return PlateMatch(MatchKind.EXACT, key, ratio, EXACT_RATIO, (key,), rival, grant)
    twin = plate_key(rival)
    if rival and grants.get(twin) is not None:
        return PlateMatch(MatchKind.AMBIGUOUS, None, ratio, EXACT_RATIO, (key, twin), rival)
    return PlateMatch(MatchKind.UNSURE, None, ratio, EXACT_RATIO, (key,), rival)


def _against_another(text: str, places: tuple[Options, ...]) -> tuple[float, tuple[float, str]]:
    """The likelihood of `text`, and the likeliest other legal plate as `_likeliest` finds it.

    Nearly always the other is the read with one character changed: those are looked through first, which is quicker.
    """
    if all(options[0][1] == character for options, character in zip(places, text, strict=True)):
        found = _changed_once(text, places)
        if found is not None:
            return 1.0, found
    return _likelihood(text, places), _likeliest(places, lambda other: other != text and is_plate(other))


# --- it is not ---


def _changed_once(text: str, places: tuple[Options, ...]) -> tuple[float, str] | None:
    """The likeliest legal plate with one character changed; None where two changed ones may be likelier."""
    changes = [(-options[1][0], i, 1) for i, options in enumerate(places) if len(options) > 1]
    changes.sort()
    least = changes[0][0] * changes[1][0] if len(changes) > 1 else 0.0
    while changes:
        weight, i, rank = changes[0]
        if -weight < least:
            return None
        options = places[i]
        other = f"{text[:i]}{options[rank][1]}{text[i + 1 :]}"
        if is_plate(other):
            return -weight, other
        if rank + 1 < len(options):
            heapreplace(changes, (-options[rank + 1][0], i, rank + 1))
        else:
            heappop(changes)
    return None


def _lookalike(read: PlateRead, places: tuple[Options, ...], grants: Grants) -> PlateMatch:
    text = read.text
    is_read_legal = is_legal(text)
    bound = LEGAL_RATIO if is_read_legal else LOOKALIKE_RATIO
    listed, stranger, last = _hypotheses(places, grants)
    twins = _alike(text, grants)
    if listed is None:
        return PlateMatch(MatchKind.NONE, None, 0.0, bound, twins, stranger[1])
    likelihood, key = listed
    if is_read_legal:
        stranger = max(stranger, (_likelihood(text, places), text))
    ratio = _over(likelihood, stranger[0] or last)
    grant = grants.get(key)
    candidates = tuple(dict.fromkeys((key, *_alike(key.removeprefix(PLATE_PREFIX), grants), *twins)))
    kind = MatchKind.LOOKALIKE
    if grant is None or len(candidates) > 1 or not _is_colour_right(read, grant):
        kind = MatchKind.AMBIGUOUS
    elif ratio < bound:
        is_rival_listed = bool(stranger[1]) and grants.get(plate_key(stranger[1])) is not None
        kind = MatchKind.AMBIGUOUS if is_rival_listed else MatchKind.UNSURE
    if kind is MatchKind.LOOKALIKE:
        return PlateMatch(kind, key, ratio, bound, candidates, stranger[1], grant)
    return PlateMatch(kind, None, ratio, bound, candidates, stranger[1])


def _hypotheses(
    places: tuple[Options, ...], grants: Grants
) -> tuple[tuple[float, CredentialKey] | None, tuple[float, str], float]:
    """The likeliest listed plate, the likeliest other legal one ((0, "") if none), and what bounds all the rest."""
    found: dict[str, Sequence[CredentialKey]] = {}
    listed: tuple[float, CredentialKey] | None = None
    other: tuple[float, str] = (0.0, "")
    likelihood = 0.0
    for likelihood, text in _first(places):
        if likelihood * EXACT_RATIO < other[0]:
            break  # whatever is listed from here on is out of the question
        if not is_plate(text):
            continue
        folded = fold(text)
        if folded not in found:
            found[folded] = grants.alike(folded)
        key = plate_key(text)
        if listed is None and key in found[folded]:
            listed = (likelihood, key)
        elif not other[1]:
            other = (likelihood, text)
        if listed is not None and other[1]:
            break
    return listed, other, likelihood


def _alike(text: str, grants: Grants) -> tuple[CredentialKey, ...]:
    """Listed plates of the same length that are the same when folded."""
    return tuple(key for key in grants.alike(fold(text)) if len(key) == len(PLATE_PREFIX) + len(text))


def _is_colour_right(read: PlateRead, grant: Grant) -> bool:
    """A look-alike opens only on the colour that its owner's plate has."""
    plate = parse_plate(grant.key.removeprefix(PLATE_PREFIX))
    if plate is None or read.colour is None or not length_fits_colour(plate.text, read.colour):
        return False
    return read.colour is grant.colour if grant.colour is not None else read.colour in plate.colours
