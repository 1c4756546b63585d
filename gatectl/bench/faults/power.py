"""`power`: the gate's power is cut at random moments; what its disk was not told to sync is forgotten or torn."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from gatectl.bench.faults.rig import EDGE, Rig, Run, until
from gatectl.errors import LinkError

SERVES_WITHIN_S = 10.0


def power(run: Run, *, is_synced: bool = True) -> dict[str, Any]:
    """Cut, boot, compare: no event that the lane was opened for may be gone, and the gate serves at once.

    `is_synced` False tries a gate whose databases are never synced.
    """
    if not Path("/dev/fuse").exists():
        return {"runs": 0, "ok": True, "not_tried": "needs /dev/fuse"}
    cuts = run.times(10, 100)
    slow, worst_s = 0, 0.0
    run.folder.mkdir(parents=True, exist_ok=True)
    command = EDGE if is_synced else ("-m", "gatectl.bench.faults.edge_without_sync")
    with _disk(run) as mount, Rig(run.folder / "power", data=mount / "data", edge_command=command) as rig:
        rig.start()
        rig.kill("ingest")  # what central has already cannot be lost: the disk alone must keep it
        rig.start_traffic(run.rng, 0.03, 0.2)
        for number in range(cuts):
            before = rig.taps
            until(lambda count=before: rig.taps > count, "a tap")  # type: ignore[misc]
            sleep(run.rng.uniform(0, 0.4))
            rig.kill("edge")
            (mount / run.rng.choice((".cut", ".forget"))).read_bytes()
            serves_s = rig.start_edge()
            worst_s = max(worst_s, serves_s)
            slow += serves_s > SERVES_WITHIN_S
            run.say(f"power {number + 1}/{cuts}: serves after {serves_s:.1f} s")
        rig.stop_traffic()
        rig.start_again("ingest")
        rig.settle(120.0 if is_synced else 10.0)
        ledger = rig.ledger()
        rig.kill("edge")
    is_ok = ledger.is_ok and ledger.epochs == 1 and not slow
    return {"runs": cuts, **ledger.figures(), "worst_boot_s": round(worst_s, 2), "slow_boots": slow, "ok": is_ok}


@contextmanager
def _disk(run: Run) -> Iterator[Path]:
    """The forgetful disk, mounted."""
    mount = run.folder / "disk"
    mount.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "gatectl.bench.faults.forgetful_fs", str(mount), str(run.rng.randrange(2**31))]
    with (run.folder / "disk.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: _is_mounted(process, mount), "the forgetful disk", 20)
        yield mount
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(mount)], check=False, capture_output=True)
        subprocess.run(["umount", "-l", str(mount)], check=False, capture_output=True)
        process.terminate()
        process.wait()


def _is_mounted(process: subprocess.Popen[bytes], mount: Path) -> bool:
    if process.poll() is not None:
        raise LinkError("the forgetful disk could not be mounted")
    return mount.is_mount()
