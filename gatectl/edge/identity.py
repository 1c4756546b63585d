"""A gate's identity on its disk: the certificate and its key in one file, and the TLS that they make."""

import os
import secrets
import ssl
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gatectl.errors import ConfigError, PayloadError
from gatectl.logs import get_logger
from gatectl.settings import BrokerSettings, EdgeSettings
from gatectl.wire import certificates
from gatectl.wire.certificates import PrivateKey

IDENTITY_FILE = "identity.pem"
CA_FILE = "broker_ca.pem"
NEXT_KEY_FILE = "identity_next_key.pem"
_RENEW_AFTER = 2 / 3
"""Of a certificate's life."""
_X509_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python's ssl has no name for."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IdentityPaths:
    """Where a gate keeps what it is known by."""

    identity: Path
    authority: Path
    next_key: Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def gate(self) -> str:
        """Whom it names."""
        return certificates.name_of(self.certificate)

    @property
    def serial(self) -> str:
        """The certificate's serial number, hex."""
        return certificates.serial_of(self.certificate)

    @property
    def ends_at(self) -> datetime:
        """When it expires."""
        return self.certificate.not_valid_after_utc

    def is_renewal_due(self, now: datetime) -> bool:
        """Whether two thirds of its life are over."""
        begins_at = self.certificate.not_valid_before_utc
        return now >= begins_at + (self.ends_at - begins_at) * _RENEW_AFTER


def paths_of(settings: EdgeSettings) -> IdentityPaths:
    """As the file names them, else in the data directory."""
    broker, folder = settings.broker, settings.data_dir
    return IdentityPaths(
        identity=broker.cert_file or folder / IDENTITY_FILE,
        authority=broker.ca_file or folder / CA_FILE,
        next_key=folder / NEXT_KEY_FILE,
    )


def load_identity(path: Path) -> Identity:
    """The certificate and key in one file. Raises ConfigError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigError(f"{path} may be read by others (mode {mode:04o}); repair it with: chmod 600 {path}")
    try:
        identity = Identity(certificates.read_certificate(data), certificates.read_key(data))
    except PayloadError as error:
        raise ConfigError(f"{path}: {error}") from error
    if identity.certificate.public_key() != identity.key.public_key():
        raise ConfigError(f"{path}: the key is not the certificate's")
    return identity


def store_identity(path: Path, certificate: x509.Certificate, key: PrivateKey) -> None:
    """Put both in place at once, readable by us alone. Raises ConfigError."""
    store_private(path, certificate.public_bytes(Encoding.PEM) + certificates.key_pem(key))


def store_private(path: Path, data: bytes) -> None:
    """Write a file whole and synced, mode 0600. Raises ConfigError."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ConfigError(f"{path}: {error.strerror}") from error


def next_key(path: Path) -> PrivateKey:
    """The key that the next certificate is asked for: kept until it is there, so that asking again asks for the same.

    Raises ConfigError.
    """
    with suppress(OSError, PayloadError):
        return certificates.read_key(path.read_bytes())
    key = certificates.new_key()
    store_private(path, certificates.key_pem(key))
    return key


class BrokerTls:
    """The TLS context of one client, brought up to date before each connection. `refresh` is for that client's thread.

    Dates on the broker's certificate are held against our clock only while something keeps that right: a gate without
    a battery clock must reach the broker to learn the time. Signature and name are checked always.
    """

    def __init__(self, broker: BrokerSettings, is_time_known: Callable[[], bool]) -> None:
        self._broker = broker
        self._is_time_known = is_time_known
        self._words = ""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.serial = ""
        """Of the certificate that the next connection shows, hex; empty without one."""
        self.refresh()

    def refresh(self) -> None:
        """Read the files anew, for a certificate that was renewed; a file that is missing is told, and tried again."""
        words = ""
        try:
            self.context.load_verify_locations(str(self._broker.ca_file))
            if self._broker.cert_file is not None:
                key_file = str(self._broker.key_file) if self._broker.key_file is not None else None
                self.context.load_cert_chain(str(self._broker.cert_file), key_file)
                self.serial = certificates.serial_of(certificates.read_certificate(self._broker.cert_file.read_bytes()))
        except (OSError, PayloadError) as error:  # ssl.SSLError is an OSError
            words = f"{self._broker.cert_file or self._broker.ca_file}: {error}"
        flags = int(self.context.verify_flags) & ~_X509_NO_CHECK_TIME
        if not self._is_time_known():
            flags |= _X509_NO_CHECK_TIME
        self.context.verify_flags = ssl.VerifyFlags(flags)
        if words not in ("", self._words):
            _log.error("identity.not_read", words=words)
        self._words = words
