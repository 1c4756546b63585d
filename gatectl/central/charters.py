"""The root key and its word for each site's list: which epoch is the newest, and which site keys may sign it.

`root_key.pem` signs charters and nothing else. Once a site's charter stands in its file, the key may be kept offline:
it is needed again only for a new site, a new epoch (a database made anew) or another site key. `root_key.pub` stays.
"""

import os
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gatectl.errors import ConfigError, PayloadError, RefusedError
from gatectl.key_files import load_or_make_key, public_base64
from gatectl.logs import get_logger
from gatectl.wire.charter import Charter, decode_charter, encode_charter, public_key
from gatectl.wire.signed import key_id

ROOT_KEY_FILE = "root_key.pem"
ROOT_PUBLIC_FILE = "root_key.pub"
SITE_KEY_FILE = "site_key.pem"
PREVIOUS_KEY_FILE = "site_key.previous.pub"
"""The site key before this one, for as long as it may still sign."""
_FOLDER = "charters"

_log = get_logger(__name__)


def root_public(data_dir: Path) -> str:
    """What each gate's `root_key` must say; the key is made at the first use. Raises ConfigError."""
    public = data_dir / ROOT_PUBLIC_FILE
    try:
        if not public.exists():
            write_whole(public, public_base64(load_or_make_key(data_dir / ROOT_KEY_FILE)) + "\n")
        return public.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(f"{public}: {error.strerror}") from error


class Charters:
    """A site's charter, kept in a file of its own; made anew when the epoch or the keys are others."""

    def __init__(self, data_dir: Path, site_key: str) -> None:
        """`site_key`: the public key that signs now, base64."""
        self._data_dir = data_dir
        self._site_key = site_key

    def get(self, site: str, epoch: str, at: datetime) -> str:
        """The charter as heads carry it. Raises RefusedError (one is needed, the root key is offline), ConfigError."""
        root = public_key(root_public(self._data_dir))
        path = self._data_dir / _FOLDER / f"{quote(site, safe='')}.charter"
        text, kept = self._kept(path, root)
        keys = self._keys()
        if kept is not None and (kept.site, kept.epoch, kept.site_keys) == (site, epoch, keys):
            return text
        if not (self._data_dir / ROOT_KEY_FILE).exists():
            raise RefusedError(
                f"site {site} needs the root's word for a new epoch or key: "
                f"put {ROOT_KEY_FILE} back into {self._data_dir}",
                zh=f"小区 {site} 的名单需要根密钥重新签署:请把 {ROOT_KEY_FILE} 放回 {self._data_dir}",
            )
        serial = max(int(at.timestamp() * 1000), kept.serial + 1 if kept is not None else 1)
        charter = Charter(site=site, epoch=epoch, serial=serial, site_keys=keys, issued=at)
        text = encode_charter(charter, load_or_make_key(self._data_dir / ROOT_KEY_FILE))
        try:
            decode_charter(text, (root,))  # a root key of another installation must not be noticed by the gates only
        except PayloadError as error:
            raise ConfigError(f"{ROOT_KEY_FILE} is not the key of {ROOT_PUBLIC_FILE} in {self._data_dir}") from error
        write_whole(path, text + "\n")
        _log.info("charter.signed", site=site, epoch=epoch[:8], serial=serial, keys=len(keys))
        return text

    def signers(self) -> frozenset[bytes]:
        """The `key_id`s of the keys that may sign now."""
        return frozenset(key_id(public_key(text)) for text in self._keys())

    def _keys(self) -> tuple[str, ...]:
        previous = self._data_dir / PREVIOUS_KEY_FILE
        if not previous.exists():
            return (self._site_key,)
        return tuple(dict.fromkeys((self._site_key, previous.read_text(encoding="ascii").strip())))

    @staticmethod
    def _kept(path: Path, root: Ed25519PublicKey) -> tuple[str, Charter | None]:
        try:
            text = path.read_text(encoding="ascii").strip()
            return text, decode_charter(text, (root,))
        except FileNotFoundError:
            return "", None
        except (PayloadError, UnicodeDecodeError) as error:
            _log.error("charter.unreadable", path=str(path), words=str(error))
            return "", None


def rotate_site_key(data_dir: Path, *, is_compromised: bool) -> str:
    """Make a new site key; the old one may sign no more, or still until the next rotation. The new public key.

    Takes effect when central's processes are started anew. Raises RefusedError while the root key is offline.
    """
    if not (data_dir / ROOT_KEY_FILE).exists():
        raise RefusedError(
            f"only the root key introduces a site key: put {ROOT_KEY_FILE} back into {data_dir} first",
            zh=f"更换站点密钥需要根密钥:请先把 {ROOT_KEY_FILE} 放回 {data_dir}",
        )
    path, previous = data_dir / SITE_KEY_FILE, data_dir / PREVIOUS_KEY_FILE
    old = public_base64(load_or_make_key(path))
    fresh = data_dir / f"{SITE_KEY_FILE}.new"
    fresh.unlink(missing_ok=True)
    new = public_base64(load_or_make_key(fresh))
    if is_compromised:
        previous.unlink(missing_ok=True)
    else:
        write_whole(previous, old + "\n")
    fresh.replace(path)
    return new


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a power cut leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
