"""Judges remote orders: signature, addressee, freshness, replay (PROTOCOLS 9). A gate opens for none that fails one."""

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatectl.core.lane_io import EmergencyOrdered, OpenOrdered, RefuseOrdered
from gatectl.core.model import ClockTrust, GateId, LaneId
from gatectl.core.reasons import Reason
from gatectl.edge.clock import SystemClock
from gatectl.edge.inbox import LaneOrder
from gatectl.errors import PayloadError
from gatectl.wire.messages import COMMAND_LIFE_S, Command, decode
from gatectl.wire.signed import unseal

_NONCES_KEPT = 1000
_SKEW_S = 2.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order was not carried out; `command_id` is empty when nothing in it can be believed."""

    command_id: str
    lane: LaneId | None
    issuer: str
    words: str


class CommandJudge:
    """One gate's judge; used from the uplink's thread."""

    def __init__(
        self,
        gate: GateId,
        lanes: frozenset[LaneId],
        keys: Iterable[Ed25519PublicKey],
        clock: SystemClock,
    ) -> None:
        self._gate = gate
        self._lanes = lanes
        self._keys = keys
        self._clock = clock
        self._nonces: OrderedDict[str, None] = OrderedDict()
        self._counter = 0
        self.challenge = ""
        self.new_connection()

    def new_connection(self) -> None:
        """A fresh challenge: whatever was queued for an earlier connection no longer fits."""
        self.challenge = secrets.token_hex(16)
        self._counter = 0

    def judge(self, payload: bytes, *, is_retained: bool) -> LaneOrder | Refusal:
        """The order, or why not. A refusal leaves the counter where it was."""
        try:
            command = decode(Command, unseal(payload, "cmd", self._keys))
        except PayloadError as error:
            return Refusal("", None, "", str(error).splitlines()[0])
        words = self._objection(command, is_retained=is_retained)
        if words:
            lane = LaneId(command.lane) if command.lane in self._lanes else None
            return Refusal(command.id, lane, command.issuer, words)
        self._counter = command.counter
        self._nonces[command.nonce] = None
        while len(self._nonces) > _NONCES_KEPT:
            self._nonces.popitem(last=False)
        return LaneOrder(LaneId(command.lane), self._order(command))

    def _objection(self, command: Command, *, is_retained: bool) -> str:
        if is_retained:
            return "a retained command: it may be of any age"
        if command.gate != self._gate:
            return f"meant for gate {command.gate}"
        if command.lane not in self._lanes:
            return f"no lane {command.lane} at this gate"
        if command.nonce in self._nonces:
            return "replayed: this nonce was used before"
        if command.challenge != self.challenge:
            return "made before this connection: its challenge is not the one this gate gave"
        if command.counter <= self._counter:
            return f"out of turn: counter {command.counter} is not above {self._counter}"
        return self._too_old(command)

    def _too_old(self, command: Command) -> str:
        if command.expires - command.issued > timedelta(seconds=COMMAND_LIFE_S):
            return f"may live {COMMAND_LIFE_S} s at most"
        now = self._clock.server_now()
        if now is None:
            if self._clock.trust() is ClockTrust.UNTRUSTED:
                return ""  # the challenge and its counter have judged freshness
            now = self._clock.now()
        if now > command.expires + timedelta(seconds=_SKEW_S):
            return f"expired at {command.expires.isoformat()}"
        return ""

    def _order(self, command: Command) -> OpenOrdered | RefuseOrdered | EmergencyOrdered:
        at, tick_ns = self._clock.now(), self._clock.tick_ns()
        if command.action == "refuse":
            return RefuseOrdered(command.id, command.issuer, command.note, at, tick_ns)
        if command.action != "open":
            is_release = command.action == "emergency_release"
            return EmergencyOrdered(command.id, command.issuer, is_release, command.note, at, tick_ns)
        reason = Reason.__members__.get(command.reason, Reason.REMOTE_OPEN)
        note = command.note
        if command.reason not in Reason.__members__:
            note = f"{command.reason}: {note}" if note else command.reason
        return OpenOrdered(command.id, command.issuer, reason, note, at, tick_ns)
