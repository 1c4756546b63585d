"""Snapshots of sites' lists, encoded once and kept: in memory, and in files, so that a restart sends the same bytes.

A snapshot stays while the kept deltas lead on from it: a gate on a slow line finishes it though the list moves on.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, func, select

from gatectl.central import tables
from gatectl.logs import get_logger
from gatectl.wire.replica import CHUNK_BYTES, SnapChunk, Snapshot, encode_chunk, encode_snapshot

SNAPSHOT_LAG = 200
"""Versions that a snapshot may lie behind the list; 500 deltas are kept."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot as it is sent."""

    epoch: str
    ver: int
    data: bytes
    sha256: str

    @property
    def chunks(self) -> int:
        """How many it is sent in; an empty list has one too."""
        return max(1, -(-len(self.data) // CHUNK_BYTES))

    def chunk(self, i: int) -> bytes:
        """One of them, encoded for `wl/data`."""
        part = self.data[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES]
        return encode_chunk(SnapChunk(self.ver, i, self.chunks, part))

    def described(self) -> Snapshot:
        """As a head names it."""
        return Snapshot(ver=self.ver, bytes=len(self.data), sha256=self.sha256, chunks=self.chunks)


class SnapshotShelf:
    """The snapshot of each site. Without a folder it is in memory only."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._kept: dict[str, Kept] = {}

    def peek(self, site_id: str) -> Kept | None:
        """What is there, without looking into the database."""
        return self._kept.get(site_id)

    def renew(self, site_id: str) -> None:
        """Make it anew when it is wanted next."""
        self._kept.pop(site_id, None)
        for path in self._files(site_id):
            path.unlink(missing_ok=True)

    def get(self, conn: Connection, site_id: str, epoch: str, ver: int) -> Kept:
        """A snapshot of this version, or of one from which the kept deltas lead to it. Only after a commit: what is
        rolled back must not stay here."""
        kept = self._kept.get(site_id) or self._from_file(site_id, epoch)
        if kept is None or not self._leads_on(conn, site_id, kept, epoch, ver):
            rows = tables.list_rows.c
            query = select(rows.row).where(rows.site_id == site_id)
            data = encode_snapshot(bytes(row) for row in conn.execute(query).scalars())
            kept = Kept(epoch, ver, data, hashlib.sha256(data).hexdigest())
            self._to_file(site_id, kept)
        self._kept[site_id] = kept
        return kept

    @staticmethod
    def _leads_on(conn: Connection, site_id: str, kept: Kept, epoch: str, ver: int) -> bool:
        if kept.epoch != epoch or not ver - SNAPSHOT_LAG <= kept.ver <= ver:
            return False
        deltas = tables.list_deltas.c
        oldest = conn.execute(select(func.min(deltas.from_ver)).where(deltas.site_id == site_id)).scalar()
        return kept.ver == ver or (oldest is not None and oldest <= kept.ver)

    # --- files: {site}.{epoch}.{ver}.{sha256}.snap ---

    def _files(self, site_id: str) -> list[Path]:
        return list(self._folder.glob(f"{quote(site_id, safe='')}.*.snap")) if self._folder is not None else []

    def _from_file(self, site_id: str, epoch: str) -> Kept | None:
        for path in self._files(site_id):
            try:
                _, its_epoch, ver, sha256, _ = path.name.rsplit(".", 4)
                data = path.read_bytes()
                if its_epoch == epoch and hashlib.sha256(data).hexdigest() == sha256:
                    return Kept(epoch, int(ver), data, sha256)
            except (OSError, ValueError) as error:
                _log.warning("snapshot.unreadable", path=str(path), words=str(error))
        return None

    def _to_file(self, site_id: str, kept: Kept) -> None:
        """Best effort: without it, a restart of central makes gates on a slow line begin anew."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{quote(site_id, safe='')}.{kept.epoch}.{kept.ver}.{kept.sha256}.snap"
            draft = path.with_name(path.name + ".part")
            draft.touch(mode=0o600)
            draft.write_bytes(kept.data)
            for old in self._files(site_id):
                old.unlink(missing_ok=True)
            draft.replace(path)
        except OSError as error:
            _log.warning("snapshot.not_kept", words=str(error))
