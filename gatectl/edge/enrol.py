"""How a gate asks central for its certificate: once with a code, later by itself with the key that it has."""

import http.client
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, monotonic_ns
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from gatectl.edge.identity import (
    IdentityPaths,
    load_identity,
    next_key,
    paths_of,
    store_identity,
    store_private,
)
from gatectl.edge.keys import site_keys
from gatectl.errors import ConfigError, GatectlError, LinkError, PayloadError, RefusedError
from gatectl.logs import get_logger
from gatectl.settings import EdgeSettings
from gatectl.wire import certificates, enrol
from gatectl.wire.enrol import EnrolAnswer, EnrolRefusal, RenewAnswer
from gatectl.wire.messages import decode
from gatectl.wire.signed import unseal

_HTTP_TIMEOUT_S = 20.0
_MAX_ANSWER_BYTES = 64 * 1024
_FIRST_LOOK_S = 30.0
_LOOK_EACH_S = 3600.0
_LOOP_S = 1.0
_ALARM_LEFT = timedelta(days=30)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a gate got: central proved that it knows the code, so all of it can be believed."""

    site: str
    site_key: str
    root_key: str
    serial: str
    ends_at: datetime
    check: str
    """What central shows too, e.g. 7F3A-19C2."""


def enrol_gate(settings: EdgeSettings, code: str, central_url: str = "") -> Enrolled:
    """Ask for this gate's first certificate, and keep it. The key is made here and never leaves.

    Raises ConfigError (no address, disk), LinkError (central does not answer), RefusedError (central refuses),
    PayloadError (no code, or an answer from somebody who does not know it).
    """
    secret = enrol.code_secret(code, settings.gate)
    paths = paths_of(settings)
    key = next_key(paths.next_key)
    request = certificates.make_request(key, settings.gate)
    asked = enrol.enrol_request(secret, settings.gate, request)
    url = _url(settings, central_url)
    answer = decode(EnrolAnswer, _post(url + enrol.ENROL_PATH, asked.model_dump_json()))
    enrol.require_answer_proven(secret, asked, answer)
    authority = certificates.read_certificate(enrol.authority_bytes(answer))
    issued = certificates.read_certificate(enrol.certificate_bytes(answer))
    certificates.require_issued(issued, authority, settings.gate, key.public_key())
    if answer.site != settings.site:
        raise ConfigError(
            f'site: central has {settings.gate} at site "{answer.site}", this file says "{settings.site}"'
        )
    store_private(paths.authority, authority.public_bytes(Encoding.PEM))
    store_identity(paths.identity, issued, key)
    paths.next_key.unlink(missing_ok=True)
    return Enrolled(
        site=answer.site,
        site_key=answer.site_key,
        root_key=answer.root_key,
        serial=certificates.serial_of(issued),
        ends_at=issued.not_valid_after_utc,
        check=enrol.check_words(secret, request, enrol.authority_bytes(answer)),
    )


def renew_identity(
    settings: EdgeSettings, central_url: str = "", keys: Iterable[Ed25519PublicKey] | None = None
) -> datetime:
    """Ask for the next certificate with the key of the present one, and keep it; when it will end.

    `keys`: the site keys that the answer may be sealed with, else the one in the file. Raises as `enrol_gate` does.
    """
    paths = paths_of(settings)
    held = load_identity(paths.identity)
    key = next_key(paths.next_key)
    request = certificates.make_request(key, settings.gate)
    asked = enrol.renew_request(held.key, settings.gate, held.serial, request)
    sealed = _post(_url(settings, central_url) + enrol.RENEW_PATH, asked.model_dump_json())
    return _take_renewal(settings, paths, key, sealed, tuple(site_keys(settings) if keys is None else keys))


def _take_renewal(
    settings: EdgeSettings,
    paths: IdentityPaths,
    key: certificates.PrivateKey,
    sealed: bytes,
    keys: tuple[Ed25519PublicKey, ...],
) -> datetime:
    answer = decode(RenewAnswer, unseal(sealed, enrol.RENEW_PURPOSE, keys))
    authority = certificates.read_certificate(enrol.authority_bytes(answer))
    issued = certificates.read_certificate(enrol.certificate_bytes(answer))
    certificates.require_issued(issued, authority, settings.gate, key.public_key())
    store_private(paths.authority, authority.public_bytes(Encoding.PEM))
    store_identity(paths.identity, issued, key)
    paths.next_key.unlink(missing_ok=True)
    _log.info("identity.renewed", serial=certificates.serial_of(issued), ends=issued.not_valid_after_utc.isoformat())
    return issued.not_valid_after_utc


def _url(settings: EdgeSettings, central_url: str) -> str:
    url = (central_url or settings.central_url).rstrip("/")
    if not url:
        raise ConfigError('central_url: missing, e.g. central_url = "https://console.example"')
    return url


def _post(url: str, message: str) -> bytes:
    """One POST without redirects. Raises LinkError, RefusedError, ConfigError (an address that is none)."""
    parts = urlsplit(url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    if parts.scheme not in kinds or not parts.hostname:
        raise ConfigError(f"central_url: {url} is no http or https address")
    body = urlencode({enrol.FORM_FIELD: message})
    heads = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    try:
        connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=_HTTP_TIMEOUT_S)
    except ValueError as error:
        raise ConfigError(f"central_url: {error}") from error
    try:
        connection.request("POST", parts.path, body, heads)
        response = connection.getresponse()
        data: bytes = response.read(_MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise LinkError(f"central at {parts.netloc} does not answer: {error}") from error
    finally:
        connection.close()
    if len(data) > _MAX_ANSWER_BYTES:
        raise LinkError(f"central at {parts.netloc} answers with too much")
    if response.status == http.client.OK:
        return data
    try:
        words = decode(EnrolRefusal, data).error
    except PayloadError:
        raise LinkError(f"{url} answers {response.status} {response.reason}: is that central?") from None
    raise RefusedError(f"central refuses: {words}")


class Renewer:
    """One thread that renews the certificate when two thirds of its life are over, and says so when it cannot."""

    def __init__(
        self,
        settings: EdgeSettings,
        keys: Iterable[Ed25519PublicKey],
        now: Callable[[], datetime],
        is_time_known: Callable[[], bool],
    ) -> None:
        """`keys`: the site keys, read anew each time: they may be replaced while this runs."""
        self._settings = settings
        self._keys = keys
        self._path = paths_of(settings).identity
        self._now = now
        self._is_time_known = is_time_known
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewer", daemon=True)
        self._beat_ns = monotonic_ns()
        self._is_started = False
        self.alarm = ""
        """What a person should know of this gate's certificate; empty when all is well."""

    def start(self) -> None:
        """Look for the first time within a minute, then each hour; nothing at all without a certificate in the file."""
        if self._settings.broker.cert_file is not None:
            self._is_started = True
            self._thread.start()

    def stop(self) -> None:
        """Stop; a request under way is left to its time-out."""
        self._stopping.set()

    def beat_ns(self) -> int:
        """Monotonic ns of the last turn; now while there is nothing to do."""
        return self._beat_ns if self._is_started else monotonic_ns()

    def _run(self) -> None:
        next_s = monotonic() + random.uniform(0.1, 1.0) * _FIRST_LOOK_S  # noqa: S311 - jitter, not a secret
        while not self._stopping.wait(_LOOP_S):
            self._beat_ns = monotonic_ns()
            if monotonic() >= next_s:
                next_s = monotonic() + random.uniform(0.8, 1.2) * _LOOK_EACH_S  # noqa: S311 - jitter
                self.look()

    def look(self) -> None:
        """Renew if it is time to. Never raises: what goes wrong is logged, and an alarm when little time is left."""
        words = ""
        try:
            held = load_identity(self._path)
            if self._is_time_known() and held.is_renewal_due(self._now()):
                words = self._renew()
                held = load_identity(self._path)
            self.alarm = self._alarm_of(held.ends_at, words)
        except GatectlError as error:
            self.alarm = f"no certificate for the broker: {error}"
        if words:
            _log.warning("identity.not_renewed", words=words)

    def _renew(self) -> str:
        """What went wrong, in words; empty when it was renewed."""
        try:
            renew_identity(self._settings, keys=self._keys)
        except GatectlError as error:
            return str(error)
        return ""

    def _alarm_of(self, ends_at: datetime, words: str) -> str:
        if not self._is_time_known() or ends_at - self._now() > _ALARM_LEFT or not words:
            return ""
        return f"the certificate ends on {ends_at:%Y-%m-%d} and could not be renewed: {words}"
