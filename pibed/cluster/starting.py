"""A scheduler with its workers, started for one sweep or found, and ended with it.

What is started here speaks TLS with keys that are made for it, and listens on this machine alone
wherever that is possible: not even another user of this machine can join.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pibed.base import places
from pibed.base.errors import HostError, PibedError
from pibed.base.process import capture
from pibed.base.terminal import duration
from pibed.cluster import keys, ssh
from pibed.cluster.choice import Choice, Existing, Local, Slurm, Ssh
from pibed.cluster.engine import CONFIG, RESOURCE, STOPPED, Engine, parting, words
from pibed.cluster.fitness import sources
from pibed.cluster.patience import within
from pibed.model.words import counted

if TYPE_CHECKING:
    from distributed import Client, Security

_Begun = TypeVar("_Begun")

# In which the scheduler answers at first; is given up if it listens and says nothing; workers come,
# those of this machine one after the other at worst; a queue gives its first job.
_ANSWER_S = 20.0
_SILENT_S = 25.0
_WORKERS_S = 60.0
_START_S = 5.0
_QUEUE_S = 3600.0

_LOOPBACK = "127.0.0.1"

# Neither a dashboard nor its port.
_SCHEDULER: dict[str, Any] = {"dashboard": False}


@contextmanager
def opened(choice: Choice, memory_mib: int, say: Callable[[str], None]) -> Iterator[Engine]:
    """An engine, for guests of so much memory; `say` gets what a person should know of it.

    Raises HostError when the engine is not installed, does not answer, or has no worker.
    """
    try:
        import dask
        import distributed  # noqa: F401
    except ImportError as error:
        raise HostError(
            f"--cluster needs dask.distributed, which is not installed: {error}",
            fix="use ./inv, which has it, or install pibed with its extra: pip install .[cluster]",
        ) from None
    with dask.config.set(dict(CONFIG)), ExitStack() as stack:
        # What is wrong is said by pibed, in a line, and not by the engine with its tracebacks.
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, logging.NOTSET)
        match choice:
            case Existing():
                if (words := choice.open_to) is not None:
                    say(f"cluster: {words}; see docs/cluster.md for TLS")
                keys.require_fit(choice.address, "client")
                if not _answers(choice.address):
                    say(
                        f"cluster: nobody listens at {choice.address}; waiting for "
                        f"{duration(_ANSWER_S)} at most"
                    )
                client = stack.enter_context(_client(choice.address))
                _require_pibed(client, choice.address)
                engine = Engine(client, choice.address, _WORKERS_S)
            case Local():
                cluster = stack.enter_context(_local(choice.workers, _temporary()))
                engine = Engine(
                    *(stack.enter_context(_client(cluster)), f"local:{choice.workers}"),
                    *(_WORKERS_S, choice.workers),
                )
            case Ssh():
                security = _temporary()
                cluster = stack.enter_context(_local(0, security))
                client = stack.enter_context(_client(cluster))
                names = ",".join(host.name for host in choice.hosts)
                engine = Engine(client, f"ssh:{names}", _WORKERS_S, len(choice.hosts))
                stack.enter_context(
                    ssh.workers(
                        choice.hosts,
                        cluster.scheduler_address,
                        _keys(security),
                        lambda: len(engine.workers()),
                        say,
                    )
                )
            case Slurm():
                cluster = stack.enter_context(_slurm(memory_mib))
                _require_queued(cluster.job_script())
                cluster.scale(jobs=choice.jobs)
                say(
                    f"cluster: {counted(choice.jobs, 'job')} submitted to Slurm, waiting up to "
                    f"{duration(_QUEUE_S)} for the first (`squeue --me`)"
                )
                client = stack.enter_context(_client(cluster))
                engine = Engine(client, f"slurm:{choice.jobs}", _QUEUE_S, choice.jobs)
        yield engine


@contextmanager
def _client(where: Any) -> Iterator[Client]:
    from distributed import Client

    client = _within(
        _SILENT_S,
        lambda: Client(where, timeout=_ANSWER_S, set_as_default=False),
        otherwise=f"{where}: the scheduler does not answer",
        fix="see that it runs (`./inv scheduler`), and that it is encrypted as is asked for",
    )
    try:
        yield client
    finally:
        with parting():
            client.close(timeout=_ANSWER_S)


def _within(timeout_s: float, begin: Callable[[], _Begun], *, otherwise: str, fix: str) -> _Begun:
    """What of the engine's is begun; raises HostError, with the engine's words, if it is not."""
    try:
        return within(timeout_s, begin)
    except STOPPED:
        raise
    except Exception as error:  # of whatever kind the engine's connections and processes raise
        raise HostError(f"{otherwise}: {words(error)}", fix=fix) from None


def _answers(address: str) -> bool:
    """Whether somebody listens there, who need not be a scheduler."""
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    except OSError:
        return False


def _require_pibed(client: Client, address: str) -> None:
    """Raises HostError for a scheduler that cannot read what is sent by it to workers."""
    try:
        client.run_on_scheduler(sources, callback_timeout=_ANSWER_S)
    except ImportError as error:
        raise HostError(
            f"the scheduler at {address} cannot import pibed ({error})",
            fix="start it with ./inv scheduler, in a checkout of the same commit",
        ) from None
    except STOPPED:
        raise
    except Exception as error:
        raise HostError(
            f"{address}: the scheduler does not answer: {words(error)}",
            fix="start it again with ./inv scheduler",
        ) from None


def _temporary() -> Security:
    from distributed import Security

    made: Security = Security.temporary()
    return made


def _keys(security: Security) -> dict[str, str]:
    names = ("tls_ca_file", "tls_worker_key", "tls_worker_cert")
    return {name: getattr(security, name) for name in names}


@contextmanager
def _local(workers: int, security: Security) -> Iterator[Any]:
    """A scheduler in this process, and so many workers in others."""
    from distributed import LocalCluster

    def start() -> LocalCluster:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            resources={RESOURCE: 1},
            host=_LOOPBACK,
            security=security,
            dashboard_address=f"{_LOOPBACK}:0",
            worker_dashboard_address=f"{_LOOPBACK}:0",
            scheduler_kwargs=_SCHEDULER,
            memory_limit=None,
            silence_logs=logging.CRITICAL,
        )

    cluster = _within(
        _WORKERS_S + _START_S * workers,
        start,
        otherwise="the engine's processes cannot be started on this machine",
        fix="ask for fewer workers, or leave out --cluster",
    )
    try:
        yield cluster
    finally:
        with parting():
            cluster.close(timeout=_ANSWER_S)


def _require_queued(script: str) -> None:
    """Raises HostError if Slurm would not take a job, which the engine would wait for silently."""
    with tempfile.NamedTemporaryFile("w", prefix="pibed-", suffix=".sh") as file:
        file.write(script)
        file.flush()
        try:
            capture(["sbatch", "--test-only", file.name], env=os.environ, timeout_s=_ANSWER_S)
        except PibedError as error:
            raise HostError(
                f"slurm: sbatch takes no job: {error.message}",
                context=error.context,
                fix="see that `sbatch --test-only` takes one, and ~/.config/dask/jobqueue.yaml: "
                "docs/cluster.md",
            ) from None


@contextmanager
def _slurm(memory_mib: int) -> Iterator[Any]:
    """A scheduler in this process, and workers in jobs, which their user has described for Dask."""
    import dask
    from dask_jobqueue.slurm import SLURMCluster

    cores = int(dask.config.get("jobqueue.slurm.cores", None) or 1)
    memory = dask.config.get("jobqueue.slurm.memory", None) or f"{cores * memory_mib} MiB"
    folder = places.cache() / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    cluster = SLURMCluster(
        cores=cores,
        processes=1,
        memory=memory,
        protocol="tls://",
        security=_temporary(),
        shared_temp_directory=str(folder),
        python=str(places.checkout() / ".venv" / "bin" / "python"),
        worker_extra_args=[
            "--resources",
            f"{RESOURCE}={cores}",
            "--no-dashboard",
            "--dashboard-address",
            f"{_LOOPBACK}:0",
        ],
        job_script_prologue=[f"export PYTHONPATH={places.checkout()}", "umask 077"],
        scheduler_options={"dashboard": False, "dashboard_address": f"{_LOOPBACK}:0"},
        silence_logs="critical",
    )
    try:
        yield cluster
    finally:
        with parting():
            cluster.close(timeout=_ANSWER_S)
