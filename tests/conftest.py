"""Tiers, phases and skips of all tests, see docs/tests.md."""

from __future__ import annotations

import datetime
import os
import signal
from collections.abc import Generator
from types import FrameType

import pytest

from tests import excuses

TIERS = ("everyday", "full")

# A test of the full tier may well make kernels first, or build all of Buildroot.
_FULL_S = 2 * 60 * 60


def pytest_configure(config: pytest.Config) -> None:
    # In the environment, so that all processes of a run have the same.
    os.environ.setdefault("PIBED_SEED", str(datetime.datetime.now(datetime.UTC).date().toordinal()))
    # Under nohup, or in the background of a script, these are ignored, and programs that are
    # started inherit that; a handler they do not.
    for signum in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, _ignore)


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Does nothing."""


def pytest_report_header(config: pytest.Config) -> str:
    return f"moments of kills: PIBED_SEED={os.environ['PIBED_SEED']}"


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tiers = [tier for tier in TIERS if item.get_closest_marker(tier)]
        if len(tiers) > 1:
            raise pytest.UsageError(f"{item.nodeid} is of two tiers: {' and '.join(tiers)}")
        if not tiers:
            item.add_marker("everyday")
        elif tiers == ["full"] and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_FULL_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, pytest.skip.Exception):
        reason = str(call.excinfo.value.msg)
        if not excuses.holds(reason):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped, though this should not be so: {reason}"
    return report
