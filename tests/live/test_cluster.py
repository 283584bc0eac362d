"""Rounds on other machines give the same bytes, whatever happens to those."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pibed.commands.verify import compare_runs
from pibed.runs import manifest
from tests import disk, excuses
from tests.live import cluster
from tests.live.conftest import Run, qemus

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def plain(images: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as this machine alone measures it."""
    folder = tmp_path_factory.mktemp("plain")
    with cluster.sweep(folder, *cluster.EXPERIMENT) as sweep:
        status, errors = sweep.end()
        assert status == 0, errors
        return sweep.run


def require_same(plain: Path, run: Path) -> None:
    """All that is of the samples, and of the boots, is byte for byte the same, and none is left."""
    found, compared = compare_runs(plain, run)
    assert found == []
    assert compared == 1 + 4 * 6
    assert (run / "summary.csv").read_bytes() == (plain / "summary.csv").read_bytes()
    assert not (run / "interrupted").exists()
    facts = {"host", "jobs", "resumed"}
    assert manifest.read(run / "manifest.json").model_dump(exclude=facts) == manifest.read(
        plain / "manifest.json"
    ).model_dump(exclude=facts)


def wait_for_a_guest(timeout_s: float = 60) -> None:
    until = time.monotonic() + timeout_s
    while not qemus():
        assert time.monotonic() < until, "no guest is booted"
        time.sleep(0.02)


def kill_at_random(plain: Path, results: Path, number: int, kills: int) -> None:
    """Kills workers at other moments every day; those of PIBED_SEED, where it is given."""
    seed = os.environ["PIBED_SEED"]
    generator = random.Random(f"cluster {seed} {number}")
    with cluster.sweep(results, *cluster.EXPERIMENT, "--cluster", "local:2") as sweep:
        killed = 0
        for after in sorted(generator.sample(range(5), kills)):
            sweep.wait_for(after)
            wait_for_a_guest()
            time.sleep(generator.uniform(0, 0.9))
            if workers := cluster.workers_of(sweep.process):
                generator.choice(workers).kill()
                killed += 1
        status, errors = sweep.end()
        where = f"PIBED_SEED={seed}: {errors}"
        assert status == 0, where
        assert killed == kills, where
        require_same(plain, sweep.run)
        assert sum(cluster.shares(errors).values()) == 6, where
        # None is measured twice but those that a worker had when it was killed.
        assert cluster.lost(errors) <= kills, where


def test_killed_worker_costs_its_round_once_more_and_nothing_else(
    plain: Path, tmp_path: Path
) -> None:
    kill_at_random(plain, tmp_path, 0, 1)


@pytest.mark.full
@pytest.mark.parametrize("number", range(1, 21))
def test_killed_at_random_moments(plain: Path, tmp_path: Path, number: int) -> None:
    kill_at_random(plain, tmp_path, number, 1 + number % 3)
