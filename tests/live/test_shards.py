"""Shards on machines that have nothing in common but pibed: always the same bytes."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pibed.base import places
from pibed.build.images import Images
from tests import excuses

from .conftest import Run
from .helpers import copy_of_checkout, only_run, require_merged

SWEEP = ("sweep", "--sizes", "16,32", "--runs", "6")


@dataclass(frozen=True)
class Worker:
    """What of a host could get into a result."""

    user: int
    folder: str
    umask: str
    environment: dict[str, str]


WORKERS = (
    Worker(1001, "lab", "022", {"LC_ALL": "C", "TZ": "UTC"}),
    Worker(1002, "a lab", "077", {"LC_ALL": "C.UTF-8", "TZ": "Pacific/Kiritimati"}),
    Worker(4711, "größe", "027", {"LANG": "tr_TR.UTF-8", "TZ": "America/St_Johns"}),
    Worker(65534, "x" * 60, "002", {"LC_ALL": "POSIX", "LC_NUMERIC": "de_DE.UTF-8"}),
)


def copied(folder: Path) -> Path:
    """The `inv` of a copy of the checkout, which belongs to no git."""
    checkout = copy_of_checkout(folder)
    (checkout / ".venv").symlink_to(places.checkout() / ".venv")
    return checkout / "inv"


def start(worker: Worker, number: int, root: Path) -> subprocess.Popen[str]:
    """Measures a shard as another user, in a network of its own, from a checkout of its own."""
    home = root / worker.folder
    home.mkdir()
    inv = copied(home / "pibed")
    # What was built is there; all else of the cache is the worker's.
    cache = root / f"cache-{number}"
    cache.mkdir()
    for name in ("steps", "downloads"):
        (cache / name).symlink_to(places.cache() / name)
    kept = {name: os.environ[name] for name in ("PATH", "PIBED_TEST")}
    shard = f"{number}/{len(WORKERS)}"
    told = f"readlink /proc/self/ns/net; id -u; umask {worker.umask}"
    return subprocess.Popen(
        [
            *("unshare", "--user", "--net", "--mount"),
            *(f"--map-user={worker.user}", f"--map-group={worker.user}"),
            *("sh", "-c", f'{told}; exec "$@"', "sh", inv, *SWEEP),
            *("--shard", shard, "--jobs", "1", "--results", home / "results", "--no-report"),
        ],
        cwd=home,
        env=kept
        | {"HOME": str(home), "PIBED_CACHE": str(cache), "USER": f"user{worker.user}"}
        | worker.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
@pytest.mark.alone
def test_four_hosts_give_the_bytes_of_one(images: Images, invoke: Run, tmp_path: Path) -> None:
    if not excuses.may_unshare():
        pytest.skip(excuses.NO_NAMESPACES)
    one = str(copied(tmp_path / "one"))
    argv = [one, *SWEEP, "--no-report", "--results", str(tmp_path / "whole")]
    whole = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert whole.returncode == 0, whole.stderr
    # A copy has no published runs to compare with.
    assert invoke("report", str(only_run(tmp_path / "whole"))).returncode == 0
    workers = [start(each, n, tmp_path) for n, each in enumerate(WORKERS, start=1)]
    networks, users = set(), []
    for worker in workers:
        output, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
        network, user, *_ = output.splitlines()
        networks.add(network)
        users.append(int(user))
    assert len(networks | {str(Path("/proc/self/ns/net").readlink())}) == len(WORKERS) + 1
    assert users == [each.user for each in WORKERS]
    runs = [str(only_run(tmp_path / each.folder / "results")) for each in WORKERS]
    done = invoke("merge", *runs, "--results", str(tmp_path / "merged"))
    assert done.returncode == 0, done.stderr
    require_merged(only_run(tmp_path / "whole"), only_run(tmp_path / "merged"))
