"""OSDP readers on an RS-485 bus, through libosdp: secure by default, cards never in clear (PROTOCOLS 3).

One bus is one port is one thread. libosdp calls back with a lock held that it does not let us enter again: its
callbacks only enqueue. What it leaves open is closed here: weak keys, its 300 s pause after a loss, changed readers.
"""

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import osdp_sys  # type: ignore[import-not-found,import-untyped,unused-ignore]

from gatectl.core.cards import CardForm
from gatectl.core.lane_io import Signal
from gatectl.core.model import LaneId
from gatectl.core.reasons import Reason
from gatectl.drivers.mcu_bridge import card_key
from gatectl.drivers.osdp_channel import BusChannel
from gatectl.drivers.osdp_files import (
    Identity,
    differences,
    forget_identity,
    known_identity,
    remember_identity,
    take_install,
)
from gatectl.drivers.osdp_keys import key_path, load_key
from gatectl.drivers.osdp_signals import commands_for
from gatectl.drivers.ports import CardPresented, Clock, CodeTyped, DeviceState
from gatectl.drivers.serial_port import SerialDevice, SerialLine
from gatectl.drivers.taps import Keypad, TapFilter
from gatectl.errors import ConfigError, LinkError
from gatectl.logs import get_logger

_TURN_S = 0.004
"""libosdp must be called each 50 ms at least; bytes that arrive wake the thread at once."""
_PLAN_EACH_NS = 1_000_000_000
SILENT_NS = 1_500_000_000
"""No answer for this long is a lost reader. libosdp itself takes 8 s; it polls each 50 ms."""
_STALL_NS = 500_000_000
"""A turn that took this long was the machine's fault, not the readers'."""
_OFF_NS = 500_000_000
"""A reader is left out for this long before it is asked from the beginning: libosdp alone would wait 300 s."""
_TRY_NS = 1_500_000_000
_PATIENT_TRY_NS = 5_000_000_000
_QUICK_TRIES = 8
"""After these a reader that is away is asked less often: each vain question costs its neighbours 200 ms."""
_MAX_COMMANDS = 32
_KEYS = {0x0D: "#", 0x7F: "*"}
"""OSDP's keypad sends ASCII, with these for # and * (osdp_KEYPAD)."""
_bus_ids = itertools.count(1)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OsdpReader:
    """One reader on the bus. `is_insecure`: declared with a reason by the operator; cards then travel in clear."""

    name: str
    lane: LaneId
    address: int
    format: CardForm = "w26"
    repeat_s: float = 2.0
    is_insecure: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a reader is to be spoken to now; `words` say why not at all."""

    key: bytes | None = field(default=None, repr=False)
    is_install: bool = False
    words: str = ""


class _Member:
    """A reader and how it stands."""

    def __init__(self, spec: OsdpReader) -> None:
        self.spec = spec
        self.taps = TapFilter(spec.repeat_s)
        self.keypad = Keypad()
        self.told: tuple[bool, str] | None = None
        self.doubt = ""
        """Why it was away when last asked."""
        self.plan = _Plan()
        self.index = -1
        """Its number in libosdp's panel; -1 = left out."""
        self.install_until_ns = 0
        self.is_up = False
        self.was_up = False
        """Within this panel."""
        self.is_off = False
        self.since_ns = 0
        """When it was last switched on or off, or came up or went down."""
        self.tries = 0
        self.capabilities: frozenset[int] = frozenset()
        self.is_changed = False

    def begin(self, index: int, now_ns: int) -> None:
        """A new panel counts this reader in, or (-1) leaves it out."""
        self.index, self.since_ns, self.tries = index, now_ns, 0
        self.is_up = self.was_up = self.is_off = False


class OsdpBus(SerialDevice):
    """The readers of one port, as one device; it bears the first one's name. Also their lamps."""

    def __init__(self, port: str, baud: int, readers: tuple[OsdpReader, ...], folder: Path, clock: Clock) -> None:
        super().__init__(readers[0].name, port, baud, clock, _TURN_S)
        self.counters |= dict.fromkeys(
            ("cards", "repeats", "bad_cards", "codes", "refused_events", "restarts", "commands_lost"), 0
        )
        self._members = tuple(_Member(reader) for reader in readers)
        self._folder = folder
        self._panel: Any = None
        self._channel: BusChannel | None = None
        self._events: deque[tuple[int, Mapping[str, Any]]] = deque(maxlen=256)
        self._orders: deque[tuple[LaneId, Signal, Reason]] = deque(maxlen=_MAX_COMMANDS)
        self._plan_ns = self._turn_ns = self._grace_ns = 0

    # --- the lamp port, from the controller's thread ---

    def indicate(self, lane: LaneId, signal: Signal, reason: Reason) -> None:
        """Show a signal at the lane's readers. Raises LinkError when none of them is up."""
        if not any(member.is_up for member in self._members if member.spec.lane == lane):
            raise LinkError(f"{self.name}: no reader of lane {lane} is up")
        self._orders.append((lane, signal, reason))

    # --- the bus's thread ---

    def _opened(self) -> None:
        """Nothing to say yet: a bus speaks for its readers."""

    def _heard(self, data: bytes) -> None:
        """Bytes go to libosdp by way of the channel."""

    def _say(self, is_ok: bool, words: str, *, is_news: bool = False) -> None:
        """What befell the port befell every reader on it."""
        for member in self._members:
            member.is_up = False
            self._tell(member, is_ok, words, is_news=is_news)

    def _tell(self, member: _Member, is_ok: bool, words: str, *, is_news: bool = True) -> None:
        """A reader's state, once a change; other words for the same state are told too unless `is_news` is False."""
        told = member.told
        if told == (is_ok, words) or (told is not None and told[0] == is_ok and not is_news):
            return
        if not is_ok and (told is None or told[0]):
            self.counters["times_lost"] += 1
        member.told = (is_ok, words)
        self._out(DeviceState(member.spec.name, is_ok, words, self._clock.tick_ns()))

    def _serve(self, line: SerialLine) -> None:
        channel = self._channel = BusChannel(line, next(_bus_ids))
        self._panel, self._plan_ns = None, 0
        self._turn_ns = self._grace_ns = time.monotonic_ns()
        try:
            while not self._stopping.is_set():
                self._beat_ns = now_ns = time.monotonic_ns()
                if now_ns - self._turn_ns > _STALL_NS:
                    self._grace_ns = now_ns
                self._turn_ns = now_ns
                self._look_at_plans(channel, now_ns)
                channel.pump()
                if channel.lost is not None:
                    raise channel.lost
                if self._panel is not None:
                    self._turn(channel)
        finally:
            self._panel = self._channel = None

    def _turn(self, channel: BusChannel) -> None:
        self._panel.refresh()
        now_ns = time.monotonic_ns()
        online, secured = self._panel.status(), self._panel.sc_status()
        self._take_events(online, secured)
        for member in self._members:
            if member.index >= 0:
                self._watch(member, channel, online, secured, now_ns)
        while self._orders:
            self._send(*self._orders.popleft())

    # --- who is spoken to, and how ---

    def _look_at_plans(self, channel: BusChannel, now_ns: int) -> None:
        """Each second: keys that came, went or changed, and leave to install. A change begins the panel anew."""
        if now_ns - self._plan_ns < _PLAN_EACH_NS and self._plan_ns:
            return
        is_first, self._plan_ns = not self._plan_ns, now_ns
        plans = [self._plan(member, now_ns) for member in self._members]
        if not is_first and plans == [member.plan for member in self._members]:
            for member in self._members:
                if member.is_up:
                    self._look_at_identity(member, channel)
            return
        for member, plan in zip(self._members, plans, strict=True):
            member.plan = plan
            if plan.words:
                self._tell(member, False, plan.words)
        self._begin_panel(now_ns)

    def _plan(self, member: _Member, now_ns: int) -> _Plan:
        if member.spec.is_insecure:
            return _Plan()
        try:
            key = load_key(key_path(self._folder, member.spec.name))
        except ConfigError as error:
            return _Plan(words=str(error))
        if (left_s := take_install(self._folder, member.spec.name)) > 0:
            member.install_until_ns = now_ns + int(left_s * 1e9)
            _log.warning("osdp.install_began", reader=member.spec.name, seconds=int(left_s))
        is_install = now_ns < member.install_until_ns
        if member.plan.is_install and not is_install and member.install_until_ns:
            member.install_until_ns = 0
            _log.warning("osdp.install_over", reader=member.spec.name)
        return _Plan(key, is_install)

    def _begin_panel(self, now_ns: int) -> None:
        """One libosdp panel for all readers that may be spoken to."""
        self._events.clear()
        infos: list[dict[str, Any]] = []
        for member in self._members:
            member.begin(-1 if member.plan.words else len(infos), now_ns)
            if member.index >= 0:
                infos.append(self._info(member))
        self._panel = None
        if not infos:
            return
        osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)
        panel = osdp_sys.ControlPanel(infos)
        panel.set_event_callback(self._enqueue)
        self._panel = panel

    def _info(self, member: _Member) -> dict[str, Any]:
        """Without the enforcing flag libosdp goes on in clear when a key does not fit: only for installing."""
        is_open = member.spec.is_insecure or member.plan.is_install
        return {
            "name": member.spec.name,
            "address": member.spec.address,
            "flags": osdp_sys.FLAG_ENABLE_NOTIFICATION | (0 if is_open else osdp_sys.FLAG_ENFORCE_SECURE),
            "scbk": member.plan.key,
            "channel": self._channel,
            "version": 1,
            "model": 1,
            "vendor_code": 0,
            "serial_number": 0,
            "firmware_version": 0,
        }

    def _enqueue(self, index: int, event: Mapping[str, Any]) -> int:
        self._events.append((index, event))
        return 0

    # --- what readers tell ---

    def _take_events(self, online: int, secured: int) -> None:
        while self._events:
            index, event = self._events.popleft()
            member = next(m for m in self._members if m.index == index)
            kind = event["event"]
            if kind == osdp_sys.EVENT_NOTIFICATION:
                self._notification(member, event)
                continue
            if kind not in (osdp_sys.EVENT_CARDREAD, osdp_sys.EVENT_KEYPRESS):
                continue
            is_secured = bool(online >> index & 1 and secured >> index & 1)
            if member.plan.is_install or not (is_secured or member.spec.is_insecure):
                self.counters["refused_events"] += 1
                _log.warning("osdp.event_refused", reader=member.spec.name)
            elif kind == osdp_sys.EVENT_CARDREAD:
                self._card(member, event)
            else:
                self._pressed(member, event["data"])

    def _notification(self, member: _Member, event: Mapping[str, Any]) -> None:
        """The secure channel came up with our own key while installing: from now on it is enforced again."""
        is_ours = event["type"] == osdp_sys.EVENT_NOTIFICATION_SC_STATUS and event["arg0"] == 1 and event["arg1"] == 0
        if is_ours and member.plan.is_install:
            member.install_until_ns = self._plan_ns = 0
            with contextlib.suppress(OSError):
                forget_identity(self._folder, member.spec.name)
            _log.warning("osdp.installed", reader=member.spec.name)

    def _card(self, member: _Member, event: Mapping[str, Any]) -> None:
        tick_ns = self._clock.tick_ns()
        bits = "".join(f"{byte:08b}" for byte in event["data"])[: event.get("length", 0)]
        try:
            key = card_key(member.spec.format, bits)
        except ValueError as error:
            self.counters["bad_cards"] += 1
            _log.warning("card.unreadable", reader=member.spec.name, words=str(error))
            return
        if not member.taps.is_new(key, tick_ns):
            self.counters["repeats"] += 1
            return
        self.counters["cards"] += 1
        self._out(CardPresented(member.spec.name, key, tick_ns))

    def _pressed(self, member: _Member, data: bytes) -> None:
        tick_ns = self._clock.tick_ns()
        for byte in data:
            digits = member.keypad.press(_KEYS.get(byte, chr(byte)), tick_ns)
            if digits is not None:
                self.counters["codes"] += 1
                self._out(CodeTyped(member.spec.name, digits, tick_ns))

    # --- whether they are there, and still who they were ---

    def _watch(self, member: _Member, channel: BusChannel, online: int, secured: int, now_ns: int) -> None:
        is_online = bool(online >> member.index & 1)
        is_secured = bool(secured >> member.index & 1) or member.spec.is_insecure
        heard_ns = channel.heard_ns.get(member.spec.address, 0)
        is_silent = now_ns - max(heard_ns, self._grace_ns, member.since_ns) > SILENT_NS
        is_well = is_online and is_secured and not member.is_off and not member.plan.is_install
        if is_well and member.is_up and not is_silent:
            return
        if is_well and not member.is_up and heard_ns > member.since_ns:  # libosdp believes in a dead reader for 8 s
            self._came_up(member, channel, now_ns)
            return
        if member.is_up:
            member.is_up, member.since_ns, member.tries = False, now_ns, 0
            if is_silent:
                self._tell(member, False, self._why_away(member, channel))
        self._try_again(member, channel, now_ns)

    def _came_up(self, member: _Member, channel: BusChannel, now_ns: int) -> None:
        member.is_up = member.was_up = True
        member.tries, member.since_ns = 0, now_ns
        words = "in clear, as declared" if member.spec.is_insecure else "secure channel"
        self._tell(member, True, f"{self._port} address {member.spec.address}: {words}")
        self._look_at_identity(member, channel)  # another reader is an alarm of its own, also after a loss

    def _try_again(self, member: _Member, channel: BusChannel, now_ns: int) -> None:
        """Leave the reader out for 0.5 s and ask it from the beginning, again and again."""
        passed_ns = now_ns - member.since_ns
        if member.is_off:
            if passed_ns > _OFF_NS:
                self._panel.enable_pd(member.index)
                member.is_off, member.since_ns = False, now_ns
            return
        wait_ns = _TRY_NS if member.tries < _QUICK_TRIES else _PATIENT_TRY_NS
        is_restart = member.tries == 0 and member.was_up
        if passed_ns < (0 if is_restart else wait_ns):
            return
        if is_restart and member.told is not None and member.told[0]:  # nobody is told until it has not come back
            _log.warning("osdp.reader_restarted", reader=member.spec.name)
        elif not is_restart:
            self._tell_away(member, self._why_away(member, channel))
        self._panel.disable_pd(member.index)
        self.counters["restarts"] += 1
        member.is_off, member.since_ns, member.tries = True, now_ns, member.tries + 1

    def _tell_away(self, member: _Member, words: str) -> None:
        """Another cause for the same loss is told when it was found twice: a reader that boots has many faces."""
        is_sure, member.doubt = words == member.doubt, words
        if is_sure or member.told is None or member.told[0]:
            self._tell(member, False, words)

    def _why_away(self, member: _Member, channel: BusChannel) -> str:
        address = member.spec.address
        where = f"{self._port} address {address}"
        if channel.heard_ns.get(address, 0) < member.since_ns:
            return f"{where} does not answer; look at power, wires A and B, address and baud rate"
        if not channel.offers_security(address):
            return f"{where} offers no encryption: another reader, or a device between it and the gate"
        if member.plan.is_install:
            return f"{where} is to be installed, and does not take the key; reset it as its maker says"
        return f"{where} answers, but not with this gate's key; give it the key with: gatectl reader install"

    def _look_at_identity(self, member: _Member, channel: BusChannel) -> None:
        """Who it says it is, against who it was. Another one is an alarm until somebody has looked."""
        if member.spec.address not in channel.capabilities:
            return
        found = self._identity(member, channel)
        member.capabilities = frozenset(code for code, _, _ in found.capabilities)
        known = known_identity(self._folder, member.spec.name)
        if known is None:
            try:
                remember_identity(self._folder, member.spec.name, found)
            except OSError as error:
                _log.warning("osdp.identity_not_kept", reader=member.spec.name, words=error.strerror)
        changed = differences(known, found) if known is not None else ""
        if changed:
            member.is_changed = True
            words = f"the reader is not the one that was installed: {changed}"
            self._tell(member, False, f"{words}; if you changed it: gatectl reader accept {member.spec.name}")
        elif member.is_changed:
            member.is_changed = False
            self._tell(member, True, f"{self._port} address {member.spec.address}: the reader is accepted")

    def _identity(self, member: _Member, channel: BusChannel) -> Identity:
        told = self._panel.get_pd_id(member.index)
        return Identity(
            vendor=told["vendor_code"],
            model=told["model"],
            version=told["version"],
            serial=told["serial_number"],
            firmware=told["firmware_version"],
            capabilities=channel.capabilities[member.spec.address],
        )

    # --- lamps ---

    def _send(self, lane: LaneId, signal: Signal, reason: Reason) -> None:
        for member in self._members:
            if member.spec.lane != lane or not member.is_up:
                continue
            for needed, command in commands_for(signal, reason):
                if needed in member.capabilities and not self._panel.submit_command(member.index, command):
                    self.counters["commands_lost"] += 1
