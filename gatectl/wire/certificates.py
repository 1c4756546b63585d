"""X.509 between a gate and its site authority, pure: keys, requests, and what both sides read from a certificate."""

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from gatectl.errors import PayloadError

PublicKey = ec.EllipticCurvePublicKey
PrivateKey = ec.EllipticCurvePrivateKey
MAX_REQUEST_BYTES = 2048
"""A P-256 request has some 250; more is refused before it is parsed."""


def new_key() -> PrivateKey:
    """A fresh ECDSA key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """The private key as PKCS#8, in clear: the caller sees to it that nobody else can read the file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(pem: bytes) -> PrivateKey:
    """The P-256 key in a PEM. Raises PayloadError, without the bytes."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise PayloadError("no private key that can be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PayloadError("a private key of another kind than ECDSA P-256")
    return key


def key_digest(key: PublicKey) -> str:
    """SHA-256 of the public key (SubjectPublicKeyInfo), hex: tells keys apart."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def subject(name: str) -> x509.Name:
    """A name of one part, CN: what the broker takes as the user."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def make_request(key: PrivateKey, gate: str) -> bytes:
    """A signed request (PKCS#10, DER) for a certificate that says `gate`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(gate))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def read_request(der: bytes, gate: str) -> PublicKey:
    """The key that a request asks to be certified as `gate`; its holder signed it. Raises PayloadError."""
    if len(der) > MAX_REQUEST_BYTES:
        raise PayloadError("a certificate request that is too long", der)
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        is_signed = request.is_signature_valid
        name = request.subject
    except (ValueError, TypeError) as error:
        raise PayloadError(f"not a certificate request: {error}", der) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PayloadError("a certificate request for another kind of key than ECDSA P-256", der)
    if not is_signed:
        raise PayloadError("a certificate request that its key did not sign", der)
    if name != subject(gate):
        raise PayloadError(f"a certificate request for another name than {gate}", der)
    return key


def read_certificate(data: bytes) -> x509.Certificate:
    """A certificate in DER, or the first one in a PEM. Raises PayloadError."""
    try:
        if data.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise PayloadError(f"not a certificate: {error}", data) from error


def certificate_der(certificate: x509.Certificate) -> bytes:
    """Its bytes."""
    return certificate.public_bytes(Encoding.DER)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Its bytes, as files hold them."""
    return certificate.public_bytes(Encoding.PEM)


def name_of(certificate: x509.Certificate) -> str:
    """Its CN; empty when it has none, or several."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def serial_of(certificate: x509.Certificate) -> str:
    """Its serial number, hex, at most 40 digits."""
    return f"{certificate.serial_number:x}"


def certified_key(certificate: x509.Certificate) -> PublicKey:
    """Its P-256 key. Raises PayloadError for another kind."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise PayloadError("a certificate for another kind of key than ECDSA P-256")
    return key


def require_issued(certificate: x509.Certificate, authority: x509.Certificate, gate: str, key: PublicKey) -> None:
    """Raise PayloadError unless `authority` certified just this key as `gate`. The dates are not looked at."""
    if name_of(certificate) != gate:
        raise PayloadError(f"a certificate for {name_of(certificate)!r}, not for {gate!r}")
    if key_digest(certified_key(certificate)) != key_digest(key):
        raise PayloadError("a certificate for another key than ours")
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise PayloadError("a certificate that the site's authority did not issue") from error


def sign(key: PrivateKey, body: bytes) -> bytes:
    """ECDSA with SHA-256."""
    return key.sign(body, ec.ECDSA(hashes.SHA256()))


def is_signed_by(key: PublicKey, signature: bytes, body: bytes) -> bool:
    """Whether the holder of `key` signed `body`."""
    try:
        key.verify(signature, body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
