"""What `--cluster` names: a scheduler that runs already, or workers to start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from pibed.base import places
from pibed.base.errors import UsageError

_KINDS = "tcp://HOST:PORT or tls://HOST:PORT, local:WORKERS, ssh:HOST,…, or slurm:JOBS"

# Of a kind whose workers are counted.
_MOST = 10_000

_LOOPBACK = re.compile(r"^(127\.[0-9.]+|localhost|\[::1\])$")

# HOST, HOST=BOOTS, HOST:FOLDER or HOST:FOLDER=BOOTS; what ssh would take for an option is none.
_HOST = re.compile(
    r"^(?P<host>[^-:=][^:=]*)(?::(?P<folder>/[^=]+))?(?:=(?P<boots>[1-9][0-9]{0,3}))?$"
)


@dataclass(frozen=True)
class Existing:
    """A scheduler that runs already, with its workers."""

    address: str

    @property
    def open_to(self) -> str | None:
        """Who else can reach it, in words, if it is neither encrypted nor of this machine."""
        protocol, _, rest = self.address.partition("://")
        host = rest.rpartition(":")[0]
        if protocol == "tls" or _LOOPBACK.match(host):
            return None
        return (
            f"{self.address} is not encrypted and asks nobody who they are: whoever reaches the "
            "scheduler or a worker can run programs there and here"
        )


@dataclass(frozen=True)
class Local:
    """So many workers on this machine, with one boot each."""

    workers: int


@dataclass(frozen=True)
class Host:
    """A machine that is reached with ssh, and the checkout on it."""

    name: str
    folder: str
    boots: int | None
    """At a time; as many as it has cores if None."""


@dataclass(frozen=True)
class Ssh:
    """A worker on each of these machines."""

    hosts: tuple[Host, ...]


@dataclass(frozen=True)
class Slurm:
    """So many jobs of a queue, a worker each."""

    jobs: int


Choice: TypeAlias = Existing | Local | Ssh | Slurm


def parse(text: str) -> Choice:
    """What the option's value names; raises UsageError if it is none of the kinds."""
    kind, _, rest = text.partition(":")
    match kind:
        case "tcp" | "tls" if re.match(r"^//([^/:]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$", rest):
            if 0 < int(rest.rpartition(":")[2]) < 1 << 16:
                return Existing(text)
        case "local":
            return Local(_count(text, rest))
        case "slurm":
            return Slurm(_count(text, rest))
        case "ssh" if rest:
            return Ssh(tuple(_host(text, each) for each in rest.split(",")))
    raise UsageError(f"--cluster {text}: expected {_KINDS}")


def _count(text: str, number: str) -> int:
    if not re.match(r"^[0-9]{1,5}$", number) or not 1 <= int(number) <= _MOST:
        raise UsageError(f"--cluster {text}: expected a number from 1 to {_MOST} behind the colon")
    return int(number)


def _host(text: str, part: str) -> Host:
    match = _HOST.match(part)
    if match is None:
        raise UsageError(
            f"--cluster {text}: {part!r} is no machine; expected HOST, USER@HOST, HOST=BOOTS or "
            "HOST:/FOLDER/OF/THE/CHECKOUT=BOOTS"
        )
    folder = match["folder"] or str(places.checkout())
    return Host(match["host"], folder, int(match["boots"]) if match["boots"] else None)
