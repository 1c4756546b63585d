"""Which heads of the list a gate believes (PROTOCOLS 8): whose seal, which epoch, not older than what it has heard."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatectl.edge.keys import KeyRing
from gatectl.errors import PayloadError
from gatectl.wire.charter import Charter, charter_keys, decode_charter
from gatectl.wire.replica import Head, charter_of, decode_head

_EXPIRY_STEP_S = 3600
"""A later end of the list's life is worth a write to the disk when it moves by so much."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A head whose seals are good, and the charter that it came with."""

    head: Head
    charter: Charter | None
    text: str


class ListTrust:
    """The pinned root and what it last said. `open` judges, `accept` remembers; nothing here is written."""

    def __init__(self, site: str, ring: KeyRing, roots: tuple[Ed25519PublicKey, ...]) -> None:
        self._site = site
        self._ring = ring
        self._roots = roots
        self._charter: Charter | None = None
        self._issued: tuple[str, int, datetime] | None = None

    @property
    def epoch(self) -> str:
        """The epoch that the root last named; "" when it never did."""
        return self._charter.epoch if self._charter is not None else ""

    def restore(self, text: str) -> None:
        """Take up a charter that was kept. Raises PayloadError when it is not the pinned root's for this site."""
        if text and self._roots:
            charter = decode_charter(text, self._roots)
            keys = charter_keys(charter)
            if charter.site != self._site:
                raise PayloadError(f"the charter that was kept is of site {charter.site}")
            if self._charter is None or charter.serial > self._charter.serial:
                self._charter = charter
                self._ring.replace(keys)

    def open(self, payload: bytes, epoch: str) -> Opened:
        """A head for a gate that holds a list of `epoch` ("" = none). Raises PayloadError in words."""
        text = charter_of(payload) if self._roots else ""
        charter = decode_charter(text, self._roots) if text else None
        if charter is not None:
            self._check_charter(charter)
        head = decode_head(payload, charter_keys(charter) if charter is not None else self._ring)
        if head.site != self._site:
            raise PayloadError(f"a head of site {head.site}")
        if charter is not None and charter.epoch != head.epoch:
            raise PayloadError(f"a head of epoch {head.epoch[:8]}, its charter is for {charter.epoch[:8]}")
        if charter is None and head.epoch != epoch and (epoch or self._roots):
            why = "without the root's word" if self._roots else "and no root_key is pinned here that could vouch for it"
            raise PayloadError(f"a head of the new epoch {head.epoch[:8]} {why}")
        if self._issued is not None and self._issued[:2] == (head.epoch, head.ver) and head.issued < self._issued[2]:
            raise PayloadError(f"a replay: a head of version {head.ver} that is older than one heard before")
        return Opened(head, charter, text)

    def _check_charter(self, charter: Charter) -> None:
        if charter.site != self._site:
            raise PayloadError(f"a charter of site {charter.site}")
        known = self._charter
        if known is not None and charter.serial < known.serial:
            raise PayloadError(f"a charter that goes back: {charter.serial}, here is {known.serial}")
        if known is not None and charter.serial == known.serial and charter != known:
            raise PayloadError(f"two charters with the serial {charter.serial}")

    def accept(self, opened: Opened) -> str:
        """Believe it from now on; the charter's text when it is new and must be kept, else ""."""
        head = opened.head
        self._issued = (head.epoch, head.ver, head.issued)
        if opened.charter is None or opened.charter == self._charter:
            return ""
        self._charter = opened.charter
        self._ring.replace(charter_keys(opened.charter))
        return opened.text


class ListAge:
    """Until when the newest head vouches for the list (freeze protection). Times are UTC seconds."""

    def __init__(self) -> None:
        self.expires_s = 0
        self._kept_s = 0
        self.is_past = False
        """As last told: `look` says when it changes."""

    def restore(self, metas: Mapping[str, str]) -> None:
        """Take up what was kept."""
        text = metas.get("expires_s", "")
        self.expires_s = self._kept_s = int(text) if text.isdigit() else 0

    def take(self, head: Head) -> dict[str, str]:
        """A head was believed; what to keep of it, {} for nothing."""
        self.expires_s = max(self.expires_s, int(head.expires.timestamp()))
        if self.expires_s - self._kept_s < _EXPIRY_STEP_S:
            return {}
        self._kept_s = self.expires_s
        return {"expires_s": str(self.expires_s)}

    def look(self, now_s: float) -> bool | None:
        """True: it has just gone stale; False: it is fresh again; None: nothing new."""
        is_past = bool(self.expires_s) and now_s > self.expires_s
        if is_past is self.is_past:
            return None
        self.is_past = is_past
        return is_past

    def words(self) -> str:
        """What is wrong, for a person; "" while nothing is."""
        if not self.is_past:
            return ""
        until = datetime.fromtimestamp(self.expires_s, UTC).strftime("%Y-%m-%d %H:%M")
        return f"the list is stale: central vouched for it until {until} UTC; the gate goes on deciding on it"
