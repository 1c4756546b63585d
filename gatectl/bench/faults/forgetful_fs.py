"""A file system whose power can be cut: what was not fsynced is forgotten, or torn. In memory; needs FUSE.

`python -m gatectl.bench.faults.forgetful_fs MOUNTPOINT SEED`. Reading `.cut` at its root cuts the power: of every file,
each 4 KB page that was written since its last fsync is kept or goes back to what was synced, at random (`.forget`: all
of them go back). Names, and with them unlink and rename, are kept as they were made, as a journalling file system does.
"""
# ruff: noqa: ARG002 - the signatures are FUSE's

import errno
import os
import random
import stat
import sys
import time
from typing import Any

import mfusepy  # type: ignore[import-untyped]

_PAGE = 4096
_CUTS = {"/.cut": True, "/.forget": False}


class _File:
    """What a reader sees now, and what a power cut leaves."""

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.live = bytearray()
        self.synced = b""
        self.changed_ns = time.time_ns()

    def sync(self) -> None:
        self.synced = bytes(self.live)

    def cut(self, rng: random.Random, *, is_torn: bool) -> None:
        """Back to what was synced, page by page."""
        size = len(self.live) if is_torn and rng.random() < 0.5 else len(self.synced)
        kept = bytearray(self.synced[:size].ljust(size, b"\0"))
        if is_torn:
            for start in range(0, size, _PAGE):
                page = self.live[start : start + _PAGE]
                if page != self.synced[start : start + _PAGE] and rng.random() < 0.5:
                    kept[start : start + len(page)] = page
        self.live = kept[:size]
        self.sync()


class ForgetfulFs(mfusepy.Operations):  # type: ignore[misc]  # the library has no types
    """One level of folders is all that a gate's data_dir needs; deeper ones work too."""

    use_ns = True

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - repeatable trouble
        self._folders: dict[str, int] = {"/": 0o755}
        self._files: dict[str, _File] = {}

    def _file(self, path: str) -> _File:
        found = self._files.get(path)
        if found is None:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return found

    # --- looking ---

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        times = {"st_uid": os.getuid(), "st_gid": os.getgid(), "st_nlink": 1}
        if path in _CUTS:
            return {**times, "st_mode": stat.S_IFREG | 0o400, "st_size": 3}
        if path in self._folders:
            return {**times, "st_mode": stat.S_IFDIR | self._folders[path], "st_nlink": 2}
        file = self._file(path)
        changed = dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), file.changed_ns)
        return {**times, **changed, "st_mode": stat.S_IFREG | file.mode, "st_size": len(file.live)}

    def readdir(self, path: str, fh: int) -> list[str]:
        base = path.rstrip("/") + "/"
        names = [name for name in (*self._folders, *self._files) if name.startswith(base) and name != "/"]
        return [".", "..", *sorted({name[len(base) :].split("/")[0] for name in names})]

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if path in _CUTS:
            for file in self._files.values():
                file.cut(self._rng, is_torn=_CUTS[path])
            return b"ok\n"[offset : offset + size]
        return bytes(self._file(path).live[offset : offset + size])

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": _PAGE, "f_blocks": 1 << 20, "f_bavail": 1 << 19, "f_bfree": 1 << 19}

    # --- changing ---

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._files[path] = _File(mode & 0o777)
        return 0

    def open(self, path: str, flags: int) -> int:
        if path not in _CUTS:
            self._file(path)
        return 0

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        file = self._file(path)
        if len(file.live) < offset:
            file.live.extend(bytes(offset - len(file.live)))
        file.live[offset : offset + len(data)] = data
        file.changed_ns = time.time_ns()
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        file = self._file(path)
        del file.live[length:]
        file.live.extend(bytes(length - len(file.live)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._file(path).sync()
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return 0

    def unlink(self, path: str) -> int:
        self._file(path)
        del self._files[path]
        return 0

    def rename(self, old: str, new: str) -> int:
        self._files[new] = self._file(old)
        del self._files[old]
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._folders[path] = mode & 0o777
        return 0

    def rmdir(self, path: str) -> int:
        self._folders.pop(path, None)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        if path in self._files:
            self._files[path].mode = mode & 0o777
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def link(self, target: str, source: str) -> int:
        """`key_files` links a finished key into its place."""
        self._files[target] = self._file(source)
        return 0


if __name__ == "__main__":
    fresh = {"attr_timeout": 0, "entry_timeout": 0}  # what was cut must be seen at once
    mfusepy.FUSE(ForgetfulFs(int(sys.argv[2])), sys.argv[1], foreground=True, nothreads=True, **fresh)
