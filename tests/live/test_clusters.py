"""The scripts of examples/clusters as they are run: by a Slurm of one node, by GNU parallel."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pibed.base import places
from pibed.build.images import Images
from pibed.commands.verify import compare_runs
from pibed.runs import manifest
from tests import excuses

from .helpers import copy_of_checkout, only_run, require_merged

EXAMPLES = places.checkout() / "examples" / "clusters"
RUN = ("--sizes", "16,32", "--runs", "3")


@pytest.fixture
def checkout(images: Images, tmp_path: Path) -> Path:
    """As all nodes see it."""
    copy = copy_of_checkout(tmp_path / "pibed")
    (copy / ".venv").symlink_to(places.checkout() / ".venv")
    (copy / "results").mkdir()
    shutil.copytree(places.checkout() / "results" / "reference", copy / "results" / "reference")
    return copy


@pytest.fixture
def whole(checkout: Path) -> Path:
    """The run of one machine."""
    run(checkout, "./inv", "sweep", *RUN, "--results", str(checkout / "whole"))
    return only_run(checkout / "whole")


def run(checkout: Path, *argv: str, **environment: str) -> str:
    done = ended(checkout, *argv, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ended(checkout: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=checkout,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which sbatch speaks to a Slurm of this host alone."""
    if not excuses.may_run_slurm():
        pytest.skip(excuses.NO_SLURM)
    place, name = tmp_path / "slurm", socket.gethostname().partition(".")[0]
    place.mkdir(mode=0o755)
    (place / "key").write_bytes(secrets.token_bytes(1024))
    (place / "key").chmod(0o400)
    config = place / "slurm.conf"
    config.write_text(f"""\
ClusterName=test
SlurmctldHost={name}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={place}/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/controller.pid
SlurmdPidFile={place}/node.pid
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MailProg=/bin/true
NodeName={name} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
""")
    munge = ["munged", "--foreground", "--force", "--key-file", str(place / "key")]
    munge += ["--socket", str(place / "munge"), "--pid-file", str(place / "munge.pid")]
    munge += ["--log-file", str(place / "munge.log"), "--seed-file", str(place / "seed")]
    environment = {"SLURM_CONF": str(config)}
    with ExitStack() as stack:
        for argv in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = stack.enter_context((place / f"{argv[0]}.out").open("wb"))
            daemon = subprocess.Popen(
                argv, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT
            )
            stack.callback(daemon.wait, 30)
            stack.callback(daemon.terminate)
            time.sleep(1)
        yield environment


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.mark.full
@pytest.mark.alone
def test_job_array_of_slurm(slurm: dict[str, str], checkout: Path, whole: Path) -> None:
    script = str(EXAMPLES.relative_to(places.checkout()) / "slurm-submit.sh")
    told = run(checkout, script, *RUN, SHARDS="2", SBATCH_CPUS_PER_TASK="1", **slurm)
    assert "merge: job " in told
    deadline = time.monotonic() + 240
    while run(checkout, "squeue", "--noheader", **slurm).strip():
        assert time.monotonic() < deadline, "the jobs do not end"
        time.sleep(1)
    logs = "".join(each.read_text() for each in checkout.glob("results/slurm-*.log"))
    merged = checkout / "results" / "latest"
    assert merged.exists(), logs
    require_merged(whole, merged.resolve())
    (shard,) = checkout.glob("results/slurm-*/2*-1-of-2")
    # What Slurm starts again goes on.
    shutil.rmtree(shard / "boots" / "03")
    text = (shard / "manifest.json").read_text()
    (shard / "manifest.json").write_text(text.replace('"finished": true', '"finished": false'))
    array = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}
    array["SLURM_ARRAY_JOB_ID"] = shard.parent.name.removeprefix("slurm-")
    run(checkout, script.replace("submit", "shard"), *RUN, **array)
    recorded = manifest.read(shard / "manifest.json")
    assert (recorded.finished, recorded.resumed) == (True, 1)


@pytest.mark.full
@pytest.mark.alone
def test_jobs_of_slurm_as_workers(
    slurm: dict[str, str], checkout: Path, whole: Path, tmp_path: Path
) -> None:
    """As docs/cluster.md says, by the engine's own description of a job."""
    config = tmp_path / "dask"
    config.mkdir()
    (config / "jobqueue.yaml").write_text("""\
jobqueue:
  slurm:
    cores: 1
    memory: 1500MB
    walltime: "00:10:00"
    interface: lo
""")
    engine = {"DASK_CONFIG": str(config)} | slurm
    far = checkout / "far"
    sweep = ["./inv", "sweep", *RUN, "--cluster", "slurm:2", "--results", str(far)]
    run(checkout, *sweep, **engine)
    assert compare_runs(whole, only_run(far))[0] == []
    # No job is left.
    deadline = time.monotonic() + 60
    while run(checkout, "squeue", "--noheader", **slurm).strip():
        assert time.monotonic() < deadline, "the jobs do not end"
        time.sleep(1)
    # What Slurm refuses is told at once, in its own words.
    (config / "jobqueue.yaml").write_text(
        (config / "jobqueue.yaml").read_text() + "    queue: nowhere\n"
    )
    began = time.monotonic()
    done = ended(checkout, *sweep[:-1], str(tmp_path / "none"), **engine)
    assert time.monotonic() - began < 60
    assert done.returncode == 3, done.stderr
    assert "sbatch takes no job" in done.stderr
    assert "invalid partition" in done.stderr


@pytest.mark.full
@pytest.mark.alone
def test_gnu_parallel_over_ssh(checkout: Path, whole: Path, tmp_path: Path) -> None:
    """With this host, and one that is reached by a program in place of ssh."""
    if not (shutil.which("parallel") and shutil.which("rsync")):
        pytest.skip(excuses.NO_PARALLEL)
    home = tmp_path / "home"
    home.mkdir()
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\nwhile case $1 in -*) ;; *) false ;; esac do shift; done\n"
        f'shift\necho "$*" >>{home}/log\ncd "{home}" && exec sh -c "$*"\n'
    )
    ssh.chmod(0o755)
    hosts = tmp_path / "hosts"
    hosts.write_text(f"1/:\n1/{ssh} other\n")
    script = str(EXAMPLES.relative_to(places.checkout()) / "parallel.sh")
    run(checkout, script, str(hosts), "3", *RUN, PIBED=str(checkout), PARALLEL_HOME=str(home))
    assert "rsync --server" in (home / "log").read_text(), "nothing came from the other host"
    merged = (checkout / "results" / "latest").resolve()
    require_merged(whole, merged)
    assert list(home.glob("*.tar")) == []


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("github.yml", ("vendor.github-workflows",)),
        ("gitlab.yml", ("vendor.gitlab-ci", "--data-transform", "gitlab-ci")),
    ],
)
def test_files_of_ci_services_are_valid(file: str, schema: tuple[str, ...]) -> None:
    tool = [sys.executable, "-m", "check_jsonschema"]
    argv = [*tool, "--builtin-schema", *schema, str(EXAMPLES / file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
