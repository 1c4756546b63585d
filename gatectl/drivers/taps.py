"""What people do at a reader: a card that lies in the field is one tap; digits end with #."""

from gatectl.core.codes import MAX_DIGITS
from gatectl.core.model import CredentialKey

_DIGITS = frozenset("0123456789")


class TapFilter:
    """Makes one tap of a card's frames: the same card within `repeat_s` of its last frame is the same tap."""

    def __init__(self, repeat_s: float) -> None:
        self.repeats = 0
        """Frames that belonged to a tap already told."""
        self._repeat_ns = int(repeat_s * 1e9)
        self._last: tuple[CredentialKey, int] | None = None

    def is_new(self, key: CredentialKey, tick_ns: int) -> bool:
        """Whether this frame begins a tap."""
        last, self._last = self._last, (key, tick_ns)
        is_repeat = last is not None and last[0] == key and tick_ns - last[1] < self._repeat_ns
        self.repeats += is_repeat
        return not is_repeat


class Keypad:
    """Collects one keypad's keys: `#` enters; `*`, a pause and any other key clear.

    More digits than any code has make an entry void up to its `#`, so that its tail is not taken for a code.
    """

    PAUSE_NS = 10_000_000_000

    def __init__(self) -> None:
        self._digits = ""
        self._last_ns = 0

    def press(self, key: str, tick_ns: int) -> str | None:
        """The 1 to 8 digits that this key enters; None while they are being typed, or for an empty or void entry."""
        if tick_ns - self._last_ns > self.PAUSE_NS:
            self._digits = ""
        self._last_ns = tick_ns
        if key == "#":
            entered, self._digits = self._digits, ""
            return entered if 0 < len(entered) <= MAX_DIGITS else None
        if key not in _DIGITS:
            self._digits = ""
        elif len(self._digits) <= MAX_DIGITS:
            self._digits += key
        return None
