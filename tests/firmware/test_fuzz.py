"""What the fuzzer once found interesting still holds, and a few seconds of new inputs too."""

import re
import subprocess

from firmware_board import BUILD, FIRMWARE, make, require

RUNS = 2000


def test_every_kept_input_and_some_new_ones_break_no_rule() -> None:
    require("fuzz")
    make(str(BUILD / "fuzz_link"))
    corpus = FIRMWARE / "fuzz" / "corpus"
    kept = len(list(corpus.iterdir()))
    scratch = BUILD / "fuzzed"
    scratch.mkdir(exist_ok=True)  # new inputs go here, not among those that are kept
    done = subprocess.run(
        [str(BUILD / "fuzz_link"), f"-runs={kept + RUNS}", "-max_len=256", "-seed=1", str(scratch), str(corpus)],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
        cwd=BUILD,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ran = re.search(r"Done (\d+) runs", done.stderr)
    assert ran is not None
    assert int(ran[1]) >= kept > 300
