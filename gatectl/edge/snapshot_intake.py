"""The chunks of one snapshot on their way in: kept on the disk as they come, asked for by index, whole at the end."""

import hashlib

from gatectl.edge.replica_store import ReplicaStore
from gatectl.errors import PayloadError, StoreError
from gatectl.logs import get_logger
from gatectl.wire.replica import CHUNK_BYTES, WINDOW_CHUNKS, Snapshot

_MAX_CHUNKS = 4096

_log = get_logger(__name__)


class SnapshotIntake:
    """One snapshot at a time, the one that the head names. A disk that takes no writes costs only the resumption."""

    def __init__(self, replica: ReplicaStore) -> None:
        self._replica = replica
        self._snap: Snapshot | None = None
        self._chunks: dict[int, bytes] = {}
        self._window_end = 0

    def begin(self, snap: Snapshot) -> None:
        """Collect this one from now on; what has come of it before a restart is there already."""
        if self._snap is not None and self._snap.sha256 == snap.sha256:
            return
        self._snap, self._chunks, self._window_end = snap, {}, 0
        try:
            kept = self._replica.chunks(snap.sha256)
        except StoreError as error:
            _log.warning("chunks.unreadable", words=str(error))
            return
        self._chunks = {i: data for i, data in kept.items() if 0 <= i < snap.chunks}
        if self._chunks:
            _log.info("snapshot.resumed", ver=snap.ver, chunks=len(self._chunks), of=snap.chunks)

    def forget(self) -> None:
        """Nothing is collected any more, and nothing stays on the disk."""
        had_any, self._snap, self._chunks = bool(self._chunks), None, {}
        if had_any:
            try:
                self._replica.drop_chunks()
            except StoreError as error:
                _log.warning("chunks.not_dropped", words=str(error))

    @property
    def sha256(self) -> str:
        """Digest of the one that is collected."""
        return self._snap.sha256 if self._snap is not None else ""

    @property
    def is_complete(self) -> bool:
        """Every chunk is here."""
        return self._snap is not None and len(self._chunks) >= self._snap.chunks

    def first_missing(self) -> int:
        """The index to ask from; the window of the answer begins there."""
        first = next((i for i in range(len(self._chunks) + 1) if i not in self._chunks), 0)
        self._window_end = first + WINDOW_CHUNKS
        return first

    def is_window_full(self) -> bool:
        """All that was asked for has come."""
        end = min(self._window_end, self._snap.chunks if self._snap is not None else 0)
        return all(i in self._chunks for i in range(max(0, end - WINDOW_CHUNKS), end))

    def take(self, ver: int, i: int, n: int, data: bytes) -> bool:
        """Keep a chunk; False when it is of another snapshot. Raises PayloadError for one that cannot be."""
        snap = self._snap
        if snap is None or (ver, n) != (snap.ver, snap.chunks):
            return False
        if n > _MAX_CHUNKS or not 0 <= i < n or len(data) > CHUNK_BYTES:
            raise PayloadError(f"chunk {i} of {n}, {len(data)} bytes: no snapshot of ours has such a one")
        if i not in self._chunks:
            self._chunks[i] = data
            if len(self._chunks) < n:  # the last one is used at once
                self._keep(snap.sha256, i, data)
        return True

    def _keep(self, sha256: str, i: int, data: bytes) -> None:
        if self._replica.is_read_only:
            return
        try:
            self._replica.keep_chunk(sha256, i, data)
        except StoreError as error:
            _log.warning("chunk.not_kept", words=str(error))

    def whole(self) -> bytes:
        """The snapshot. Raises PayloadError, and forgets the chunks, when it is not the one that the head names."""
        snap = self._snap
        if snap is None or not self.is_complete:
            raise PayloadError("a snapshot of which parts are missing")
        data = b"".join(self._chunks[i] for i in range(snap.chunks))
        if hashlib.sha256(data).hexdigest() != snap.sha256:
            self.forget()
            raise PayloadError(f"snapshot {snap.ver} is not the one that the head names")
        return data
