"""Readers repeat a card while it lies in the field; people tap once."""

from gatectl.core.model import CredentialKey


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
