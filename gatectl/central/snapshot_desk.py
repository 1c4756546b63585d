"""Who is sent a snapshot when (PROTOCOLS 8): a few gates at a time on request, or all that wait by one sending.

Pure: time is given, messages are returned. A gate asks for a window of four chunks from an index; central remembers
nothing that a restart could lose, because the gate asks again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gatectl.central.snapshot_shelf import Kept
from gatectl.wire.messages import gate_topic, list_topic
from gatectl.wire.replica import WINDOW_CHUNKS, ListRequest

SESSION_IDLE_S = 5.0
"""A gate that has not asked on for so long makes room for the next."""
_SETTLE_S = 0.05
_MAX_SETTLE_S = 0.5
"""Before one sending for all begins: the others' requests are on their way."""

Parcel = tuple[str, bytes]
"""Topic and payload."""


@dataclass(slots=True)
class _Ask:
    """What a gate waits for: the chunks from `first` to before `upto`."""

    site: str
    first: int
    upto: int


@dataclass(slots=True)
class _Shared:
    """One sending for everybody who listens."""

    kept: Kept
    next: int
    end: int
    begun_s: float
    last_ask_s: float
    is_moving: bool = False


class SnapshotDesk:
    """`limit`: gates that are sent chunks of their own at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sessions: dict[str, float] = {}
        self._waiting: dict[str, _Ask] = {}
        self._shared: dict[str, _Shared] = {}
        self._told: dict[str, int] = {}
        """Gates that one sending should have served, and from which index they lacked."""

    @property
    def is_busy(self) -> bool:
        """Somebody waits, or a sending is under way."""
        return bool(self._waiting or self._shared)

    def ask(self, gate: str, request: ListRequest, kept: Kept, now_s: float) -> None:
        """Take a gate's request for a snapshot; `turn` answers it."""
        first = request.chunk_from if request.sha256 == kept.sha256 and request.chunk_from < kept.chunks else 0
        shared = self._shared.get(request.site)
        upto = kept.chunks
        if shared is not None and shared.kept is kept and gate not in self._sessions:
            shared.last_ask_s = now_s
            upto = shared.next if shared.is_moving else 0
        known = self._waiting.get(gate)
        if known is not None:
            upto = min(upto, known.upto)
        self._waiting[gate] = _Ask(request.site, first, max(upto, 0))

    def turn(self, kept_of: Callable[[str], Kept | None], now_s: float, credit: int) -> list[Parcel]:
        """What to send now; `credit`: how many more chunks for everybody may be under way."""
        self._sessions = {gate: until_s for gate, until_s in self._sessions.items() if until_s > now_s}
        parcels = list(self._move_shared(now_s, credit))
        for gate, ask in list(self._waiting.items()):
            if gate in self._sessions:
                parcels += self._window(gate, ask, kept_of, now_s)
        for site in dict.fromkeys(ask.site for ask in self._waiting.values()):
            self._begin_shared(site, kept_of, now_s)
        for gate, ask in list(self._waiting.items()):
            if len(self._sessions) >= self._limit:
                break
            if ask.site not in self._shared:
                parcels += self._window(gate, ask, kept_of, now_s)
        return parcels

    def _window(self, gate: str, ask: _Ask, kept_of: Callable[[str], Kept | None], now_s: float) -> Iterator[Parcel]:
        del self._waiting[gate]
        self._told.pop(gate, None)
        kept = kept_of(ask.site)
        if kept is None:
            return
        end = min(ask.first + WINDOW_CHUNKS, kept.chunks)
        for i in range(ask.first, end):
            yield gate_topic(gate, "wl/data"), kept.chunk(i)
        if end < kept.chunks:
            self._sessions[gate] = now_s + SESSION_IDLE_S
        else:
            self._sessions.pop(gate, None)

    def _begin_shared(self, site: str, kept_of: Callable[[str], Kept | None], now_s: float) -> None:
        """More wait than may be served one by one: one sending for all, but for those that were deaf to the last."""
        mine = {gate: ask for gate, ask in self._waiting.items() if ask.site == site}
        hearing = {gate: ask for gate, ask in mine.items() if self._told.get(gate) != ask.first}
        if site in self._shared or len(hearing) <= self._limit - len(self._sessions):
            return
        kept = kept_of(site)
        if kept is None:
            return
        first = min(ask.first for ask in hearing.values())
        end = max(ask.upto for ask in hearing.values()) or kept.chunks
        self._shared[site] = _Shared(kept, first, min(end, kept.chunks), now_s, now_s)

    def _move_shared(self, now_s: float, credit: int) -> Iterator[Parcel]:
        for site, shared in list(self._shared.items()):
            if not shared.is_moving:
                is_settled = now_s - shared.last_ask_s >= _SETTLE_S or now_s - shared.begun_s >= _MAX_SETTLE_S
                if not is_settled:
                    continue
                shared.is_moving = True
                self._take_aboard(site, shared)
            while credit > 0 and shared.next < shared.end:
                yield list_topic(site, "snap"), shared.kept.chunk(shared.next)
                shared.next += 1
                credit -= 1
            if shared.next >= shared.end:
                del self._shared[site]

    def _take_aboard(self, site: str, shared: _Shared) -> None:
        """All that wait now are served by it."""
        for gate, ask in list(self._waiting.items()):
            if ask.site == site and self._told.get(gate) != ask.first:
                shared.next = min(shared.next, ask.first)
                shared.end = max(shared.end, ask.upto or shared.kept.chunks)
                self._told[gate] = ask.first
                del self._waiting[gate]
