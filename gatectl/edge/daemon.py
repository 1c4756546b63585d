"""The composition root of a gate: settings become objects, objects become threads, SIGTERM ends them."""

import argparse
import fcntl
import gc
import json
import os
import secrets
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import IO

from gatectl import __version__
from gatectl.core.model import ClockTrust, EventKind, GateId, Lane, LaneId, WhitelistView
from gatectl.core.reasons import Reason
from gatectl.drivers.registry import DeviceSet, build_devices
from gatectl.edge.clock import SystemClock
from gatectl.edge.commands import CommandJudge
from gatectl.edge.controller import Controller, Hands
from gatectl.edge.enrol import Renewer
from gatectl.edge.events import EventMaker
from gatectl.edge.health import LOW_DISK_BYTES, Beat, Health, free_bytes
from gatectl.edge.ids import boot_id, new_id
from gatectl.edge.keys import KeyRing, root_keys, site_keys
from gatectl.edge.lanes import lane_of
from gatectl.edge.lpr_parent import LprParent
from gatectl.edge.replica_store import ReplicaStore
from gatectl.edge.shelf import PictureShelf
from gatectl.edge.store import EventStore
from gatectl.edge.sync import Sync
from gatectl.edge.uplink import Uplink
from gatectl.errors import ConfigError, GatectlError
from gatectl.key_files import load_or_make_key
from gatectl.logs import configure_logs, get_logger
from gatectl.settings import EdgeSettings, load_settings
from gatectl.wire.events import sign_head
from gatectl.wire.messages import Heartbeat, ListStand, SignedHead

_LOOP_S = 0.5
_DISK_EACH_S = 60.0
_HEAD_EACH_S = 600.0
_SWITCH_S = 0.0005
"""A card does not wait 5 ms, Python's default, for a thread that packs a backlog."""
_STORE_WAIT_S = 2.0
_DEVICE_WAIT_S = 3.0

_log = get_logger(__name__)


def lock_data_dir(data_dir: Path) -> IO[str] | None:
    """Hold the data directory for one daemon; None when the disk takes no file. Raises ConfigError when held."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = (data_dir / "lock").open("a")
    except OSError as error:
        _log.error("data_dir.no_lock", path=str(data_dir), words=error.strerror)
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise ConfigError(f"data_dir: {data_dir} is in use by another edge daemon") from error
    return handle


class Daemon:
    """Everything of one gate, wired."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings
        keys = KeyRing(site_keys(settings))
        roots = root_keys(settings)
        self._lock = lock_data_dir(settings.data_dir)
        self.clock = SystemClock()
        self.maker = EventMaker(GateId(settings.gate), boot_id(), self.clock, new_id)
        self.store = EventStore(settings.data_dir / "edge.db")
        self.shelf = PictureShelf(settings.data_dir / "pictures", settings.gate)
        lanes = tuple(lane_of(settings, lane.id) for lane in settings.lanes)
        judge = CommandJudge(self.maker.gate, frozenset(lane.id for lane in lanes), keys, self.clock)
        self.uplink = Uplink(
            settings.broker,
            settings.site,
            self.maker,
            judge,
            keys,
            self.store,
            self.clock,
            self.shelf,
            settings.heartbeat_s,
        )
        replica = ReplicaStore(settings.data_dir / "acl.db")
        self.sync = Sync(settings.site, replica, keys, self.maker, self.store, self.clock, roots)
        self.devices: DeviceSet = build_devices(settings, self.clock)
        self._cameras: dict[LaneId, LprParent] = {}
        self.controller = self._make_controller(lanes)
        for camera in settings.cameras:
            self._cameras[LaneId(camera.lane)] = LprParent(
                camera.name,
                LaneId(camera.lane),
                camera.source,
                camera.max_fps,
                self.controller.put,
                self.shelf,
                self.clock,
            )
        self.renewer = Renewer(settings, keys, self.clock.now, lambda: self.clock.trust() is not ClockTrust.UNTRUSTED)
        self.health = Health(self._beats())
        self._stopping = threading.Event()
        self._was_clean = True
        self._instance = secrets.token_hex(16)
        self._is_disk_low = False
        self._next_disk_s = 0.0
        self._journal_key = load_or_make_key(settings.data_dir / "journal_key.pem")
        self._head: SignedHead | None = None
        self._next_head_s = 0.0
        self._wire()

    def _make_controller(self, lanes: tuple[Lane, ...]) -> Controller:
        settings = self._settings
        kinds = {device.name: Reason.BRIDGE_FAIL for device in settings.devices}
        kinds |= {reader.name: Reason.READER_FAIL for reader in settings.readers}
        kinds |= {camera.name: Reason.CAMERA_FAIL for camera in settings.cameras}
        hands = Hands(self.devices.barriers, self.devices.indicator, self._read_plate, self.uplink.answer)
        self.store.start()
        self.store.wait_ready(_STORE_WAIT_S)
        self.clock.note_past(int(self.store.meta("last_wall_s") or 0))
        return Controller(
            lanes,
            {reader.name: LaneId(reader.lane) for reader in settings.readers},
            kinds,
            hands,
            self.store,
            self.maker,
            self.clock,
            self.sync.load(),
        )

    def _wire(self) -> None:
        """Join the parts that know each other only by a function."""
        self.controller.is_offline = self.uplink.is_offline
        self.controller.is_link_up = self.uplink.is_link_up
        self.controller.floor_s = self.clock.floor_s
        self.uplink.list_client = self.sync
        self.uplink.place_order = self.controller.put
        self.uplink.make_heartbeat = self._heartbeat
        self.sync.publish = lambda leaf, payload, is_retained: self.uplink.publish(
            leaf, payload, is_retained=is_retained
        )
        self.sync.follow = lambda is_wanted: self.uplink.follow_snapshot(is_wanted=is_wanted)
        self.sync.swap = self._swap
        self.store.on_commit = self.uplink.wake
        self.store.on_recovered = self._recorded_again
        self.store.make_gap = self.maker.gap
        self.store.is_time_known = lambda: self.clock.trust() is ClockTrust.SYNCED

    def _swap(self, view: WhitelistView) -> None:
        self.controller.view = view

    def _recorded_again(self, words: str) -> None:
        self.store.submit(self.maker.system(Reason.RECOVERED, words))

    def _read_plate(self, lane: LaneId) -> None:
        camera = self._cameras.get(lane)
        if camera is not None:
            camera.read()

    def _beats(self) -> dict[str, Beat]:
        """Limits: the controller's is a car's patience; the disk and the network may be slow without being hung."""
        beats = {
            "controller": Beat(self.controller.beat_ns, 5.0),
            "store": Beat(self.store.beat_ns, 60.0),
            "uplink": Beat(self.uplink.beat_ns, 30.0),
            "sync": Beat(self.sync.beat_ns, 60.0),
            "renewer": Beat(self.renewer.beat_ns, 300.0),
        }
        for device in self.devices.devices:
            beats[device.name] = Beat(device.beat_ns, 15.0)
        for camera in self._cameras.values():
            beats[camera.name] = Beat(camera.beat_ns, 15.0)
        return beats

    def _heartbeat(self, challenge: str) -> Heartbeat:
        stand = self.store.stand() if self.store.wait_ready(0) else None
        oldest_s = stand.oldest_s if stand is not None else None
        alarms = [*self.controller.bad_devices()]
        if self.store.alarm:
            alarms.append(f"cannot record: {self.store.alarm}")
        if self._is_disk_low:
            alarms.append("the disk is nearly full")
        if self.renewer.alarm:
            alarms.append(self.renewer.alarm)
        if self.uplink.counters["taken_over"]:
            alarms.append("another with this gate's identity took over its connection")
        if self.sync.alarm:
            alarms.append(self.sync.alarm)
        counters = {
            **self.controller.counters,
            **self.controller.tap_to_relay.counters(),
            **self.controller.plate_to_relay.counters(),
            **self.uplink.counters,
            **self.sync.counters,
            "events_waiting": self.store.waiting(),
            "events_not_kept": self.store.refused,
            "pictures_lost": self.shelf.lost,
        }
        for camera in self._cameras.values():
            for name, value in camera.counters.items():
                counters[name] = counters.get(name, 0) + value
        held = self.sync.stand
        return Heartbeat(
            gate=self._settings.gate,
            online=True,
            at=self.clock.now(),
            boot_id=self.maker.boot_id,
            instance=self._instance,
            certificate=self.uplink.tls.serial if self.uplink.tls is not None else "",
            challenge=challenge,
            version=__version__,
            clock=self.clock.trust(),
            list=ListStand(epoch=held.epoch, ver=held.ver, n=held.n, set_hash=held.set_hash),
            head=self._signed_head(),
            outbox_depth=(stand.depth if stand is not None else 0) + self.store.waiting(),
            outbox_oldest_at=datetime.fromtimestamp(oldest_s, UTC) if oldest_s is not None else None,
            lanes=self.controller.lane_beats(),
            alarms=tuple(alarms),
            counters=counters,
        )

    def _signed_head(self) -> SignedHead | None:
        """Where the chain stands, signed anew every ten minutes when it has grown."""
        seq, own = self.store.head()
        if not self.store.wait_ready(0) or seq == 0:
            return None
        is_due = monotonic() >= self._next_head_s
        if self._head is None or (is_due and self._head.seq != seq):
            self._head = sign_head(self._settings.gate, self.store.epoch, seq, own, self._journal_key)
            self._next_head_s = monotonic() + _HEAD_EACH_S
        return self._head

    # --- life ---

    def start(self) -> None:
        """Serve: controller first, then what feeds it."""
        self._was_clean = self.store.meta("is_running") != "1"
        self.store.set_meta("is_running", "1")
        words = f"gatectl {__version__}" + ("" if self._was_clean else ", after an unclean stop")
        self.controller.start()
        for device in self.devices.devices:
            device.start(self.controller.put)
        for camera in self._cameras.values():
            camera.start()
        self.sync.start()
        self.uplink.start()
        self.renewer.start()
        self.store.submit(self.maker.system(Reason.STARTED, words))
        self._await_devices()
        gc.collect()
        sys.setswitchinterval(_SWITCH_S)
        gc.freeze()  # what lives as long as the daemon is not looked through again in the middle of a decision
        self._write_ready()
        self.health.notify("READY=1")
        _log.info(
            "edge.ready",
            gate=self._settings.gate,
            lanes=[lane.id for lane in self._settings.lanes],
            list_ver=self.sync.stand.ver,
            grants=len(self.controller.view.grants),
        )

    def _await_devices(self) -> None:
        """Give bridges and readers a moment, so that "ready" means that a card opens; a missing one delays nobody."""
        deadline_s = monotonic() + _DEVICE_WAIT_S
        names = {device.name for device in self.devices.devices}
        while monotonic() < deadline_s and not all(self.controller.is_up(name) for name in names):
            if self._stopping.wait(0.02):
                return

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Returns the exit status: 1 when the controller died."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        self.start()
        status = 0
        while not self._stopping.wait(_LOOP_S):
            self.health.feed_watchdog()
            self._look_at_disk()
            if not self.controller.is_running():
                _log.critical("controller.died")
                status = 1
                break
        self.health.notify("STOPPING=1")
        self.stop()
        return status

    def stop(self) -> None:
        """Stop everything within 3 s; what is decided is written first."""
        ready = self._settings.data_dir / "ready"
        ready.unlink(missing_ok=True)
        closers = [threading.Thread(target=device.stop, daemon=True) for device in self.devices.devices]
        closers += [threading.Thread(target=camera.stop, daemon=True) for camera in self._cameras.values()]
        for closer in closers:
            closer.start()
        self.controller.stop()
        self.store.set_meta("is_running", "0")
        self.store.stop(1.5)
        self.uplink.stop()
        self.renewer.stop()
        self.sync.stop()
        for closer in closers:
            closer.join(0.5)
        _log.info("edge.stopped", gate=self._settings.gate)

    def _look_at_disk(self) -> None:
        if monotonic() < self._next_disk_s:
            return
        self._next_disk_s = monotonic() + _DISK_EACH_S
        if self.clock.trust() is not ClockTrust.UNTRUSTED:
            now_s = int(self.clock.now().timestamp())
            self.clock.note_past(now_s)
            self.store.set_meta("last_wall_s", str(now_s))
        free = free_bytes(self._settings.data_dir)
        is_low = free is not None and free < LOW_DISK_BYTES
        if is_low and not self._is_disk_low:
            note = f"{(free or 0) // (1024 * 1024)} MB left in {self._settings.data_dir}"
            self.store.submit(self.maker.make(EventKind.ALARM, Reason.DISK_LOW, note=note))
        self._is_disk_low = is_low

    def _write_ready(self) -> None:
        text = json.dumps({"pid": os.getpid(), "lanes": [lane.id for lane in self._settings.lanes]})
        path = self._settings.data_dir / "ready"
        part = path.with_name("ready.part")
        try:
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            _log.warning("ready.not_written", words=error.strerror)


def run(config: Path, *, is_verbose: bool = False, as_json: bool = False) -> int:
    """Serve the gate of one config file until a signal. Raises ConfigError."""
    settings = load_settings(EdgeSettings, config)
    configure_logs(is_verbose=is_verbose, as_json=as_json)
    return Daemon(settings).run()


def main(arguments: list[str] | None = None) -> int:
    """`python -m gatectl.edge.daemon --config FILE`: the daemon without the command line's libraries."""
    parser = argparse.ArgumentParser(prog="gatectl edge run")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--json-logs", action="store_true")
    options = parser.parse_args(arguments)
    try:
        return run(options.config, is_verbose=options.verbose, as_json=options.json_logs)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except GatectlError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
