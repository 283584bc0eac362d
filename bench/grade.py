"""How long a course takes: thirty submissions, graded with what they share built before.

    .venv/bin/python bench/grade.py [--jobs N]

Half of it is right or nearly so, the rest has known faults or is hostile; see tests/handed_in.py.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests import handed_in
from tests.programs import run_inv


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default="2")
    jobs: str = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="pibed-") as name:
        handed = Path(name) / "handed-in"
        handed.mkdir()
        # A build that never ends takes as long as it may, whatever else there is.
        every = [each for each in handed_in.THIRTY if "not graded" not in each.status][:30]
        for each in every:
            each.make(handed)
        options = ["--results", str(Path(name) / "results"), "--jobs", jobs]
        # What all share is built before the clock is started.
        run_inv("grade", str(handed), *options, "--only", "binary", timeout=1800)
        start = time.monotonic()
        done = run_inv("grade", str(handed), *options, timeout=7200)
        took = time.monotonic() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout)
    print(
        f"{len(every)} submissions, {jobs} jobs: {took:.0f} s, "
        f"{used.ru_utime + used.ru_stime:.0f} s of processor time"
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
