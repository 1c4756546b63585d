"""Ingest's eye on who is who: refuses revoked gates, stops copied identities, keeps the broker's files up to date."""

from collections import deque
from datetime import UTC, datetime

from sqlalchemy import Connection

from gatectl.central import identities
from gatectl.central.authority import load_or_make_authority
from gatectl.errors import PayloadError, RefusedError, StoreError
from gatectl.logs import get_logger
from gatectl.settings import CentralSettings
from gatectl.wire.messages import Heartbeat

_log = get_logger(__name__)
FLAPS = 6
FLAP_SPAN_MS = 600_000
"""A gate lost so often within so long is told: a bad network, or another that uses its identity without our program."""


class IdentityWatch:
    """Used by ingest's own thread alone. Raises ConfigError for an authority that cannot be read."""

    def __init__(self, settings: CentralSettings) -> None:
        self._is_revoking = settings.identity.on_clone == "revoke"
        self._files: identities.BrokerFiles | None = None
        self._revoked: frozenset[str] = frozenset()
        self._words = ""
        self._lost_ms: dict[str, deque[int]] = {}
        folder = settings.identity.broker_dir
        if folder is not None:
            authority = load_or_make_authority(settings.authority_dir, datetime.now(UTC))
            self._files = identities.BrokerFiles(folder, authority, settings.broker.username)

    def require_trusted(self, gate: str, payload: bytes) -> None:
        """Raise PayloadError for what comes in a revoked gate's name."""
        if gate in self._revoked:
            raise PayloadError("its identity is revoked: enrol the gate anew", payload)

    def take_beat(self, conn: Connection, gate: str, beat: Heartbeat, now_ms: int) -> None:
        """Look at who beats. Two on one identity are told, and stopped unless the settings say otherwise."""
        if not beat.online:
            self._count_loss(conn, gate, now_ms)
            return
        found = identities.note_beat(conn, gate, beat, now_ms)
        if found is None:
            return
        is_stopped = found.is_sure and self._is_revoking
        identities.report_clone(conn, gate, found.words, is_revoked_now=is_stopped)
        if is_stopped:
            self._revoked |= {gate}
        _log.critical("gate.clone", gate=gate, words=found.words, is_revoked=is_stopped)

    def _count_loss(self, conn: Connection, gate: str, now_ms: int) -> None:
        lost_ms = self._lost_ms.setdefault(gate, deque(maxlen=FLAPS))
        lost_ms.append(now_ms)
        if len(lost_ms) < FLAPS or now_ms - lost_ms[0] > FLAP_SPAN_MS:
            return
        lost_ms.clear()
        words = f"its connection was lost {FLAPS} times within ten minutes: a bad network, or another with its identity"
        identities.report_clone(conn, gate, words, is_revoked_now=False)
        _log.error("gate.flapping", gate=gate, words=words)

    def each_second(self, conn: Connection, now: datetime) -> None:
        """Who is revoked, for us and for the broker; what hinders us is told once."""
        self._revoked = identities.revoked_gates(conn)
        if self._files is None:
            return
        words = ""
        try:
            if self._files.refresh(conn, now):
                _log.info("broker.files_written")
        except (RefusedError, StoreError) as error:
            words = str(error)
        if words not in ("", self._words):
            _log.error("broker.files_not_written", words=words)
        self._words = words
