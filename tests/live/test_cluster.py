"""Rounds on other machines give the same bytes, whatever happens to those."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pibed.commands.verify import compare_runs
from pibed.runs import manifest
from tests import disk, excuses
from tests.live import cluster
from tests.live.conftest import qemus
from tests.programs import INV

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
    assert compared == 1 + 4 * 6 + 3
    assert (run / "summary.csv").read_bytes() == (plain / "summary.csv").read_bytes()
    assert not (run / "interrupted").exists()
    facts = {"git", "host", "jobs", "resumed"}
    assert manifest.read(run / "manifest.json").model_dump(exclude=facts) == manifest.read(
        plain / "manifest.json"
    ).model_dump(exclude=facts)


def kill_at_random(plain: Path, results: Path, number: int, kills: int) -> None:
    """Kills workers at other moments every day; those of PIBED_SEED, where it is given."""
    seed = os.environ["PIBED_SEED"]
    generator = random.Random(f"cluster {seed} {number}")
    with cluster.sweep(results, *cluster.EXPERIMENT, "--cluster", "local:2") as sweep:
        killed = 0
        for after in sorted(generator.sample(range(5), kills)):
            sweep.wait_for(after)
            cluster.wait_for_a_guest()
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


@pytest.mark.full
def test_frozen_worker_costs_its_round_once_more(plain: Path, tmp_path: Path) -> None:
    with cluster.sweep(tmp_path, *cluster.EXPERIMENT, "--cluster", "local:2") as sweep:
        sweep.wait_for(1)
        cluster.wait_for_a_guest()
        frozen = cluster.workers_of(sweep.process)[0]
        frozen.suspend()
        # It goes on while the others measure, and what it has then is nobody's.
        sweep.wait_for(5)
        time.sleep(22)
        frozen.resume()
        status, errors = sweep.end()
    assert status == 0, errors
    require_same(plain, sweep.run)
    assert cluster.lost(errors) == 1
    assert "no sign of life for 20 s" in errors


@pytest.mark.full
def test_all_that_can_be_wrong_with_workers(plain: Path, tmp_path: Path) -> None:
    """One without the resource, one whose disk is full, one whose clock is years ahead."""
    with ExitStack() as stack:
        scheduler = stack.enter_context(cluster.scheduler())
        ahead = tmp_path / "ahead"
        ahead.mkdir()
        (ahead / "sitecustomize.py").write_text(
            "import time\nnow = time.time\ntime.time = lambda: now() + 5 * 365 * 86400\n"
        )
        small = stack.enter_context(full_disk(tmp_path / "disk"))
        for name, cache, environment in (
            ("well", tmp_path / "a", {}),
            ("full", small, {}),
            ("ahead", tmp_path / "b", {"PYTHONPATH": str(ahead)}),
        ):
            stack.enter_context(
                cluster.worker(
                    scheduler.address, name, cache, "--boots", "1", environment=environment
                )
            )
        sweep = stack.enter_context(
            cluster.sweep(tmp_path / "r", *cluster.EXPERIMENT, "--cluster", scheduler.address)
        )
        status, errors = sweep.end()
        assert status == 0, errors
        assert f"full is left out: {small / 'cluster'}: 1 MB free of" in errors
        require_same(plain, sweep.run)
        assert cluster.shares(errors).keys() == {"well", "ahead"}


@contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    if not excuses.may_mount():
        pytest.skip(excuses.NO_MOUNT)
    with disk.small(folder, 1 << 20) as mounted:
        yield mounted


@pytest.mark.full
def test_disk_that_fills_up_while_it_is_measured(plain: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        scheduler = stack.enter_context(cluster.scheduler())
        if not excuses.may_mount():
            pytest.skip(excuses.NO_MOUNT)
        small = stack.enter_context(disk.small(tmp_path / "disk", 300 << 20))
        stack.enter_context(
            cluster.worker(scheduler.address, "well", tmp_path / "a", "--boots", "1")
        )
        stack.enter_context(
            cluster.worker(
                scheduler.address,
                "full",
                tmp_path / "b",
                *("--boots", "1"),
                environment={"DASK_TEMPORARY_DIRECTORY": str(small)},
            )
        )
        sweep = stack.enter_context(
            cluster.sweep(tmp_path / "r", *cluster.EXPERIMENT, "--cluster", scheduler.address)
        )
        cluster.wait_for_a_guest()
        subprocess.run(
            ["dd", "if=/dev/zero", f"of={small}/hog", "bs=1M", "count=400"],
            check=False,
            stderr=subprocess.DEVNULL,
        )
        status, errors = sweep.end()
        assert status == 0, errors
        assert "full is left out: " in errors and "No space left on device" in errors
        require_same(plain, sweep.run)


@pytest.mark.full
def test_death_of_the_scheduler_ends_the_sweep_in_order_and_resume_goes_on(
    plain: Path, tmp_path: Path
) -> None:
    results = tmp_path / "r"
    with ExitStack() as stack:
        scheduler = stack.enter_context(cluster.scheduler())
        stack.enter_context(
            cluster.worker(scheduler.address, "one", tmp_path / "a", "--boots", "2")
        )
        sweep = stack.enter_context(
            cluster.sweep(results, *cluster.EXPERIMENT, "--cluster", scheduler.address)
        )
        sweep.wait_for(2)
        scheduler.process.kill()
        status, errors = sweep.end()
        assert status == 3, errors
        assert f"{scheduler.address}: the scheduler does not answer any more" in errors
        assert f"./inv sweep --resume {sweep.run}" in errors
        wait_until_no_guest()
    done = sweep.rounds()
    assert 2 <= done < 6
    # The first of what is left on a worker, the rest on none.
    with cluster.sweep(
        results, "--resume", str(sweep.run), "--no-report", "--cluster", "local:1"
    ) as second:
        second.wait_for(done + 1)
        os.killpg(second.process.pid, signal.SIGINT)
        status, errors = second.end()
        assert status == 130, errors
        assert not qemus()
    with cluster.sweep(results, "--resume", str(sweep.run), "--no-report") as third:
        status, errors = third.end()
        assert status == 0, errors
    require_same(plain, sweep.run)


def wait_until_no_guest(timeout_s: float = 15) -> None:
    until = time.monotonic() + timeout_s
    while qemus():
        assert time.monotonic() < until, "guests are left on the workers"
        time.sleep(0.1)


@pytest.mark.full
def test_interrupted_sweep_leaves_no_guest_on_a_worker_that_stays(tmp_path: Path) -> None:
    with ExitStack() as stack:
        scheduler = stack.enter_context(cluster.scheduler())
        stack.enter_context(
            cluster.worker(scheduler.address, "one", tmp_path / "a", "--boots", "2")
        )
        for signum, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
            sweep = stack.enter_context(
                cluster.sweep(
                    tmp_path / str(signum), *cluster.EXPERIMENT, "--cluster", scheduler.address
                )
            )
            cluster.wait_for_a_guest()
            os.killpg(sweep.process.pid, signum)
            status, errors = sweep.end()
            assert status == expected, errors
            wait_until_no_guest(0.1 if signum != signal.SIGKILL else 15)


@pytest.fixture
def network() -> Iterator[cluster.Network]:
    """Four machines and a hub."""
    if not excuses.may_make_networks():
        pytest.skip(excuses.NO_NETWORKS)
    with cluster.network(4) as made:
        yield made


# User, umask, locale and time zone of the workers.
STRANGERS = (
    (0, "022", "C", "UTC"),
    (54321, "077", "C.UTF-8", "Asia/Kolkata"),
    (54322, "002", "tr_TR.UTF-8", "America/St_Johns"),
    (54323, "027", "POSIX", "Antarctica/Troll"),
)


@pytest.mark.full
def test_four_machines_of_others_give_the_same_bytes(
    plain: Path, network: cluster.Network, tmp_path: Path
) -> None:
    """One of them is cut off the network in the middle of a round; all is encrypted."""
    with tempfile.TemporaryDirectory(prefix="pibed-lab-") as homes, ExitStack() as stack:
        Path(homes).chmod(0o755)
        tls = cluster.tls(Path(homes) / "tls")
        scheduler = stack.enter_context(
            cluster.scheduler(network.address(0), inside=network.hub, environment=tls)
        )
        for number, (user, umask, locale, zone) in enumerate(STRANGERS, start=1):
            home = Path(homes) / f"home of {number}"
            inv = cluster.checkout(home / "pi bed")
            inv.with_name(".venv").symlink_to(INV.with_name(".venv"))
            cache = Path(homes) / f"cache{number}"
            cache.mkdir()
            for path in (cache, home):
                shutil.chown(path, user, user)
            python = cluster.readable_python(Path(homes) / f"python{number}")
            become = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"]
            masked = ["sh", "-c", f'umask {umask}; exec "$@"', "sh"]
            stack.enter_context(
                cluster.worker(
                    scheduler.address,
                    f"machine {number}",
                    cache,
                    *("--boots", "1", "--listen", network.address(number)),
                    inside=[*network.machine(number), *python, *become, *masked],
                    inv=inv,
                    environment={
                        "HOME": str(home),
                        "LC_ALL": locale,
                        "TZ": zone,
                        "PYTHONDONTWRITEBYTECODE": "1",
                        **tls,
                    },
                )
            )
        options = [*cluster.EXPERIMENT, "--cluster", scheduler.address]
        whole = stack.enter_context(
            cluster.sweep(tmp_path / "whole", *options, inside=network.hub, environment=tls)
        )
        status, errors = whole.end()
        assert status == 0, errors
        require_same(plain, whole.run)
        assert "not encrypted" not in errors
        assert len(cluster.shares(errors)) == 4, errors
        cut = stack.enter_context(
            cluster.sweep(tmp_path / "cut", *options, inside=network.hub, environment=tls)
        )
        cut.wait_for(1)
        network.cut_off(2)
        status, errors = cut.end()
        assert status == 0, errors
        require_same(plain, cut.run)
        assert cluster.lost(errors) == 1, errors


@pytest.mark.full
def test_frozen_scheduler_is_an_error_and_no_hang(images: object, tmp_path: Path) -> None:
    with ExitStack() as stack:
        scheduler = stack.enter_context(cluster.scheduler())
        stack.enter_context(
            cluster.worker(scheduler.address, "one", tmp_path / "a", "--boots", "1")
        )
        sweep = stack.enter_context(
            cluster.sweep(tmp_path / "r", *cluster.EXPERIMENT, "--cluster", scheduler.address)
        )
        sweep.wait_for(1)
        os.kill(scheduler.process.pid, signal.SIGSTOP)
        begin = time.monotonic()
        status, errors = sweep.end()
        took = time.monotonic() - begin
        os.kill(scheduler.process.pid, signal.SIGCONT)
        assert status == 3, errors
        assert "the scheduler does not answer any more" in errors
        assert took < 60
        wait_until_no_guest(60)


@pytest.mark.full
def test_two_empty_machines_as_the_documentation_has_it(plain: Path, tmp_path: Path) -> None:
    """Every command and every file of docs/cluster.md, with this machine in the place of all."""
    page = (INV.parent / "docs" / "cluster.md").read_text(encoding="utf-8")
    keys = tmp_path / "dask"
    keys.mkdir()
    (command,) = re.findall(r"^    (openssl .*)$", page, re.MULTILINE)
    subprocess.run(command.split(), cwd=keys, check=True, capture_output=True)
    (config,) = re.findall(r"^((?:    distributed:\n)(?:    .*\n)+)", page, re.MULTILINE)
    text = textwrap.dedent(config).replace("/home/me/.config/dask", str(keys))
    (keys / "tls.yaml").write_text(text)
    words = {
        name: shlex.split(line.partition("#")[0].replace("lab1", HERE).replace("lab2", HERE))
        for line in re.findall(r"^    (\S+ .*)$", page, re.MULTILINE)
        for name in ("inv scheduler", "inv worker", "inv sweep --cluster tls")
        if name in line and "lab1:8786" in line.replace(" --port ", ":")
    }
    environment = {"DASK_CONFIG": str(keys)}
    with ExitStack() as stack:
        port = cluster.free_port()
        given = {
            name: [each.replace("8786", str(port)) for each in argv] for name, argv in words.items()
        }
        _, *rest = given["inv scheduler"]
        stack.enter_context(
            cluster.program([str(INV), *rest], environment, f"scheduler: tls://{HERE}:{port} waits")
        )
        for name in ("first", "second machine"):
            inv = cluster.checkout(tmp_path / name / "pibed")
            assert not inv.with_name(".venv").exists()
            _, verb, address, *options = given["inv worker"]
            assert verb == "worker"
            # So that one of them cannot be done before the other is there.
            options[options.index("--boots") + 1] = "1"
            stack.enter_context(
                cluster.worker(
                    address,
                    name,
                    tmp_path / f"cache of {name}".replace(" ", "-"),
                    *options,
                    inv=inv,
                    environment=environment,
                )
            )
        _, verb, *options = given["inv sweep --cluster tls"]
        assert verb == "sweep"
        sweep = stack.enter_context(
            cluster.sweep(tmp_path / "r", *options, *cluster.EXPERIMENT, environment=environment)
        )
        status, errors = sweep.end()
        assert status == 0, errors
        require_same(plain, sweep.run)
        assert cluster.shares(errors).keys() == {"first", "second machine"}, errors


HERE = "127.0.0.1"


@pytest.mark.full
def test_machines_that_are_reached_with_ssh(
    plain: Path, network: cluster.Network, tmp_path: Path
) -> None:
    """One has another folder, one no checkout: that is left out. No port is opened to others."""
    sshd = shutil.which("sshd", path=excuses.SSHD)
    if sshd is None:
        pytest.skip(excuses.NO_SSHD)
    with ExitStack() as stack:
        inv = cluster.checkout(tmp_path / "there")
        inv.with_name(".venv").symlink_to(INV.with_name(".venv"))
        for number in (1, 2, 3):
            stack.enter_context(cluster.sshd(sshd, network, number, tmp_path / f"ssh{number}"))
        path = cluster.ssh_client(network, (1, 2, 3), tmp_path)
        names = f"lab1=1,lab2:{inv.parent}=1,lab3:/nowhere"
        sweep = stack.enter_context(
            cluster.sweep(
                tmp_path / "r",
                *(*cluster.EXPERIMENT, "--cluster", f"ssh:{names}"),
                inside=network.hub,
                environment={"PATH": f"{path}:{os.environ['PATH']}"},
            )
        )
        cluster.wait_for_a_guest()
        for number in range(3):
            listening = subprocess.run(
                ["ip", "netns", "exec", f"{network.name}-{number}", "ss", "-Hltn"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            ours = [line.split()[3] for line in listening.splitlines()]
            assert [each for each in ours if not each.startswith("127.0.0.1:")] == (
                [f"{network.address(number)}:22"] if number else []
            )
        status, errors = sweep.end()
        assert status == 0, errors
        assert re.search(r"lab3 is left out: .*/nowhere", errors), errors
        require_same(plain, sweep.run)
        assert cluster.shares(errors).keys() == {"lab1", "lab2"}
    wait_until_no_guest()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_nothing_of_scheduler_and_worker_listens_beyond_this_machine(
    tmp_path: Path, encrypted: bool
) -> None:
    """And both end with the status that they should."""
    keys = cluster.tls(tmp_path / "dask") if encrypted else None
    with (
        cluster.scheduler(environment=keys) as scheduler,
        cluster.worker(
            scheduler.address, "one", tmp_path / "a", "--boots", "1", environment=keys
        ) as worker,
    ):
        assert scheduler.address.startswith("tls" if encrypted else "tcp")
        for process in (scheduler.process, worker):
            addresses = cluster.listening(process)
            assert addresses
            assert {each.rpartition(":")[0] for each in addresses} == {HERE}
        for process, signum in ((worker, signal.SIGTERM), (scheduler.process, signal.SIGINT)):
            process.send_signal(signum)
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 128 + signum, said
            assert "Traceback" not in said


def test_signal_while_the_scheduler_does_not_answer_ends_worker_and_sweep(tmp_path: Path) -> None:
    with socket.create_server((HERE, 0)) as deaf:
        address = f"tcp://{HERE}:{deaf.getsockname()[1]}"
        for argv in (
            ["worker", address],
            ["sweep", "--cluster", address, "--results", str(tmp_path)],
        ):
            process = subprocess.Popen(
                [str(INV), *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            connection, _ = deaf.accept()
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
            connection.close()
            assert process.returncode == 143, said
            assert said == "pibed: ended by SIGTERM\n"


@pytest.mark.full
def test_scheduler_that_listens_and_is_silent_is_given_up(tmp_path: Path) -> None:
    with socket.create_server((HERE, 0)) as silent:
        address = f"tcp://{HERE}:{silent.getsockname()[1]}"
        for argv, words in (
            (["worker", address], "the scheduler cannot be joined: no answer within 60 s"),
            (
                ["sweep", "--cluster", address, "--results", str(tmp_path)],
                "the scheduler does not answer: nothing was heard within 25 s",
            ),
        ):
            ended = subprocess.run(
                [str(INV), *argv], capture_output=True, text=True, timeout=90, check=False
            )
            assert (ended.returncode, ended.stdout) == (3, "")
            assert ended.stderr.startswith(f"pibed: {address}: {words}\n")


def test_scheduler_that_cannot_import_pibed_is_told(tmp_path: Path) -> None:
    port = cluster.free_port()
    argv = [sys.executable, "-P", "-m", "distributed.cli.dask_scheduler", "--host", HERE]
    argv += ["--port", str(port), "--dashboard-address", f"{HERE}:0"]
    with (
        cluster.program(argv, {"PYTHONPATH": ""}, "Scheduler at:"),
        cluster.sweep(tmp_path, *cluster.EXPERIMENT, "--cluster", f"tcp://{HERE}:{port}") as sweep,
    ):
        status, errors = sweep.end()
        assert status == 3, errors
        assert f"the scheduler at tcp://{HERE}:{port} cannot import pibed" in errors
        assert "start it with ./inv scheduler" in errors
