"""Who is who at a real mosquitto: config/mosquitto/mtls.conf with the files that central makes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mtls_stand import DEADLINE_S, MOSQUITTO, MtlsBroker, Office, TlsPeer, a_certificate, an_office
from sqlalchemy import select

from gatectl.central import identities, tables
from gatectl.central.authority import load_or_make_authority
from gatectl.wire import certificates

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = an_office(tmp_path)
    yield made
    made.engine.dispose()


@pytest.fixture
def broker(office: Office) -> Iterator[MtlsBroker]:
    running = MtlsBroker(office)
    yield running
    running.stop()


def the_ca(office: Office) -> Path:
    return office.folder / "broker" / "ca.pem"


def test_nobody_gets_in_without_a_certificate_of_the_site_authority(office: Office, broker: MtlsBroker) -> None:
    foreign = load_or_make_authority(office.folder / "foreign", datetime.now(UTC))
    nobody = TlsPeer(broker, the_ca(office), None, "north")
    forger = TlsPeer(broker, the_ca(office), a_certificate(office, "north", office.folder, foreign), "north")
    north = TlsPeer(broker, the_ca(office), a_certificate(office, "north", office.folder), "north")
    try:
        assert (nobody.is_in, forger.is_in, north.is_in) == (False, False, True)
    finally:
        for peer in (nobody, forger, north):
            peer.stop()


def test_a_gate_that_says_it_is_another_is_still_itself(office: Office, broker: MtlsBroker) -> None:
    central = TlsPeer(broker, the_ca(office), a_certificate(office, "central", office.folder), "central")
    south = TlsPeer(broker, the_ca(office), a_certificate(office, "south", office.folder), "south")
    liar = TlsPeer(broker, the_ca(office), a_certificate(office, "north", office.folder), "south")
    try:
        assert liar.is_in
        central.hear("gatectl/v1/#")
        liar.say("gatectl/v1/g/south/ev", b"forged event")
        liar.say("gatectl/v1/g/south/cmd", b"forged command")
        liar.say("gatectl/v1/g/north/cmd", b"a command to itself")
        liar.say("gatectl/v1/wl/danzao/head", b"forged list")
        liar.say("gatectl/v1/s/danzao/passages", b"forged passages")
        liar.say("gatectl/v1/g/north/ev", b"own event")
        # The broker answers in order: what was forged would have come first.
        assert central.heard.get(timeout=DEADLINE_S) == ("gatectl/v1/g/north/ev", b"own event")
        south.say("gatectl/v1/g/south/ev", b"still here")
        assert central.heard.get(timeout=DEADLINE_S) == ("gatectl/v1/g/south/ev", b"still here")
        assert south.ended.empty()
    finally:
        for peer in (central, south, liar):
            peer.stop()


def test_a_gate_hears_its_own_site_and_no_other(office: Office, broker: MtlsBroker) -> None:
    central = TlsPeer(broker, the_ca(office), a_certificate(office, "central", office.folder), "central")
    north = TlsPeer(broker, the_ca(office), a_certificate(office, "north", office.folder), "north")
    try:
        for topic in ("gatectl/v1/#", "gatectl/v1/wl/+/head", "gatectl/v1/wl/xianhu/head", "gatectl/v1/g/+/cmd"):
            north.hear(topic)
        for topic in ("wl/danzao/head", "s/danzao/passages", "g/north/cmd"):
            north.hear(f"gatectl/v1/{topic}")
        central.say("gatectl/v1/wl/xianhu/head", b"another site's list")
        central.say("gatectl/v1/s/xianhu/passages", b"another site's passages")
        central.say("gatectl/v1/g/south/cmd", b"another gate's command")
        central.say("gatectl/v1/g/south/ev", b"another gate's events")
        central.say("gatectl/v1/wl/danzao/head", b"its own list")
        central.say("gatectl/v1/g/north/cmd", b"its own command")
        heard = set()
        while ("gatectl/v1/g/north/cmd", b"its own command") not in heard:
            heard.add(north.heard.get(timeout=DEADLINE_S))
        assert heard == {
            ("gatectl/v1/wl/danzao/head", b"its own list"),
            ("gatectl/v1/g/north/cmd", b"its own command"),
        }
    finally:
        central.stop()
        north.stop()


def test_a_revoked_gate_is_heard_no_more_and_cannot_come_back(office: Office, broker: MtlsBroker) -> None:
    path = a_certificate(office, "north", office.folder)
    central = TlsPeer(broker, the_ca(office), a_certificate(office, "central", office.folder), "central")
    north = TlsPeer(broker, the_ca(office), path, "north")
    south = TlsPeer(broker, the_ca(office), a_certificate(office, "south", office.folder), "south")
    back = None
    try:
        assert north.is_in
        central.hear("gatectl/v1/#")
        _known(office, path)
        with office.engine.begin() as conn:
            identities.revoke(conn, "anna", "north", "stolen")
        office.write_files()
        broker.reload()
        back = TlsPeer(broker, the_ca(office), path, "north")
        assert not back.is_in
        south.say("gatectl/v1/g/south/ev", b"the others serve on")
        assert central.heard.get(timeout=DEADLINE_S) == ("gatectl/v1/g/south/ev", b"the others serve on")
    finally:
        for peer in (central, north, south, back):
            if peer is not None:
                peer.stop()


def test_a_connection_that_was_open_when_its_gate_was_revoked_says_and_hears_nothing(
    office: Office, broker: MtlsBroker
) -> None:
    path = a_certificate(office, "north", office.folder)
    central = TlsPeer(broker, the_ca(office), a_certificate(office, "central", office.folder), "central")
    north = TlsPeer(broker, the_ca(office), path, "north")
    south = TlsPeer(broker, the_ca(office), a_certificate(office, "south", office.folder), "south")
    try:
        central.hear("gatectl/v1/#")
        for peer in (north, south):
            peer.hear("gatectl/v1/wl/danzao/head")
        _known(office, path)
        with office.engine.begin() as conn:
            identities.revoke(conn, "anna", "north", "stolen")
        office.write_files()
        broker.reload()
        north.say_if_it_can("gatectl/v1/g/north/ev", b"from the revoked one")
        central.say("gatectl/v1/wl/danzao/head", b"the list")
        assert south.heard.get(timeout=DEADLINE_S) == ("gatectl/v1/wl/danzao/head", b"the list")
        south.say("gatectl/v1/g/south/ev", b"after it")
        heard = [central.heard.get(timeout=DEADLINE_S) for _ in range(2)]
        assert heard == [("gatectl/v1/wl/danzao/head", b"the list"), ("gatectl/v1/g/south/ev", b"after it")]
        assert north.heard.empty()
    finally:
        for peer in (central, north, south):
            peer.stop()


def test_two_with_one_identity_throw_out_each_other(office: Office, broker: MtlsBroker) -> None:
    path = a_certificate(office, "north", office.folder)
    central = TlsPeer(broker, the_ca(office), a_certificate(office, "central", office.folder), "central")
    central.hear("gatectl/v1/g/+/hb")
    first = TlsPeer(broker, the_ca(office), path, "north")
    second = TlsPeer(broker, the_ca(office), path, "another-client-id")
    try:
        assert second.is_in
        assert first.ended.get(timeout=DEADLINE_S)
        assert central.heard.get(timeout=DEADLINE_S) == ("gatectl/v1/g/north/hb", b"lost")
        assert second.ended.empty()
    finally:
        for peer in (central, first, second):
            peer.stop()


def _known(office: Office, path: Path) -> None:
    """Enter a certificate as if it had been issued by enrolment."""
    issued = certificates.read_certificate(path.read_bytes())
    with office.engine.begin() as conn:
        conn.execute(
            tables.certificates.insert().values(
                serial=certificates.serial_of(issued),
                gate_id=certificates.name_of(issued),
                key_sha256="0" * 64,
                fingerprint="0" * 64,
                certificate="",
                state="valid",
                issued_at=0,
                expires_at=int(issued.not_valid_after_utc.timestamp() * 1000),
            )
        )
        assert conn.execute(select(tables.certificates.c.serial)).first() is not None
