"""OSDP readers against libosdp's reader role, each in a process of its own, over a wire that somebody listens to."""

from pathlib import Path

import osdp_sys  # type: ignore[import-not-found,import-untyped,unused-ignore]
import pytest
from osdp_stand import LONG_S, W26_HEX, W26_KEY, Stand
from stand import wait_for

from gatectl.core.lane_io import Signal
from gatectl.core.model import LaneId
from gatectl.core.reasons import Reason
from gatectl.drivers.checksums import checksum
from gatectl.drivers.osdp_files import allow_install, forget_identity, is_install_asked
from gatectl.drivers.osdp_keys import SCBK_D, key_path, new_key, store_key

CARD_ON_THE_WIRE = bytes.fromhex(W26_HEX)
PDCAP = 0x46


def without_security(packet: bytes) -> bytes:
    """A man in the middle says that the reader cannot encrypt: capability 9 becomes level 0, the CRC is made good."""
    at = packet.find(b"\x53")
    if at < 0 or len(packet) < at + 8 or packet[at + 5] != PDCAP or packet[at + 4] & 0x08:
        return packet
    frame = bytearray(packet[at:])
    for entry in range(6, len(frame) - 2, 3):
        if frame[entry] == osdp_sys.CAP_COMMUNICATION_SECURITY:
            frame[entry + 1 : entry + 3] = b"\0\0"
    frame[-2:] = checksum("crc16_aug", bytes(frame[:-2])).to_bytes(2, "little")
    return packet[:at] + bytes(frame)


def test_card_and_code_arrive_under_the_matching_key_and_never_in_clear(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        reader = stand.device(stand.keys[0])
        stand.on()
        stand.wait_ok(True, "the reader came up")
        assert reader.is_secure
        stand.tap_until_read(reader, "post-1")
        reader.order("keys 2468#")
        wait_for(lambda: stand.typed == ["2468"], "the code was typed", LONG_S)
        assert stand.cards("post-1") == [W26_KEY]
        assert CARD_ON_THE_WIRE not in stand.bus.captured
        assert b"2468" not in stand.bus.captured


def test_lamp_buzzer_and_text_show_what_was_decided(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        reader = stand.device(stand.keys[0])
        stand.on()
        stand.wait_ok(True, "the reader came up")
        stand.driver.indicate(LaneId("lane-1"), Signal.GRANTED, Reason.CARD_OK)
        wait_for(lambda: bool(reader.commands(osdp_sys.CMD_TEXT)), "the text is shown", LONG_S)
        assert reader.commands(osdp_sys.CMD_LED)[-1]["on_color"] == osdp_sys.LED_COLOR_GREEN
        assert reader.commands(osdp_sys.CMD_BUZZER)[-1]["rep_count"] == 1
        stand.driver.indicate(LaneId("lane-1"), Signal.DENIED, Reason.READER_FAIL)
        wait_for(lambda: len(reader.commands(osdp_sys.CMD_TEXT)) == 2, "the refusal is shown", LONG_S)
        assert reader.commands(osdp_sys.CMD_LED)[-1]["on_color"] == osdp_sys.LED_COLOR_RED
        assert stand.ok() is True


def test_reader_with_another_key_is_never_believed(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        reader = stand.device(new_key())
        stand.on()
        stand.wait_ok(False, "the other key was noticed")
        wait_for(lambda: "gate's key" in stand.words(), f"the words say so: {stand.words()}", LONG_S)
        reader.order(f"card 26 {W26_HEX}")
        wait_for(lambda: stand.driver.counters["restarts"] >= 2, "it was tried again", LONG_S)
        assert stand.cards("post-1") == []
        assert CARD_ON_THE_WIRE not in stand.bus.captured


def test_factory_reader_gets_the_key_only_once_and_only_with_leave(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        factory = stand.device(None)
        stand.on()
        stand.wait_ok(False, "a factory reader is refused")
        assert not factory.commands(osdp_sys.CMD_KEYSET)
        allow_install(stand.folder, "post-1", 120)
        stand.wait_ok(True, "it was installed")
        assert len(factory.commands(osdp_sys.CMD_KEYSET)) == 1
        assert not is_install_asked(stand.folder, "post-1")
        stand.tap_until_read(factory, "post-1")
        assert CARD_ON_THE_WIRE not in stand.bus.captured
        factory.kill()
        stand.devices.remove(factory)
        stand.wait_ok(False, "the reader went away")
        second = stand.device(None)
        tries = stand.driver.counters["restarts"]
        wait_for(lambda: stand.driver.counters["restarts"] >= tries + 2, "the second one was tried", LONG_S)
        assert stand.ok() is False
        assert not second.commands(osdp_sys.CMD_KEYSET)


def test_cards_shown_while_a_reader_waits_to_be_installed_are_refused(tmp_path: Path) -> None:
    """With leave to install libosdp itself would go on in clear with a reader that has another key."""
    with Stand(tmp_path) as stand:
        allow_install(stand.folder, "post-1", 120)
        reader = stand.device(new_key())
        stand.on()

        def is_refused() -> bool:
            reader.order(f"card 26 {W26_HEX}")
            return stand.driver.counters["refused_events"] > 0

        wait_for(is_refused, "a card in clear was refused", LONG_S)
        assert stand.cards("post-1") == []


def test_downgrade_by_a_man_in_the_middle_is_an_alarm_and_brings_no_card(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        stand.bus.rewrite = without_security
        reader = stand.device(stand.keys[0])
        stand.on()
        wait_for(lambda: "no encryption" in stand.words(), "the downgrade was told", LONG_S)
        reader.order(f"card 26 {W26_HEX}")
        wait_for(lambda: stand.driver.counters["restarts"] >= 2, "it was tried again", LONG_S)
        assert stand.cards("post-1") == []
        assert CARD_ON_THE_WIRE not in stand.bus.captured
        stand.bus.rewrite = lambda data: data
        stand.wait_ok(True, "the man left")


@pytest.mark.parametrize("key", [SCBK_D, b"\x04" * 16, bytes(range(1, 17))], ids=["scbk-d", "repeated", "counting"])
def test_weak_key_is_refused_though_reader_and_libosdp_would_take_it(tmp_path: Path, key: bytes) -> None:
    with Stand(tmp_path) as stand:
        key_path(stand.folder, "post-1").write_text(key.hex())
        reader = stand.device(key)
        stand.on()
        stand.wait_ok(False, "the key was refused")
        assert "refused" in stand.words()
        assert key.hex() not in stand.words().lower()
        assert not reader.is_secure
        assert not stand.bus.captured
        store_key(key_path(stand.folder, "post-1"), stand.keys[0])
        wait_for(lambda: bool(stand.bus.captured), "with a good key the reader is spoken to", LONG_S)


def test_another_reader_that_knows_the_key_is_an_alarm_until_somebody_accepts_it(tmp_path: Path) -> None:
    with Stand(tmp_path) as stand:
        first = stand.device(stand.keys[0], serial=7)
        stand.on()
        stand.wait_ok(True, "the reader came up")
        first.kill()
        stand.devices.remove(first)
        stand.wait_ok(False, "it went away")
        stand.device(stand.keys[0], serial=8, without="6")
        wait_for(lambda: "not the one" in stand.words(), "the exchange was told", LONG_S)
        assert "serial 0x7 became 0x8" in stand.words()
        assert "text is gone" in stand.words()
        assert forget_identity(stand.folder, "post-1")
        stand.wait_ok(True, "it is accepted")
        assert [state.is_ok for state in stand.ear.states] == [True, False, True, False, True]


def test_insecure_reader_works_in_clear_because_it_was_declared(tmp_path: Path) -> None:
    with Stand(tmp_path, is_insecure=True) as stand:
        reader = stand.device(new_key())
        stand.on()
        stand.wait_ok(True, "the reader came up")
        assert "in clear" in stand.words()
        stand.tap_until_read(reader, "post-1")
        assert CARD_ON_THE_WIRE in stand.bus.captured
