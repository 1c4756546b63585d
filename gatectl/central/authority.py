"""The site authority: an ECDSA P-256 key that certifies gates and the broker, and lists what it has taken back."""

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from gatectl.errors import ConfigError, PayloadError, RefusedError
from gatectl.wire import certificates
from gatectl.wire.certificates import PrivateKey, PublicKey

CA_FILE = "ca.pem"
CA_KEY_FILE = "ca_key.pem"
_CA_NAME = "gatectl site authority"
_CA_LIFE = timedelta(days=20 * 365)
_CRL_LIFE = timedelta(days=10 * 365)
"""A list past its date would lock every gate out of the broker; its freshness is the file's, not the date's."""
_BACKDATED = timedelta(days=1)
"""Of every certificate: the other end's clock may be behind ours."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority's certificate, and its key unless that is kept offline."""

    certificate: x509.Certificate
    key: PrivateKey | None

    @property
    def der(self) -> bytes:
        """Its certificate's bytes."""
        return certificates.certificate_der(self.certificate)

    @property
    def pem(self) -> bytes:
        """Its certificate, as the broker and the gates keep it."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue_gate(self, gate: str, key: PublicKey, days: int, at: datetime) -> x509.Certificate:
        """A client certificate whose CN is the gate's id. Raises RefusedError while the key is offline."""
        return self._issue(gate, key, timedelta(days=days), at, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def issue_client(self, name: str, key: PublicKey, days: int, at: datetime) -> x509.Certificate:
        """A client certificate for central's own account. Raises RefusedError while the key is offline."""
        return self._issue(name, key, timedelta(days=days), at, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def issue_server(self, hosts: Sequence[str], key: PublicKey, days: int, at: datetime) -> x509.Certificate:
        """The broker's certificate for these names and addresses. Raises RefusedError while the key is offline."""
        names = tuple(_alternative(host) for host in hosts)
        return self._issue(hosts[0], key, timedelta(days=days), at, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def _issue(
        self,
        name: str,
        key: PublicKey,
        life: timedelta,
        at: datetime,
        use: ObjectIdentifier,
        names: Sequence[x509.GeneralName],
    ) -> x509.Certificate:
        builder = _builder(name, self.certificate.subject, key, at, life)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(is_authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        issuer = certificates.certified_key(self.certificate)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._need_key(), hashes.SHA256())

    def revocations(self, serials: Iterable[str], at: datetime) -> bytes:
        """What was taken back, signed (PEM), for the broker. Raises RefusedError while the key is offline."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(at - _BACKDATED).next_update(at + _CRL_LIFE)
        number = x509.CRLNumber(int(at.timestamp() * 1000))
        issuer = certificates.certified_key(self.certificate)
        builder = builder.add_extension(number, critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        for serial in sorted(set(serials)):
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(at)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._need_key(), hashes.SHA256()).public_bytes(Encoding.PEM)

    def _need_key(self) -> PrivateKey:
        if self.key is None:
            raise RefusedError(
                f"the site authority's key is kept offline: put {CA_KEY_FILE} back beside {CA_FILE} first",
                zh=f"站点证书密钥已离线保存:请先把 {CA_KEY_FILE} 放回 {CA_FILE} 旁",
            )
        return self.key


def load_or_make_authority(folder: Path, at: datetime) -> Authority:
    """The authority in a folder, made at the first use; two processes that start at once agree on one.

    Raises ConfigError: unreadable files, a key that others may read, a key of another certificate.
    """
    ca_path, key_path = folder / CA_FILE, folder / CA_KEY_FILE
    try:
        if not ca_path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _put_new(key_path, certificates.key_pem(certificates.new_key()), 0o600)
            key = _load_key(key_path)
            _put_new(ca_path, _self_signed(key, at).public_bytes(Encoding.PEM), 0o644)
        certificate = certificates.read_certificate(ca_path.read_bytes())
        key_or_none = _load_key(key_path) if key_path.exists() else None
    except OSError as error:
        raise ConfigError(f"the site authority in {folder}: {error.strerror}") from error
    except PayloadError as error:
        raise ConfigError(f"the site authority in {folder}: {error}") from error
    if key_or_none is not None and key_or_none.public_key() != certificate.public_key():
        raise ConfigError(f"{key_path} is not the key of {ca_path}")
    return Authority(certificate, key_or_none)


def _load_key(path: Path) -> PrivateKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(f"{path} may be read by others (mode {mode:04o}); repair it with: chmod 600 {path}")
    return certificates.read_key(path.read_bytes())


def _self_signed(key: PrivateKey, at: datetime) -> x509.Certificate:
    name = certificates.subject(f"{_CA_NAME} {secrets.token_hex(4)}")
    builder = _builder("", name, key.public_key(), at, _CA_LIFE).subject_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_usage(is_authority=True), critical=True).sign(key, hashes.SHA256())


def _builder(name: str, issuer: x509.Name, key: PublicKey, at: datetime, life: timedelta) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().issuer_name(issuer).public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(at - _BACKDATED).not_valid_after(at + life)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.subject_name(certificates.subject(name)) if name else builder


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host)


def _put_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet, whole and synced; another process's is left alone."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink()
