"""Checking a chain of events, row by row: one changed bit, one missing and one inserted event are found and named."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gatectl.wire.events import GENESIS, EventRow, chain_hash, is_purged, is_whole


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a chain at one place."""

    epoch: str
    seq: int
    what: str
    """`changed`, `personal`, `missing`, `inserted`, `order`, `head`, `column`, `watermark`."""
    words: str


@dataclass(frozen=True, slots=True)
class Told:
    """Rows that are known to be gone, and the chain's hash after them: a purge's beginning, a gap that was told."""

    first: int
    last: int
    last_hash: str


class ChainCheck:
    """Feed it the rows of one epoch in order of seq; it holds one row at a time."""

    def __init__(self, epoch: str, told: Iterable[Told] = ()) -> None:
        self.epoch = epoch
        self._told = {gap.first: gap for gap in told}
        self.seq = 0
        self.hash = GENESIS
        self.rows = 0
        self.purged = 0
        self.given_up = 0

    def take(self, row: EventRow) -> Iterator[Finding]:
        """What is wrong with this row, or between it and the row before."""
        yield from self._between(row)
        self.rows += 1
        self.purged += is_purged(row.body, row.personal)
        try:
            own = chain_hash(row.prev, row.body)
        except ValueError:
            own = ""
        if own != row.hash:
            words = "its body or its hashes were changed: SHA-256(prev, body) is another than its hash"
            yield Finding(self.epoch, row.seq, "changed", words)
        elif row.personal and not is_whole(row.body, row.personal):
            words = "its personal fields were changed: they are not what the body's hash says"
            yield Finding(self.epoch, row.seq, "personal", words)
        self.seq, self.hash = row.seq, row.hash

    def _between(self, row: EventRow) -> Iterator[Finding]:
        gap = self._told.get(self.seq + 1)
        if gap is not None and row.seq > self.seq + 1:
            self.given_up += gap.last - gap.first + 1
            self.seq, self.hash = gap.last, gap.last_hash
        if row.seq <= self.seq:
            yield Finding(self.epoch, row.seq, "order", f"it stands after {self.seq}")
        elif row.seq > self.seq + 1:
            last = row.seq - 1
            which = f"event {last} is" if last == self.seq + 1 else f"events {self.seq + 1} to {last} are"
            yield Finding(self.epoch, self.seq + 1, "missing", f"{which} missing")
        elif row.prev != self.hash:
            words = f"it does not follow {self.seq or 'the beginning'}: it was inserted, or the one before was replaced"
            yield Finding(self.epoch, row.seq, "inserted", words)
