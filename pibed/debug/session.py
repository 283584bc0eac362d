"""A guest that waits for gdb: the files by which gdb finds it, and all that it needs to know.

They are in a folder of the cache for as long as the guest is there; the process that has booted it
holds that folder.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from pibed.base import files, places
from pibed.base.errors import UsageError
from pibed.debug.symbols import Program, Symbols
from pibed.guest.stub import Stub

# What gdb is to execute, and what its Python reads.
_SCRIPT = "attach.gdb"
_GUEST = "guest.json"

# What gdb runs to make use of it.
_IN_GDB = Path(__file__).with_name("ingdb.py")


_REMEDY = files.Remedy(full="free some space, or set PIBED_CACHE", otherwise="set PIBED_CACHE")


@dataclass(frozen=True)
class Start:
    """Where gdb goes first: to the `count`-th time that `code` at an address is executed."""

    address: int
    code: str
    """In hexadecimal: other programs have the same address."""
    count: int
    what: str
    """What begins there, for people."""


@dataclass(frozen=True)
class Session:
    """A guest that waits, by the folder with its files."""

    folder: Path
    address: str
    """What gdb's `target remote` is given."""

    @property
    def script(self) -> Path:
        """What gdb is to execute."""
        return self.folder / _SCRIPT

    def tell(self, symbols: Symbols, start: Start | None = None) -> None:
        """Writes down what gdb has to know; from now on `find` finds the guest."""
        guest = {
            "address": self.address,
            "modules": {name: str(path) for name, path in symbols.modules.items()},
            "programs": {name: _program(each) for name, each in symbols.programs.items()},
            "user_end": symbols.user_end,
            "start": None if start is None else asdict(start),
        }
        lines = [
            "# Made by pibed for a guest that waits for gdb.",
            "set breakpoint pending on",
            "set filename-display basename",
            # What cannot be unwound can come again and again.
            "set backtrace limit 100",
            "set debuginfod enabled off",
            # Files of the module and the program could hold scripts as well.
            "set auto-load off",
            # A QEMU that is about to start answers late, and what is asked twice is answered twice.
            "set remotetimeout 60",
            f"file {_quoted(symbols.vmlinux)}",
            *(f"directory {_quoted(path)}" for path in reversed(symbols.sources)),
            f"source {symbols.scripts}",
            f"source {_IN_GDB}",
            f"python attach({str(self.folder / _GUEST)!r})",
        ]
        files.write_file(self.script, "".join(f"{line}\n" for line in lines), _REMEDY)
        files.write_file(self.folder / _GUEST, json.dumps(guest, indent=1) + "\n", _REMEDY)


@contextmanager
def session(port: int | None) -> Iterator[tuple[Session, Stub]]:
    """A place for a guest that is to be booted, and the socket at which its QEMU is to wait.

    Raises HostError for a port that cannot be had.
    """
    with files.explained(_root(), _REMEDY):
        folder = files.make_unique(_root(), time.strftime("%Y%m%dT%H%M%S"))
        folder.chmod(0o700)
    try:
        stub = Stub.at_path(folder / "gdb") if port is None else Stub.at_port(port)
        with files.exclusive(folder), stub:
            yield Session(folder, stub.address), stub
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find(port: int | None) -> Session:
    """The newest guest that waits for gdb, or the one at a port.

    Raises UsageError if there is none.
    """
    for session in _all():
        if port is None or session.address.rpartition(":")[2] == str(port):
            return session
    where = "" if port is None else f" at port {port} of this host"
    boot = "./inv boot --gdb" + ("" if port is None else f" --port {port}")
    raise UsageError(f"no guest waits for gdb{where}", fix=f"boot one in another terminal: {boot}")


def _all() -> Iterator[Session]:
    """Those whose process is there, the newest first; what others have left is removed."""
    for path in sorted(_root().glob(f"*/{_GUEST}"), reverse=True):
        try:
            with files.exclusive(path.parent, _leave):
                shutil.rmtree(path.parent, ignore_errors=True)
        except BlockingIOError:
            yield Session(path.parent, json.loads(path.read_text(encoding="utf-8"))["address"])


def _leave() -> NoReturn:
    raise BlockingIOError


def _root() -> Path:
    return places.cache() / "gdb"


def _program(program: Program) -> dict[str, object]:
    return asdict(program) | {"file": str(program.file), "code": str(program.code)}


def _quoted(path: Path) -> str:
    """A path as a word of gdb's command line."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
