"""Decides what to send of the outbox, and when again. Pure book-keeping: no socket, no clock, no database."""

import random

WINDOW_EVENTS = 2000
"""Sent and not confirmed: central always has the next batch while it commits one."""
_JITTER_S = 1.0
"""Gates that lost one broker begin their backlogs within this time of each other."""
_PATIENCE_S = 2.0
_MAX_BACKOFF = 16.0


class DrainPlan:
    """Where the drain stands within one epoch. Times are monotonic seconds handed in by the caller."""

    def __init__(self, seed: int | None = None) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self.hwm = 0
        self.sent_upto = 0
        self.live_upto = 0
        self.resends = 0
        self._backoff = 1.0
        self._progress_s = 0.0
        self._begins_s = 0.0
        self._sent_s: dict[int, float] = {}

    def connected(self, first_seq: int, now_s: float) -> None:
        """A new connection: everything not confirmed goes again, beginning at the outbox's first row."""
        self.hwm = max(self.hwm, first_seq - 1)
        self.sent_upto = self.hwm
        self.live_upto = 0
        self._backoff = 1.0
        self._progress_s = now_s
        self._begins_s = now_s + self._rng.uniform(0, _JITTER_S)
        self._sent_s.clear()

    def room(self, waiting: int, now_s: float) -> int:
        """How many of the events that wait may be sent in order now; a long backlog first waits its turn."""
        if waiting > WINDOW_EVENTS and now_s < self._begins_s:
            return 0
        return max(0, WINDOW_EVENTS - (self.sent_upto - self.hwm))

    def wants_live(self, last_seq: int) -> bool:
        """Whether new events stand behind a backlog longer than the window, and should overtake it."""
        return last_seq > max(self.live_upto, self.sent_upto + WINDOW_EVENTS)

    def sent(self, last_seq: int, now_s: float) -> None:
        """Events up to `last_seq` were handed to the connection."""
        if self.sent_upto == self.hwm:
            self._progress_s = now_s
        self.sent_upto = max(self.sent_upto, last_seq)
        self._sent_s[last_seq] = now_s

    def sent_live(self, last_seq: int) -> None:
        """The newest events were sent ahead of the backlog."""
        self.live_upto = last_seq

    def acked(self, hwm: int, now_s: float) -> float | None:
        """Central committed up to `hwm`. Returns the seconds since that batch was sent, when it is known."""
        if hwm > self.hwm:
            self.hwm = hwm
            self.sent_upto = max(self.sent_upto, hwm)
            self._progress_s = now_s
            self._backoff = 1.0
        sent_s = self._sent_s.get(hwm)
        self._sent_s = {seq: at for seq, at in self._sent_s.items() if seq > hwm}
        return None if sent_s is None else now_s - sent_s

    def is_stuck(self, now_s: float) -> bool:
        """No progress for 2 s times the back-off while something is under way: send again from hwm + 1."""
        if self.sent_upto <= self.hwm:
            return False
        patience_s = _PATIENCE_S * self._backoff
        if now_s - self._progress_s < patience_s:
            return False
        self._backoff = min(_MAX_BACKOFF, self._backoff * 2) * self._rng.uniform(0.8, 1.2)
        self._progress_s = now_s
        self.sent_upto = self.hwm
        self._sent_s.clear()
        self.resends += 1
        return True
