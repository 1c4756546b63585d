"""When a line brings more noise than cards. Pure."""

WINDOW_NS = 10_000_000_000
NOISE_LIMIT = 64
"""Bytes of noise in 10 s without one good frame: a wrong baud rate. A tap at a wrong rate brings over 100."""
BABBLE_LIMIT = 2000
"""Bytes of noise in 10 s, good frames or not: a line that babbles."""


class NoiseWatch:
    """Judges a line by its last 10 s. Bad is told once; well again takes a good frame and 10 s without a burst."""

    def __init__(self) -> None:
        self.is_bad = False
        self._began_ns = 0
        self._noise = [0, 0]
        self._good = [0, 0]
        self._is_good_since = False

    def note(self, noise_bytes: int, good_frames: int, tick_ns: int) -> bool:
        """Count what came in one turn, which may be nothing; True when `is_bad` changed."""
        half_ns = WINDOW_NS // 2
        if tick_ns - self._began_ns >= half_ns:
            is_next = tick_ns - self._began_ns < WINDOW_NS
            self._noise = [0, self._noise[0] if is_next else 0]
            self._good = [0, self._good[0] if is_next else 0]
            self._began_ns = tick_ns
        self._noise[0] += noise_bytes
        self._good[0] += good_frames
        self._is_good_since |= good_frames > 0
        noise, good = sum(self._noise), sum(self._good)
        was_bad = self.is_bad
        if not was_bad and (noise >= BABBLE_LIMIT or (noise >= NOISE_LIMIT and not good)):
            self.is_bad, self._is_good_since = True, False
        elif was_bad and self._is_good_since and noise < NOISE_LIMIT:
            self.is_bad = False
        return self.is_bad != was_bad
