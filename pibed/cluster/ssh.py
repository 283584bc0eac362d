"""Workers on machines that are reached with ssh, by its own configuration and keys.

The engine's connections go through ssh, one way by -R and the other by -L, between loopback
addresses: no machine listens to the network for them.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import HostError
from pibed.base.process import DIE_WITH_PARENT, kill_group
from pibed.cluster.choice import Host
from pibed.cluster.worker import Membership

# In which ssh has connected and the worker has begun; a checkout's first ./inv makes its .venv.
_BEGIN_S = 300.0
_LOOK_S = 0.2
_END_S = 5.0

_LOOPBACK = "127.0.0.1"


@dataclass
class _Started:
    host: Host
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@contextmanager
def workers(
    hosts: Sequence[Host],
    scheduler: str,
    security: Mapping[str, str],
    joined: Callable[[], int],
    say: Callable[[str], None],
) -> Iterator[None]:
    """Starts a worker on each machine and waits until all have joined or ended.

    `joined` says how many have joined. Those that cannot be started are left out, with the reason;
    raises HostError if that is all. They end with the context.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pibed-ssh-")))
        started = []
        for number, host in enumerate(hosts, start=1):
            each = _start(host, number, scheduler, security, folder)
            stack.callback(_end, each)
            started.append(each)
        until = time.monotonic() + _BEGIN_S
        ended: list[_Started] = []
        while joined() < len(started) - len(ended) and time.monotonic() < until:
            for each in started:
                if each not in ended and each.process.poll() is not None:
                    ended.append(each)
                    say(f"cluster: {each.host.name} is left out: {each.said()}")
            time.sleep(_LOOK_S)
        if len(ended) == len(started):
            raise HostError(
                "no worker could be started; "
                + "; ".join(f"{each.host.name}: {each.said()}" for each in ended),
                fix="see that `ssh HOST` asks for nothing, and that pibed is in the same folder "
                "there, or name that (docs/cluster.md)",
            )
        yield


def _start(
    host: Host, number: int, scheduler: str, security: Mapping[str, str], folder: Path
) -> _Started:
    theirs, port = scheduler.rpartition(":")[2], _free_port()
    command = f"cd {shlex.quote(host.folder)} && exec ./inv worker -"
    log = folder / f"{number}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                *DIE_WITH_PARENT,
                *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"),
                *("-o", "ServerAliveInterval=5", "-o", "LogLevel=ERROR"),
                *("-R", f"{_LOOPBACK}:{theirs}:{_LOOPBACK}:{theirs}"),
                *("-L", f"{_LOOPBACK}:{port}:{_LOOPBACK}:{port}"),
                *("--", host.name, command),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=file,
            process_group=0,
        )
    # 0: as many as there are cores there.
    membership = Membership(
        f"tls://{_LOOPBACK}:{theirs}",
        host.boots or 0,
        host.name,
        port=port,
        security=dict(security),
    )
    assert process.stdin is not None
    try:
        process.stdin.write(membership.to_line().encode())
        process.stdin.flush()
    except BrokenPipeError:
        pass  # what it said is in the log
    return _Started(host, process, log)


def _end(started: _Started) -> None:
    """Closes the worker's standard input, with which it ends, and then ssh."""
    process = started.process
    assert process.stdin is not None
    try:
        process.stdin.close()
        process.wait(_END_S)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        pass
    kill_group(process)


def _free_port() -> int:
    """A port of this machine that nobody listens on, at this moment."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])
