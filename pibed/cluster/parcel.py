"""What a worker needs to boot: a bed of images and plans, whose files are known by their content.

A file that many jobs have in common gets to a worker once, into a folder that is called by its
digest; it stays there for later sweeps, and is looked at before each. What one job needs alone is
sent with it, and is gone with it.
"""

from __future__ import annotations

import contextlib
import pickle
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from pibed.base import places
from pibed.base.errors import HostError
from pibed.base.files import Remedy, digest_file, explained
from pibed.build.images import Images
from pibed.build.store import remedy

_GONE = Remedy(full="free some space", otherwise="run it again, and do not clean meanwhile")


class Bed(Protocol):
    """What is booted, a frozen dataclass: images, and what else boots have in common."""

    @property
    def images(self) -> Images:
        """Of which the paths become addresses."""


_Bed = TypeVar("_Bed", bound=Bed)

Files: TypeAlias = Mapping[str, Path]
"""Where files are on this machine, by their addresses: `DIGEST/NAME`."""


@dataclass(frozen=True)
class Parcel:
    """A bed for other machines."""

    bed: bytes
    """The bed itself, in which paths are addresses."""
    files: Files

    def beside(self, common: Files) -> dict[str, bytes]:
        """The files that are not common, by their addresses; raises HostError for one that is not
        there any more.
        """
        found = {}
        for address, path in self.files.items():
            if address not in common:
                with explained(path, _GONE):
                    found[address] = path.read_bytes()
        return found


def pack(bed: Bed) -> Parcel:
    """The parcel of a bed."""
    addressed, files = _addressed(bed.images)
    return Parcel(pickle.dumps(_with(bed, addressed)), files)


def common_files(images: Iterable[Images]) -> Files:
    """What guests are booted from, but for what each payload has of its own."""
    found: dict[str, Path] = {}
    for each in images:
        addressed, files = _addressed(each)
        own = {str(path) for path in (addressed.initramfs, *addressed.modules)}
        found |= {address: path for address, path in files.items() if address not in own}
    return found


def _addressed(images: Images) -> tuple[Images, dict[str, Path]]:
    """Images whose paths are addresses, and where the files are."""
    files: dict[str, Path] = {}

    def address(path: Path) -> Path:
        name = f"{digest_file(path)}/{path.name}"
        files[name] = path
        return Path(name)

    addressed = replace(
        images,
        kernel=address(images.kernel),
        device_tree=address(images.device_tree),
        initramfs=address(images.initramfs),
        gen_init_cpio=address(images.gen_init_cpio),
        modules=tuple(map(address, images.modules)),
        kernel_build=address(images.kernel_build / ".config").parent,
        timing=images.timing
        and replace(
            images.timing,
            plugin=address(images.timing.plugin),
            board_file=address(images.timing.board_file),
        ),
        # What nothing is booted from.
        programs=(),
        steps=(),
        components=(),
        sources={},
        tools={},
        read={},
        variables={},
    )
    return addressed, files


@dataclass(frozen=True)
class Shelf:
    """Where a worker keeps what was sent to it."""

    folder: Path

    @classmethod
    def of_worker(cls) -> Shelf:
        """That of the machine's user."""
        return cls(places.cache() / "cluster")

    def missing(self, addresses: Iterable[str]) -> list[str]:
        """Which files are not there as they should be."""
        return [each for each in addresses if not self._has(each)]

    def _has(self, address: str) -> bool:
        try:
            return digest_file(self.folder / address) == address.partition("/")[0]
        except OSError:
            return False

    def put(self, address: str, content: bytes) -> None:
        """Takes a file; raises HostError if it cannot be written, or is not what it should be."""
        target = self.folder / address
        with explained(target, remedy(self.folder.parent)):
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(dir=self.folder, prefix=".unfinished-"))
            try:
                path = unfinished / target.name
                path.write_bytes(content)
                # Whatever the umask: a sandbox's user reads it, and one file is a program.
                path.chmod(0o755)
                unfinished.chmod(0o755)
                if digest_file(path) != target.parent.name:
                    raise HostError(f"{address}: other bytes have arrived than were sent")
                # What was there is not what it should be, or the same that another one has put.
                shutil.rmtree(target.parent, ignore_errors=True)
                with contextlib.suppress(FileExistsError):
                    unfinished.rename(target.parent)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)


@dataclass(frozen=True)
class Unpacked:
    """Where a job's files are: its own in a folder, all others on the shelf."""

    shelf: Shelf
    own: Path

    @classmethod
    def into(cls, folder: Path, files: Mapping[str, bytes]) -> Unpacked:
        """Puts a job's own files into a folder; raises OSError if that is impossible."""
        for address, content in files.items():
            path = folder / address
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755)
        return cls(Shelf.of_worker(), folder)

    def bed(self, data: bytes, kind: type[_Bed]) -> _Bed:
        """The bed of a parcel, of which all files are there; raises TypeError for another kind."""
        found = pickle.loads(data)
        if not isinstance(found, kind):
            raise TypeError(f"{type(found).__name__} instead of {kind.__name__}")
        return _with(found, self._placed(found.images))

    def _place(self, address: Path) -> Path:
        own = self.own / address
        return own if own.exists() else self.shelf.folder / address

    def _placed(self, images: Images) -> Images:
        timing = images.timing
        return replace(
            images,
            kernel=self._place(images.kernel),
            device_tree=self._place(images.device_tree),
            initramfs=self._place(images.initramfs),
            gen_init_cpio=self._place(images.gen_init_cpio),
            modules=tuple(map(self._place, images.modules)),
            kernel_build=self._place(images.kernel_build),
            timing=timing
            and replace(
                timing,
                plugin=self._place(timing.plugin),
                board_file=self._place(timing.board_file),
            ),
        )


def _with(bed: _Bed, images: Images) -> _Bed:
    changed: _Bed = replace(bed, images=images)  # type: ignore[type-var]
    return changed
