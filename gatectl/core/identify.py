"""Whose credential is it: a card, a code, a pass or a plate becomes a grant, or a reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass

from gatectl.core.case import FAIL, PASS, SKIP, Case
from gatectl.core.model import (
    CredentialKey,
    Grant,
    GrantState,
    PassClaim,
    PlateRead,
    Profile,
)
from gatectl.core.plate_match import MIN_CONFIDENCE, MatchKind, match_plate, opens_by_class
from gatectl.core.plates import PLATE_PREFIX, is_legal, length_fits_colour
from gatectl.core.reasons import Reason
from gatectl.core.trace_words import JOIN
from gatectl.core.whitelist import find_grant

CODE_PREFIX = "code:"
PASS_PREFIX = "pass:"  # noqa: S105 - a kind of credential


@dataclass(frozen=True, slots=True)
class Words:
    """Which reason each failed rule has for this kind of credential."""

    lost: Reason
    revoked: Reason
    blocked: Reason
    expired: Reason
    not_yet: Reason
    wrong_gate: Reason
    off_hours: Reason
    used: Reason


CARD_WORDS = Words(
    lost=Reason.CARD_LOST,
    revoked=Reason.CARD_REVOKED,
    blocked=Reason.CARD_REVOKED,
    expired=Reason.CARD_EXPIRED,
    not_yet=Reason.NOT_YET_VALID,
    wrong_gate=Reason.NO_PERMISSION_GATE,
    off_hours=Reason.OUT_OF_SCHEDULE,
    used=Reason.CARD_EXPIRED,
)
PLATE_WORDS = Words(
    lost=Reason.PLATE_BLOCKED,
    revoked=Reason.PLATE_BLOCKED,
    blocked=Reason.PLATE_BLOCKED,
    expired=Reason.PLATE_EXPIRED,
    not_yet=Reason.PLATE_NOT_YET_VALID,
    wrong_gate=Reason.PLATE_WRONG_GATE,
    off_hours=Reason.PLATE_OUT_OF_SCHEDULE,
    used=Reason.PLATE_EXPIRED,
)
CODE_WORDS = Words(
    lost=Reason.CODE_INVALID,
    revoked=Reason.CODE_INVALID,
    blocked=Reason.CODE_INVALID,
    expired=Reason.CODE_EXPIRED,
    not_yet=Reason.CODE_EARLY,
    wrong_gate=Reason.CODE_WRONG_GATE,
    off_hours=Reason.CODE_EARLY,
    used=Reason.CODE_USED,
)
PIN_WORDS = Words(
    lost=Reason.PIN_INVALID,
    revoked=Reason.PIN_INVALID,
    blocked=Reason.PIN_INVALID,
    expired=Reason.PIN_INVALID,
    not_yet=Reason.PIN_INVALID,
    wrong_gate=Reason.NO_PERMISSION_GATE,
    off_hours=Reason.OUT_OF_SCHEDULE,
    used=Reason.PIN_INVALID,
)
_GUESTS = (Profile.VISITOR, Profile.COURIER)


@dataclass(frozen=True, slots=True)
class Found:
    """What was identified. `grant` is set whenever one was, also under an `objection`."""

    words: Words = CARD_WORDS
    granted: Reason = Reason.CARD_OK
    """What it is called when nothing else objects."""
    grant: Grant | None = None
    objection: Reason | None = None
    """Why it cannot be judged any further."""
    is_emergency: bool = False


def identify(case: Case) -> Found:
    """Whose credential this is."""
    attempt = case.attempt
    if attempt.plate is not None:
        return _plate(case, attempt.plate)
    if attempt.claim is not None:
        return _pass(case, attempt.claim)
    if attempt.key is not None and attempt.key.startswith(CODE_PREFIX):
        return _code(case, attempt.key)
    return _card(case, attempt.key)


def _card(case: Case, key: CredentialKey | None) -> Found:
    grant = find_grant(case.view, key) if key is not None else None
    if not _is_vehicle_there(case):
        return Found(grant=grant, objection=Reason.NO_VEHICLE)
    if not case.check("registered", case.attempt.reader, is_ok=grant is not None) or grant is None:
        return Found(objection=Reason.CARD_UNKNOWN)
    if grant.has_no_plate and case.is_vehicle_lane:
        return _no_plate(case, grant)
    return Found(granted=_CARD_OK.get(grant.profile, Reason.CARD_OK), grant=grant)


def _no_plate(case: Case, grant: Grant) -> Found:
    """A card that stands for a car without plates opens for no car that has one."""
    is_bare = not is_legal(case.state.held_read)
    case.check("no_plate_card", case.state.held_read or "no_plate_read", is_ok=is_bare)
    return Found(granted=Reason.NO_PLATE_OK, grant=grant, objection=None if is_bare else Reason.WAIT_GUARD)


def _code(case: Case, key: CredentialKey) -> Found:
    is_locked = case.state.is_keypad_locked
    if not case.check("keypad", "locked" if is_locked else "free", is_ok=not is_locked):
        return Found(objection=Reason.KEYPAD_LOCKED)
    grant = case.view.grants.get(key)
    words = CODE_WORDS if grant is not None and grant.profile in _GUESTS else PIN_WORDS
    if not _is_vehicle_there(case):
        return Found(words, grant=grant, objection=Reason.NO_VEHICLE)
    if not case.check("registered", case.attempt.reader, is_ok=grant is not None) or grant is None:
        return Found(objection=Reason.PIN_INVALID)
    if grant.is_duress:
        case.alarm = Reason.DURESS
    return Found(words, _CODE_OK.get(grant.profile, Reason.PIN_OK), grant)


def _pass(case: Case, claim: PassClaim) -> Found:
    """A pass carries its own right; from here on it is judged as the grant that it stands for."""
    if not _is_vehicle_there(case):
        return Found(objection=Reason.NO_VEHICLE)
    if not case.check("signature", "known_issuer" if claim.is_genuine else "not_ours", is_ok=claim.is_genuine):
        return Found(objection=Reason.CODE_INVALID)
    key = CredentialKey(f"{PASS_PREFIX}{claim.nonce}")
    withdrawn = case.view.grants.get(key)
    grant = Grant(
        key=key,
        state=withdrawn.state if withdrawn is not None else GrantState.ACTIVE,
        levels=(),
        subject=key,
        household=withdrawn.household if withdrawn is not None else "",
        valid_from_s=claim.valid_from_s,
        valid_until_s=claim.valid_until_s,
        profile=claim.profile,
        uses=claim.uses,
        max_stay_s=withdrawn.max_stay_s if withdrawn is not None else 0,
    )
    is_here = claim.site == case.view.site and (not claim.lanes or case.attempt.lane in claim.lanes)
    if not case.check("lane", case.attempt.lane, is_ok=is_here):
        return Found(CODE_WORDS, grant=grant, objection=Reason.CODE_WRONG_GATE)
    return Found(CODE_WORDS, _PASS_OK.get(claim.profile, Reason.QR_OK), grant)


def _plate(case: Case, read: PlateRead) -> Found:
    if not _is_vehicle_there(case):
        return Found(objection=Reason.SPOOF_SUSPECT)
    doubt = _doubt(case, read)
    if doubt is not None:
        return Found(objection=doubt)
    if case.view.emergency_plates and read.text in case.view.emergency_plates:
        case.note("emergency_list", read.text, PASS)
        return Found(granted=Reason.EMERGENCY_LIST, is_emergency=True)
    if opens_by_class(read):
        case.note("emergency_plate", read.text, PASS)
        return Found(granted=Reason.EMERGENCY_PLATE, is_emergency=True)
    return _match(case, read)


def _match(case: Case, read: PlateRead) -> Found:
    """The grant of the listed plate that this read surely is."""
    match = match_plate(read, case.view.grants)
    grant = match.grant
    if match.candidates:
        value = f"{match.ratio:.1e} / {match.bound:.0e}"
        case.note("likelihood", JOIN.join((value, match.rival) if match.rival else (value,)), PASS if grant else FAIL)
    if grant is None:
        is_legal_read = is_legal(read.text)
        case.note("registered", read.text, FAIL)
        if match.kind is MatchKind.NONE and not is_legal_read:
            return Found(objection=Reason.PLATE_LOW_CONF)
        return Found(objection=_HELD[match.kind])
    if match.kind is MatchKind.LOOKALIKE:
        case.note("lookalike", f"{read.text}{JOIN}{grant.key.removeprefix(PLATE_PREFIX)}", PASS)
    else:
        case.note("registered", read.text, PASS)
    if not _is_colour_right(case, grant, read):
        return Found(PLATE_WORDS, grant=grant, objection=Reason.PLATE_AMBIGUOUS)
    granted = Reason.PLATE_LOOKALIKE if match.kind is MatchKind.LOOKALIKE else _PLATE_OK.get(grant.profile)
    return Found(PLATE_WORDS, granted or Reason.PLATE_OK, grant)


def _is_vehicle_there(case: Case) -> bool:
    """A vehicle lane opens only for a vehicle that its own loop feels; an exit opens for anybody."""
    state = case.state
    if not case.is_vehicle_lane or not state.lane.require_presence:
        return True
    value = "no_presence_loop" if state.is_present is None else str(state.is_present).lower()
    if state.is_present is None or case.is_exit:
        case.note("vehicle_present", value, SKIP)
        return True
    return case.check("vehicle_present", value, is_ok=state.is_present)


def _doubt(case: Case, read: PlateRead) -> Reason | None:
    """Why this read is not good enough to be looked up, if it is not."""
    if read.is_covered:
        case.note("plate_found", "covered", FAIL)
        return Reason.PLATE_COVERED
    if not case.check("plate_found", str(read.frames), is_ok=bool(read.text)):
        return Reason.PLATE_NONE
    colour = read.colour.value if read.colour else "unknown"
    fits = length_fits_colour(read.text, read.colour)
    if not case.check("length_fits_colour", f"{len(read.text)} / {colour}", is_ok=fits):
        return Reason.PLATE_AMBIGUOUS
    is_sure = read.confidence >= MIN_CONFIDENCE
    if not case.check("plate_confidence", f"{read.confidence:.2f} / {MIN_CONFIDENCE:.2f}", is_ok=is_sure):
        return Reason.PLATE_LOW_CONF
    return None


def _is_colour_right(case: Case, grant: Grant, read: PlateRead) -> bool:
    if grant.colour is None or read.colour is None:
        case.note("colour", "unknown", SKIP)
        return True
    return case.check("colour", f"{read.colour} / {grant.colour}", is_ok=read.colour is grant.colour)


_CARD_OK: Mapping[Profile, Reason] = {Profile.VISITOR: Reason.VISITOR_OK, Profile.COURIER: Reason.RIDER_OK}
_CODE_OK = _CARD_OK
_PASS_OK = _CARD_OK
_PLATE_OK: Mapping[Profile, Reason] = {Profile.VISITOR: Reason.PLATE_VISITOR, Profile.COURIER: Reason.RIDER_OK}
_HELD: Mapping[MatchKind, Reason] = {
    MatchKind.NONE: Reason.PLATE_UNKNOWN,
    MatchKind.UNSURE: Reason.PLATE_LOW_CONF,
    MatchKind.AMBIGUOUS: Reason.PLATE_AMBIGUOUS,
}
"""What a read that opens for nobody is called."""
