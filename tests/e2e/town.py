"""A small seeded town for the console's tests: two sites, three gates, a morning of events."""

import io
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import Image, ImageDraw
from sqlalchemy import Connection, insert

from gatectl.central import residents, staff, tables
from gatectl.central.event_columns import columns
from gatectl.core.model import (
    AccessEvent,
    CharVote,
    ClockTrust,
    CredentialKey,
    Direction,
    EventKind,
    GateId,
    LaneId,
    LaneMoment,
    PlateColour,
    PlateRead,
    RuleStep,
    Verdict,
)
from gatectl.core.reasons import Reason
from gatectl.wire.events import GENESIS, event_fields, event_row, event_text
from gatectl.wire.messages import Heartbeat, LaneBeat, ListStand

LOGIN, PASSWORD = "wang.li", "correct horse battery"
SITES = (("jinshazhou", "金沙洲花园", "Jinshazhou Garden"), ("qiaonan", "桥南新村", "Qiaonan Village"))
GATES = (
    (
        "jsz-south",
        "jinshazhou",
        "南门",
        "South gate",
        (("jsz-south-in", "vehicle", "in"), ("jsz-south-out", "vehicle", "out")),
    ),
    ("jsz-east", "jinshazhou", "东门人行", "East door", (("jsz-east-walk", "pedestrian", "in"),)),
    ("qn-main", "qiaonan", "正门", "Main gate", (("qn-main-in", "vehicle", "in"),)),
)
LANE_NAMES = {
    ("vehicle", "in"): ("入口车道", "Entry lane"),
    ("vehicle", "out"): ("出口车道", "Exit lane"),
    ("pedestrian", "in"): ("人行通道", "Walkway"),
}
PEOPLE = (
    ("陈志强", "13800138012", "3", "2", "501", "粤E12345", "0A1B2C3D4E"),
    ("李秀英", "13902804567", "1", "1", "302", "粤ED12345", "0A1B2C3D4F"),
    ("欧阳小明", "13715551234", "5", "", "1203", "粤A8K6M2", "0A1B2C3D50"),
)


@dataclass(frozen=True, slots=True)
class Town:
    """What a test needs to know of the seed."""

    granted_event: str
    held_event: str
    household: str
    card_id: str
    token: str
    """The session of the signed-in manager account `LOGIN`."""


def picture(text: str) -> bytes:
    """A small JPEG; the console only shows it."""
    image = Image.new("RGB", (480, 270), (58, 66, 74))
    draw = ImageDraw.Draw(image)
    draw.rectangle((120, 60, 360, 200), fill=(150, 160, 170))
    draw.rectangle((170, 150, 310, 185), fill=(28, 79, 180))
    draw.text((185, 160), text.encode("ascii", "ignore").decode(), fill="white")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


class Log:
    """Writes events into central's tables as ingest would: chained, with columns for the filters."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.heads: dict[str, tuple[int, str]] = {}
        self.made = 0

    def add(self, event: AccessEvent, *, site: str, household: str = "", person: str = "") -> str:
        """One event, at the end of its gate's chain."""
        seq, previous = self.heads.get(event.gate, (0, GENESIS))
        row = event_row("e1", seq + 1, previous, event_text(event, "5a" * 16))
        self.heads[event.gate] = (seq + 1, row.hash)
        values = columns(event_fields(row.body, row.personal))
        self.conn.execute(
            insert(tables.events).values(
                **values,
                **row.model_dump(exclude={"v"}),
                gate_id=event.gate,
                site_id=site,
                person=person,
                received_at=values["at"] + 84,
            )
        )
        return event.id

    def access(
        self,
        at: datetime,
        gate: str,
        lane: str,
        reason: Reason,
        verdict: Verdict,
        *,
        site: str,
        direction: Direction = Direction.IN,
        plate: PlateRead | None = None,
        card: str = "",
        household: str = "",
        person: str = "",
    ) -> str:
        """One attempt with its trace."""
        self.made += 1
        is_granted = verdict is Verdict.GRANTED
        event = AccessEvent(
            id=f"ev{self.made:06d}",
            kind=EventKind.ACCESS,
            gate=GateId(gate),
            lane=LaneId(lane),
            at=at,
            boot_id="b1",
            mono_ns=self.made * 1_000_000,
            clock=ClockTrust.SYNCED,
            reason=reason,
            verdict=verdict,
            direction=direction,
            credential=CredentialKey(f"plate:{plate.text}" if plate else f"em:{card}"),
            household=household,
            plate=plate,
            trace=(
                RuleStep("vehicle_present", "true", "pass"),
                RuleStep("registered", plate.text if plate else card, "pass" if is_granted else "fail"),
                RuleStep("schedule", "always", "pass" if is_granted else "skip"),
            ),
            revision=("e1", 7),
            reader="cam-1" if plate else "reader-1",
        )
        return self.add(event, site=site, household=household, person=person)


def read_of(text: str, *, weak: bool = False, sha256: str = "") -> PlateRead:
    """A voted plate; a weak one has a contested character."""
    chars = tuple(CharVote(((char, 0.998), ("—", 0.002))) for char in text[:-1])
    last = CharVote(((text[-1], 0.62), ("8", 0.3), ("3", 0.08))) if weak else CharVote(((text[-1], 0.991),))
    colour = PlateColour.GREEN if len(text) == 8 else PlateColour.BLUE
    candidates = ((text, 0.62), (text[:-1] + "8", 0.3)) if weak else ((text, 0.99),)
    return PlateRead(text, 0.62 if weak else 0.99, colour, 9, (*chars, last), candidates, sha256)


def _gates(conn: Connection, at_ms: int) -> None:
    for site_id, zh, en in SITES:
        conn.execute(insert(tables.sites).values(id=site_id, name_zh=zh, name_en=en))
        conn.execute(
            insert(tables.list_heads).values(
                site_id=site_id, epoch="e1", ver=7, n=6, set_hash="a" * 64, issued_at=at_ms - 90_000
            )
        )
    for gate_id, site_id, zh, en, lanes in GATES:
        is_online = gate_id != "qn-main"
        beat = Heartbeat(
            gate=gate_id,
            online=is_online,
            clock=ClockTrust.SYNCED,
            list=ListStand(epoch="e1", ver=7, n=6, set_hash="a" * 64),
            outbox_depth=0,
            lanes=tuple(
                LaneBeat(
                    lane=lane, kind=kind, arm="down", is_present=lane == "jsz-south-in", is_held=lane == "jsz-south-in"
                )
                for lane, kind, _direction in lanes
            ),
        )
        conn.execute(
            insert(tables.gates).values(
                id=gate_id,
                site_id=site_id,
                name_zh=zh,
                name_en=en,
                is_online=is_online,
                seen_at=at_ms,
                offline_since=None if is_online else at_ms - 12 * 60_000,
                beat=beat.model_dump_json(),
                list_epoch="e1",
                list_ver=7 if is_online else 6,
                list_hash="a" * 64,
                list_status="ok",
                list_applied_at=at_ms - 89_000,
            )
        )
        for lane, kind, direction in lanes:
            lane_zh, lane_en = LANE_NAMES[kind, direction]
            conn.execute(
                insert(tables.lanes).values(
                    id=lane, gate_id=gate_id, kind=kind, direction=direction, name_zh=lane_zh, name_en=lane_en
                )
            )


def seed(conn: Connection, now: datetime | None = None) -> Town:
    """Fill an empty database; the newest event is seconds old."""
    now = now or datetime.now(UTC)
    at_ms = int(now.timestamp() * 1000)
    _gates(conn, at_ms)
    homes: list[str] = []
    cards: list[str] = []
    for name, phone, building, unit, room, plate, card in PEOPLE:
        home = residents.add_household(conn, "seed", "jinshazhou", building, unit, room)
        person = residents.add_person(conn, "seed", home, name, phone, "owner")
        cards.append(residents.issue_card(conn, "seed", person, card))
        residents.add_vehicle(conn, "seed", home, plate)
        homes.append(home)
    conn.execute(tables.list_dirty.delete())
    shot = picture("E12345")
    conn.execute(insert(tables.pictures).values(sha256="b" * 64, gate_id="jsz-south", bytes=shot, received_at=at_ms))
    log, rng = Log(conn), random.Random(7)
    granted = ""
    for minutes in range(360, 0, -4):
        at = now - timedelta(minutes=minutes, seconds=rng.randrange(50))
        index = rng.randrange(3)
        name, _phone, _b, _u, _r, plate, card = PEOPLE[index]
        mine: dict[str, Any] = {"household": homes[index], "person": name}
        if minutes % 3 == 0:
            log.access(
                at, "jsz-east", "jsz-east-walk", Reason.CARD_OK, Verdict.GRANTED, site="jinshazhou", card=card, **mine
            )
        elif minutes % 5 == 0:
            read = read_of(plate)
            log.access(
                at,
                "jsz-south",
                "jsz-south-out",
                Reason.EXIT_FREE,
                Verdict.GRANTED,
                site="jinshazhou",
                direction=Direction.OUT,
                plate=read,
                **mine,
            )
        elif minutes % 13 == 0:
            log.access(
                at, "qn-main", "qn-main-in", Reason.CARD_UNKNOWN, Verdict.DENIED, site="qiaonan", card="00DEADBEEF"
            )
        else:
            log.access(
                at,
                "jsz-south",
                "jsz-south-in",
                Reason.PLATE_OK,
                Verdict.GRANTED,
                site="jinshazhou",
                plate=read_of(plate),
                **mine,
            )
    at = now - timedelta(seconds=40)
    granted = log.access(
        at,
        "jsz-south",
        "jsz-south-in",
        Reason.PLATE_OK,
        Verdict.GRANTED,
        site="jinshazhou",
        plate=read_of("粤E12345", sha256="b" * 64),
        household=homes[0],
        person=PEOPLE[0][0],
    )
    log.add(_passage(now - timedelta(seconds=31), granted), site="jinshazhou")
    log.access(
        now - timedelta(seconds=25),
        "jsz-east",
        "jsz-east-walk",
        Reason.CARD_LOST,
        Verdict.DENIED,
        site="jinshazhou",
        card="0A1B2C3D51",
    )
    held = log.access(
        now - timedelta(seconds=6),
        "jsz-south",
        "jsz-south-in",
        Reason.PLATE_LOW_CONF,
        Verdict.HELD,
        site="jinshazhou",
        plate=read_of("粤E7B51Z", weak=True, sha256="b" * 64),
    )
    staff.add_staff(conn, "seed", LOGIN, PASSWORD, role="admin", name="王丽")
    token = staff.sign_in(conn, LOGIN, PASSWORD)
    assert token is not None
    return Town(granted, held, homes[0], cards[0], token)


def _passage(at: datetime, ref: str) -> AccessEvent:
    return AccessEvent(
        id=f"pass-{ref}",
        kind=EventKind.PASSAGE,
        gate=GateId("jsz-south"),
        lane=LaneId("jsz-south-in"),
        at=at,
        boot_id="b1",
        mono_ns=1,
        clock=ClockTrust.SYNCED,
        reason=Reason.PASSED,
        direction=Direction.IN,
        lane_trace=(
            LaneMoment("attempt", 0),
            LaneMoment("open_ordered", 31),
            LaneMoment("arm_up", 870),
            LaneMoment("safety_occupied", 2410),
            LaneMoment("safety_clear", 5120),
            LaneMoment("arm_down", 8230),
        ),
        ref=ref,
    )
