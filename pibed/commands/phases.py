"""pibed's own tests, run by pytest in two phases, and what came of both together.

First run, side by side, the tests that mind no company; then, one after the other, those with the
mark `alone`, in which time counts. A test is of one tier: `everyday`, or `full` where only a run of
everything has it.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pibed.base import places
from pibed.base.errors import ChecksFailed
from pibed.build.making import cores
from pibed.commands.transcript import Transcript

_UNIT, _LIVE = "tests/unit", "tests/live"
# Of pytest: all passed, some did not, nothing was selected. Any other: it could not do its work.
_AT_WORK = (0, 1, 5)


@dataclass
class Totals:
    """What became of the tests, by their names as pytest takes them."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """By the reason."""

    @property
    def counts(self) -> str:
        """In pytest's words: 1 failed, 12 passed, 3 skipped."""
        numbers = {
            "failed": len(self.failed),
            "passed": self.passed,
            "skipped": sum(map(len, self.skipped.values())),
        }
        return ", ".join(f"{number} {what}" for what, number in numbers.items() if number)

    def add(self, report: Path) -> None:
        """Counts the tests of a JUnit file; one that fails in its clean-up has not passed."""
        outcomes: dict[str, tuple[str, str]] = {}
        for case in ET.parse(report).iter("testcase"):
            name = f"{case.get('file')}::{case.get('name')}"
            if case.find("failure") is not None or case.find("error") is not None:
                outcomes[name] = ("failed", "")
            elif (skip := case.find("skipped")) is not None:
                outcomes.setdefault(name, ("skipped", str(skip.get("message"))))
            else:
                outcomes.setdefault(name, ("passed", ""))
        for name, (outcome, reason) in outcomes.items():
            if outcome == "failed":
                self.failed.append(name)
            elif outcome == "skipped":
                self.skipped.setdefault(reason, []).append(name)
            else:
                self.passed += 1


def run(transcript: Transcript, *, full: bool, live: bool) -> Totals:
    """Runs the tests of a tier, without the live ones or with them; prints how each phase goes.

    Raises ChecksFailed if pytest cannot do its work, because a test cannot be imported, say.
    """
    tests = [_UNIT, *([_LIVE] if live else [])]
    tier = "" if full else "everyday and "
    totals = Totals()
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    with tempfile.TemporaryDirectory(prefix="pibed-") as folder:
        for title, marks, workers in (
            ("side by side", f"{tier}not alone", ("-n", str(cores()))),
            ("alone", f"{tier}alone", ()),
        ):
            transcript.say(f"test: pytest, {title}")
            report = Path(folder) / f"{title}.xml"
            options = ["-m", marks, "-o", "junit_family=xunit1", f"--junitxml={report}", *workers]
            ended = transcript.run([*_pytest(tests), *options, *colour], places.checkout())
            before = len(totals.failed)
            if ended.status in _AT_WORK:
                totals.add(report)
            if ended.status not in _AT_WORK or (ended.status == 1 and len(totals.failed) == before):
                raise ChecksFailed(
                    f"pytest ended with status {ended.status}", log=transcript.path, fix="see there"
                )
    return totals


def left_out(*, full: bool, live: bool) -> list[str]:
    """The live tests that `run` leaves out, by their names; raises ChecksFailed as `run` does."""
    if full and live:
        return []
    done = subprocess.run(
        [*_pytest([_LIVE]), "--collect-only", "-q", *(["-m", "full"] if live else [])],
        cwd=places.checkout(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in _AT_WORK:
        raise ChecksFailed(
            "pytest cannot list the live tests", context=done.stdout.splitlines()[-10:]
        )
    return [line for line in done.stdout.splitlines() if "::" in line]


def summary(totals: Totals, omitted: Sequence[str], seconds: float, *, live: bool) -> list[str]:
    """The lines that end a run: what failed, was skipped and why, was left out, and the counts."""
    lines = [f"failed: {name}" for name in totals.failed]
    for reason, names in totals.skipped.items():
        lines.append(f"skipped: {_number(names, 'test')}: {reason}: {_by_function(names)}")
    if omitted:
        what = "of the full tier (./inv test --full)" if live else "(./inv test)"
        number = _number(omitted, "live test")
        lines.append(f"left out: {number} {what}: {_by_function(omitted)}")
        if not os.environ.get("PIBED_BUILDROOT"):
            lines.append(
                "  those of the builder buildroot are only run where PIBED_BUILDROOT names a clone "
                "of Buildroot, see docs/builders.md"
            )
    took = datetime.timedelta(seconds=round(seconds))
    return [*lines, f" {totals.counts} in {seconds:.2f}s ({took}) ".center(80, "=")]


def _pytest(tests: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *tests]


def _number(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


def _by_function(names: Iterable[str]) -> str:
    """Tests without their parameters, with how many there are of each."""
    counted = Counter(name.partition("[")[0].rpartition("/")[2] for name in names)
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counted.items())
