"""The one thread that owns every lane machine: events in by a bounded inbox, effects out in order."""

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import monotonic_ns

from gatectl.core.codes import code_key, is_code
from gatectl.core.lane import LaneMachine
from gatectl.core.lane_io import (
    AttemptMade,
    CloseBarrier,
    CommandAnswered,
    Effect,
    Indicate,
    InputChanged,
    Keep,
    LaneEvent,
    OpenBarrier,
    ReadPlate,
    Record,
    Ticked,
)
from gatectl.core.lane_records import LaneContext
from gatectl.core.model import (
    AccessEvent,
    Attempt,
    ClockTrust,
    CredentialKey,
    EventKind,
    Lane,
    LaneId,
    LaneMode,
    PassClaim,
    SiteId,
    WhitelistView,
)
from gatectl.core.reasons import Reason
from gatectl.core.rights import mode_of
from gatectl.core.schedule import epoch_s
from gatectl.drivers.ports import (
    Barrier,
    CardPresented,
    Clock,
    CodeTyped,
    DeviceState,
    FireLatch,
    Indicator,
    InputSeen,
    PassShown,
    RelayCounted,
)
from gatectl.edge.events import EventMaker
from gatectl.edge.inbox import InboxItem, InsideHeard, LaneOrder, PassagesHeard, PlateArrived
from gatectl.edge.latency import Latencies
from gatectl.edge.presence import PREFIXES, Presence
from gatectl.edge.relays import RelayWatch
from gatectl.edge.store import EventStore, Pending
from gatectl.errors import LinkError, PayloadError
from gatectl.logs import get_logger
from gatectl.wire.messages import LaneBeat
from gatectl.wire.passes import read_pass

RECORD_DEADLINE_S = 0.150
"""An opening waits this long for its record; a stalled SD card must not strand a car."""
TICK_NS = 100_000_000
KEEP_ALIVE_NS = 250_000_000
INBOX_SIZE = 2000
_MAX_WAIT_S = 0.05
_LINK_ALARM_EACH_NS = 60_000_000_000
_OVERDUE_EACH_NS = 10_000_000_000
_LATCH = "lane:"
_WORDS_TOLD = 8
"""Different words that one bad device is recorded with before it works again."""
"""What a lane machine keeps over a restart stands under this name in the store."""

NO_PASS = PassClaim("", SiteId(""), (), 0, 0, 0)
"""What a scanner showed is no pass of ours: judged, refused and recorded like a forged one."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hands:
    """What the controller moves: barriers by lane, the lights, the cameras, and the answers to central."""

    barriers: Mapping[LaneId, Barrier]
    indicator: Indicator
    read_plate: Callable[[LaneId], None]
    answer: Callable[[CommandAnswered], None]


class Controller:
    """Owns the lanes. Only `put`, `view` and the read-only figures may be touched from other threads."""

    def __init__(
        self,
        lanes: tuple[Lane, ...],
        reader_lanes: Mapping[str, LaneId],
        device_kinds: Mapping[str, Reason],
        hands: Hands,
        store: EventStore,
        maker: EventMaker,
        clock: Clock,
        view: WhitelistView,
    ) -> None:
        self.view = view
        """The whitelist decided on; `sync` swaps this one reference."""
        self.is_offline: Callable[[], bool] = lambda: True
        self.is_link_up: Callable[[], bool] = lambda: True
        """Whether the passages of the site's other gates arrive."""
        self.floor_s: Callable[[], int] = lambda: 0
        self._lanes = {lane.id: lane for lane in lanes}
        kept = {name[len(_LATCH) :]: value for name, value in store.metas((_LATCH,)).items()}
        self._machines = {lane.id: LaneMachine(lane, maker.gate, maker.boot_id, maker.new_id, kept) for lane in lanes}
        self._presence = Presence()
        self._presence.restore(store.metas(PREFIXES), epoch_s(clock.now()))
        self._next_overdue_ns = 0
        self._reader_lanes = reader_lanes
        self._device_kinds = device_kinds
        self._hands = hands
        self._store = store
        self._maker = maker
        self._clock = clock
        self._inbox: queue.Queue[InboxItem] = queue.Queue(INBOX_SIZE)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._beat_ns = monotonic_ns()
        self._pendings: dict[str, Pending] = {}
        self._relays = RelayWatch()
        self._bad_devices: dict[str, str] = {}
        self._told_words: dict[str, list[str]] = {}
        self._up_devices: set[str] = set()
        self._barrier_set = {id(barrier): barrier for barrier in hands.barriers.values()}
        self._link_alarm_ns: dict[LaneId, int] = {}
        self.tap_to_relay = Latencies("tap_to_relay")
        self.plate_to_relay = Latencies("plate_to_relay")
        self.counters = {
            "inbox_overflow": 0,
            "late_records": 0,
            "openings": 0,
            "openings_failed": 0,
            "unexplained_openings": 0,
            "cards_unplaced": 0,
            "passes_unread": 0,
        }
        self._overflow_told = 0
        self._beats: tuple[LaneBeat, ...] = self._make_beats()

    # --- from other threads ---

    def start(self) -> None:
        """Start the controller's thread."""
        for lane in self._lanes:
            kept = self._store.meta(f"relay:{lane}")
            if kept is not None:
                self._relays.restore(lane, int(kept))
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Stop after the turn under way. Safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def put(self, item: InboxItem) -> None:
        """Hand in an event; never blocks. A full inbox is counted and becomes an alarm."""
        try:
            self._inbox.put_nowait(item)
        except queue.Full:
            self.counters["inbox_overflow"] += 1

    def beat_ns(self) -> int:
        """Monotonic ns of the last turn."""
        return self._beat_ns

    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def lane_beats(self) -> tuple[LaneBeat, ...]:
        """Every lane as of the last turn."""
        return self._beats

    def bad_devices(self) -> tuple[str, ...]:
        """What is broken now, in words."""
        return tuple(f"{name}: {words}" for name, words in sorted(self._bad_devices.items()))

    def is_up(self, device: str) -> bool:
        """Whether the device said that it works."""
        return device in self._up_devices

    def record(self, event: AccessEvent) -> Pending:
        """Write an event that no lane machine made."""
        return self._store.submit(event)

    # --- the controller thread ---

    def _run(self) -> None:
        next_tick_ns = next_feed_ns = self._clock.tick_ns()
        while not self._stopping.is_set():
            self._beat_ns = monotonic_ns()
            now_ns = self._clock.tick_ns()
            if now_ns >= next_feed_ns:
                next_feed_ns = now_ns + KEEP_ALIVE_NS
                self._feed_leases()
            if now_ns >= next_tick_ns:
                next_tick_ns = now_ns + TICK_NS
                self._tick(now_ns)
            until_ns = min(next_tick_ns, next_feed_ns) - self._clock.tick_ns()
            try:
                item = self._inbox.get(timeout=max(0.0005, min(_MAX_WAIT_S, until_ns / 1e9)))
            except queue.Empty:
                continue
            self.step(item)

    def _feed_leases(self) -> None:
        for barrier in self._barrier_set.values():
            try:
                barrier.keep_alive()
            except LinkError as error:
                _log.debug("lease.not_fed", words=str(error))

    def _tick(self, now_ns: int) -> None:
        at = self._clock.now()
        for lane in self._machines:
            self._on(lane, Ticked(at, now_ns))
        if now_ns >= self._next_overdue_ns:
            self._next_overdue_ns = now_ns + _OVERDUE_EACH_NS
            self._tell_overdue(epoch_s(at))
        self._beats = self._make_beats()
        self._pendings = {name: item for name, item in self._pendings.items() if not item.is_done()}
        overflow = self.counters["inbox_overflow"]
        if overflow > self._overflow_told:
            note = f"{overflow - self._overflow_told} events did not fit in the controller's inbox"
            self._overflow_told = overflow
            self.record(self._maker.alarm(Reason.OUTBOX_FULL, note))

    def _tell_overdue(self, now_s: int) -> None:
        """Couriers and visitors who should have left; not on a clock that may be hours off."""
        if self._clock.trust() is ClockTrust.UNTRUSTED:
            return
        for subject, where in self._presence.newly_overdue(now_s):
            minutes = (now_s - where.since_s) // 60
            note = f"in {where.area} for {minutes} min, {where.max_stay_s // 60} min were agreed"
            event = replace(self._maker.alarm(Reason.OVERSTAY, note), subject=subject, household=where.household)
            self.record(event)

    def _keep(self, changes: Mapping[str, str]) -> None:
        if changes:
            self._store.set_metas(changes)

    def step(self, item: InboxItem) -> None:
        """Carry out one inbox item, effects and all."""
        if isinstance(item, CardPresented):
            self._card(item)
        elif isinstance(item, InputSeen):
            if item.lane in self._machines:
                self._on(item.lane, InputChanged(item.input, item.is_active, self._clock.now(), item.tick_ns))
        elif isinstance(item, PlateArrived):
            self._plate(item)
        elif isinstance(item, CodeTyped | PassShown):
            self._code_or_pass(item)
        elif isinstance(item, LaneOrder):
            self._on(item.lane, item.order)
        elif isinstance(item, PassagesHeard):
            self._keep(self._presence.heard(item.news, self._maker.gate))
        elif isinstance(item, InsideHeard):
            self._keep(self._presence.replace(item.count))
        elif isinstance(item, RelayCounted):
            self._relay_counted(item)
        else:
            self._device_state(item)
        self._beats = self._make_beats()

    def _card(self, card: CardPresented) -> None:
        self._shown(card.reader, card.tick_ns, key=card.key)

    def _code_or_pass(self, shown: CodeTyped | PassShown) -> None:
        """Digits are known by their salted hash from here on; a text that is no pass is an unknown code."""
        if isinstance(shown, CodeTyped):
            if is_code(shown.digits):
                self._shown(shown.reader, shown.tick_ns, key=code_key(self.view.code_salt, shown.digits))
            return
        try:
            claim = read_pass(shown.text, self.view.issuers)
        except PayloadError:
            self.counters["passes_unread"] += 1
            claim = NO_PASS
        self._shown(shown.reader, shown.tick_ns, claim=claim)

    def _shown(
        self, reader: str, tick_ns: int, *, key: CredentialKey | None = None, claim: PassClaim | None = None
    ) -> None:
        lane = self._reader_lanes.get(reader)
        if lane is None:
            self.counters["cards_unplaced"] += 1
            _log.warning("card.reader_unknown", reader=reader)
            return
        attempt = Attempt(
            id=self._maker.new_id(),
            lane=lane,
            direction=self._lanes[lane].direction,
            at=self._clock.now(),
            reader=reader,
            key=key,
            claim=claim,
        )
        self._on(lane, AttemptMade(attempt, tick_ns), (self.tap_to_relay, tick_ns))

    def _plate(self, read: PlateArrived) -> None:
        if read.lane not in self._machines:
            return
        attempt = Attempt(
            id=self._maker.new_id(),
            lane=read.lane,
            direction=self._lanes[read.lane].direction,
            at=self._clock.now(),
            reader=read.camera,
            plate=read.plate,
        )
        made = AttemptMade(attempt, self._clock.tick_ns())
        self._on(read.lane, made, (self.plate_to_relay, read.frame_tick_ns))

    def _on(self, lane: LaneId, event: LaneEvent, since: tuple[Latencies, int] | None = None) -> None:
        machine = self._machines[lane]
        others = [other for other in self._machines.values() if other is not machine]
        context = LaneContext(
            clock=self._clock.trust(),
            clock_floor_s=max(self.floor_s(), self.view.issued_s),
            is_offline=self.is_offline(),
            occupancy=self._presence.occupancy,
            pending=tuple(pending for other in others for pending in other.pending),
            is_link_up=self.is_link_up(),
            is_interlocked=self._is_interlocked(lane),
        )
        self._carry_out(machine.on(event, self.view, context), since)

    def _is_interlocked(self, lane: LaneId) -> bool:
        """Another lane of the same interlock stands open."""
        policies = self.view.policies
        mine = policies.get(lane)
        if mine is None or not mine.interlock:
            return False
        return any(
            machine.stands_open
            for other, machine in self._machines.items()
            if other != lane and (policy := policies.get(other)) is not None and policy.interlock == mine.interlock
        )

    def _carry_out(self, effects: tuple[Effect, ...], since: tuple[Latencies, int] | None) -> None:
        opening = {effect.cause: effect.lane for effect in effects if isinstance(effect, OpenBarrier)}
        for effect in effects:
            if isinstance(effect, Record):
                self._record(effect.event, opening.get(effect.event.id))
                if effect.event.reason is Reason.EMERGENCY_RELEASED:
                    self._release_fire(effect.event.lane)
            elif isinstance(effect, OpenBarrier):
                self._open(effect, since)
            elif isinstance(effect, CloseBarrier):
                self._close(effect)
            elif isinstance(effect, Indicate):
                self._hands.indicator.show(effect.lane, effect.signal, effect.reason)
            elif isinstance(effect, ReadPlate):
                self._hands.read_plate(effect.lane)
            elif isinstance(effect, CommandAnswered):
                self._hands.answer(effect)
            elif isinstance(effect, Keep):
                self._store.set_meta(f"{_LATCH}{effect.name}", effect.value)

    def _record(self, event: AccessEvent, opens: LaneId | None) -> None:
        """Submit; the relay count that the opening will lead to travels in the same transaction."""
        meta = {}
        expected = self._relays.expected(opens) if opens is not None else None
        if expected is not None:
            meta[f"relay:{opens}"] = str(expected + 1)
        meta |= self._presence.took_place(event)
        self._pendings[event.id] = self._store.submit(event, meta)
        if event.verdict is not None:
            _log.info(
                "attempt.decided",
                event_id=event.id,
                lane=event.lane,
                reason=event.reason.name,
                verdict=event.verdict,
                credential=event.credential,
            )
        elif event.kind is EventKind.ALARM:
            _log.warning("alarm", event_id=event.id, lane=event.lane, reason=event.reason.name, note=event.note)

    def _open(self, effect: OpenBarrier, since: tuple[Latencies, int] | None) -> None:
        pending = self._pendings.get(effect.cause)
        if pending is not None and not pending.wait(RECORD_DEADLINE_S):
            self.counters["late_records"] += 1
            if not pending.mark_late():
                # The body is already on its way to the disk, and events never change: a second one says it.
                note = "late_record: opened before the record was on the disk"
                self.record(self._maker.system(Reason.RECOVERED, note, effect.lane, ref=effect.cause))
        self._relays.pulsed(effect.lane, self._clock.tick_ns())
        try:
            self._hands.barriers[effect.lane].pulse_open(effect.lane, effect.pulse_ms)
        except LinkError as error:
            self._relays.not_pulsed(effect.lane)
            self.counters["openings_failed"] += 1
            self._link_alarm(effect.lane, str(error), effect.cause)
            return
        done_ns = self._clock.tick_ns()
        self.counters["openings"] += 1
        if since is not None:
            latencies, start_ns = since
            latencies.add(done_ns - start_ns)

    def _close(self, effect: CloseBarrier) -> None:
        try:
            self._hands.barriers[effect.lane].pulse_close(effect.lane, effect.pulse_ms)
        except LinkError as error:
            self._link_alarm(effect.lane, str(error), "")

    def _release_fire(self, lane: LaneId | None) -> None:
        """The bridge holds a lane open after fire as the machine does; both end it by the same person's word."""
        barrier: object = None if lane is None else self._hands.barriers.get(lane)
        if lane is not None and isinstance(barrier, FireLatch):
            try:
                barrier.release_fire(lane)
            except LinkError as error:
                self._link_alarm(lane, str(error), "")

    def _link_alarm(self, lane: LaneId, words: str, cause: str) -> None:
        """A lane whose bridge is away: one alarm a minute, not one a retry."""
        now_ns = self._clock.tick_ns()
        told_ns = self._link_alarm_ns.get(lane)
        if told_ns is None or now_ns - told_ns > _LINK_ALARM_EACH_NS:
            self._link_alarm_ns[lane] = now_ns
            self.record(self._maker.alarm(Reason.BRIDGE_FAIL, f"nothing moved: {words}", lane, ref=cause))
        _log.error("barrier.unreachable", lane=lane, words=words)

    def _relay_counted(self, count: RelayCounted) -> None:
        before = self._relays.expected(count.lane)
        strange = self._relays.counted(count.lane, count.opens, count.tick_ns)
        after = self._relays.expected(count.lane)
        if after != before:
            self._store.set_meta(f"relay:{count.lane}", str(after))
        if strange:
            self.counters["unexplained_openings"] += strange
            note = f"{strange} opening(s) that this gate did not order; the relay counter stands at {count.opens}"
            self.record(self._maker.alarm(Reason.UNEXPLAINED_OPENING, note, count.lane))

    def _device_state(self, state: DeviceState) -> None:
        was_bad = state.device in self._bad_devices
        is_told = state.words in self._told_words.get(state.device, ())
        if state.is_ok:
            self._told_words.pop(state.device, None)
            self._feed_leases()  # a bridge that has just come up obeys from now on, not from the next turn
            self._up_devices.add(state.device)
            self._bad_devices.pop(state.device, None)
            if was_bad:
                self.record(self._maker.system(Reason.RECOVERED, f"{state.device}: {state.words}"))
                _log.info("device.recovered", device=state.device, words=state.words)
            return
        self._up_devices.discard(state.device)
        self._bad_devices[state.device] = state.words
        told = self._told_words.setdefault(state.device, [])
        if not was_bad or (not is_told and len(told) < _WORDS_TOLD):
            told.append(state.words)
            reason = self._device_kinds.get(state.device, Reason.BRIDGE_FAIL)
            self.record(self._maker.alarm(reason, f"{state.device}: {state.words}"))
            _log.error("device.failed", device=state.device, words=state.words)

    def _mode(self, lane: Lane, machine: LaneMachine) -> str:
        """What the console shows: `emergency`, the office's mode, `open_hours`, or `normal`."""
        if machine.is_emergency:
            return "emergency"
        is_trusted = self._clock.trust() is not ClockTrust.UNTRUSTED
        now_s = epoch_s(self._clock.now()) if is_trusted else self.floor_s()
        mode = mode_of(self.view.policies.get(lane.id), now_s, is_clock_trusted=is_trusted)
        return "open_hours" if mode is LaneMode.NORMAL and machine.why_open else mode.value

    def _make_beats(self) -> tuple[LaneBeat, ...]:
        return tuple(
            LaneBeat(
                lane=lane.id,
                kind=lane.kind.value,
                arm=machine.arm,
                is_present=machine.is_present,
                is_held=machine.is_held,
                mode=self._mode(lane, machine),
            )
            for lane, machine in zip(self._lanes.values(), self._machines.values(), strict=True)
        )
