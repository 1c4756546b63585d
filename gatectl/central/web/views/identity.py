"""What gates ask of central over HTTP: their first certificate, and the next one. They sign; they do not sign in."""

import time
from datetime import UTC, datetime
from typing import TypeVar

from starlette.responses import JSONResponse, Response

from gatectl.central import enrolment
from gatectl.central.authority import Authority, load_or_make_authority
from gatectl.central.charters import root_public
from gatectl.central.keys import load_or_make_keys
from gatectl.central.web.guard import Visit
from gatectl.errors import ConfigError, PayloadError, RefusedError
from gatectl.logs import get_logger
from gatectl.wire.enrol import FORM_FIELD, RENEW_PURPOSE, EnrolRefusal, EnrolRequest, Pins, RenewRequest
from gatectl.wire.messages import Message, decode
from gatectl.wire.signed import seal

_log = get_logger(__name__)
M = TypeVar("M", bound=Message)


def _asked(visit: Visit, model: type[M]) -> M:
    return decode(model, visit.form.get(FORM_FIELD, "").encode())


def _refused(words: str, status: int) -> Response:
    """The transaction is committed all the same: failed tries count."""
    return JSONResponse(EnrolRefusal(error=words.splitlines()[0][:500]).model_dump(), status)


def _authority(visit: Visit) -> Authority:
    return load_or_make_authority(visit.settings.authority_dir, datetime.now(UTC))


def enrol(visit: Visit) -> Response:
    """A gate's first certificate, for its one-time code."""
    try:
        asked = _asked(visit, EnrolRequest)
        folder, days = visit.settings.data_dir, visit.settings.identity.certificate_d
        pins = Pins(load_or_make_keys(folder).public_base64, root_public(folder))
        answer = enrolment.take_request(visit.conn, _authority(visit), pins, days, asked, _now_ms())
    except PayloadError as error:
        return _refused(str(error), 400)
    except RefusedError as error:
        return _refused(str(error), 403)
    except ConfigError as error:
        _log.error("enrol.not_possible", words=str(error))
        return _refused("central's key files are not in order; its log says what to do", 503)
    return Response(answer.model_dump_json(), media_type="application/json")


def renew(visit: Visit) -> Response:
    """A gate's next certificate, for a request signed with the key of the present one."""
    try:
        asked = _asked(visit, RenewRequest)
        days = visit.settings.identity.certificate_d
        answer = enrolment.renew(visit.conn, _authority(visit), days, asked, _now_ms())
        key = load_or_make_keys(visit.settings.data_dir).site_key
    except PayloadError as error:
        return _refused(str(error), 400)
    except RefusedError as error:
        return _refused(str(error), 403)
    except ConfigError as error:
        _log.error("renew.not_possible", words=str(error))
        return _refused("central's key files are not in order; its log says what to do", 503)
    return Response(seal(answer.model_dump_json().encode(), RENEW_PURPOSE, key), media_type="application/octet-stream")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
