"""The gate's pictures: JPEG files named by their SHA-256, under a quota of their own."""

import hashlib
import json
from pathlib import Path

from gatectl.logs import get_logger

QUOTA_BYTES = 500 * 1024 * 1024

_log = get_logger(__name__)


class PictureShelf:
    """One folder. `keep` is called by camera threads, `payload` by the uplink."""

    def __init__(self, folder: Path, gate: str, quota_bytes: int = QUOTA_BYTES) -> None:
        self._folder = folder
        self._gate = gate
        self._quota_bytes = quota_bytes
        self._used_bytes: int | None = None
        self.may_have_unsent = True
        self.lost = 0
        """Pictures that the disk did not take; their events stand without them."""

    def keep(self, jpeg: bytes) -> str:
        """Store a picture; returns its SHA-256, or "" when the disk refuses: a picture never holds up an event."""
        sha256 = hashlib.sha256(jpeg).hexdigest()
        path = self._path(sha256)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                part = path.with_suffix(".part")
                part.write_bytes(jpeg)
                part.replace(path)
                self._make_room(len(jpeg))
        except OSError as error:
            self.lost += 1
            _log.warning("picture.not_kept", words=error.strerror or str(error))
            return ""
        self.may_have_unsent = True
        return sha256

    def payload(self, sha256: str, epoch: str, seq: int) -> bytes | None:
        """A `media` message: one line of JSON, NUL, the JPEG. None when the file is gone."""
        try:
            jpeg = self._path(sha256).read_bytes()
        except OSError:
            return None
        head = {
            "v": 1,
            "gate": self._gate,
            "epoch": epoch,
            "seq": seq,
            "i": 0,
            "n": 1,
            "sha256": sha256,
            "bytes": len(jpeg),
        }
        return json.dumps(head, separators=(",", ":")).encode() + b"\0" + jpeg

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / f"{sha256}.jpg"

    def _make_room(self, added_bytes: int) -> None:
        """Over the quota the oldest tenth goes, sent or not."""
        if self._used_bytes is None:
            self._used_bytes = sum(path.stat().st_size for path in self._folder.glob("*/*.jpg"))
        else:
            self._used_bytes += added_bytes
        if self._used_bytes <= self._quota_bytes:
            return
        oldest = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*/*.jpg"))
        for _mtime, size, path in oldest:
            if self._used_bytes <= self._quota_bytes * 0.9:
                break
            path.unlink(missing_ok=True)
            self._used_bytes -= size
