"""What a worker needs to boot: a bed of images and plans, whose files are known by their content.

A file gets to a worker once, into a folder that is called by its digest; it stays there for later
sweeps, and is looked at before each.
"""

from __future__ import annotations

import contextlib
import pickle
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from pibed.base import places
from pibed.base.errors import HostError
from pibed.base.files import digest_file, explained
from pibed.build.images import Images
from pibed.build.store import remedy

_BED = "testbed.pickle"


class Bed(Protocol):
    """What is booted, a frozen dataclass: images, and what else boots have in common."""

    @property
    def images(self) -> Images:
        """Of which the paths become addresses."""


_Bed = TypeVar("_Bed", bound=Bed)


@dataclass(frozen=True)
class Parcel:
    """A bed for other machines: its files by their addresses, `DIGEST/NAME`."""

    bed: str
    """The address of the bed itself, in which paths are addresses."""
    files: Mapping[str, Path]
    """Where they are on this machine."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files.values())


def pack(bed: Bed, folder: Path) -> Parcel:
    """The parcel of a bed; what is made for it goes to `folder`."""
    files: dict[str, Path] = {}

    def address(path: Path) -> Path:
        name = f"{digest_file(path)}/{path.name}"
        files[name] = path
        return Path(name)

    images = bed.images
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
    path = folder / _BED
    path.write_bytes(pickle.dumps(_with(bed, addressed)))
    return Parcel(str(address(path)), files)


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

    def bed(self, address: str, kind: type[_Bed]) -> _Bed:
        """The bed of a parcel whose files are all there; raises TypeError for another kind."""
        found = pickle.loads((self.folder / address).read_bytes())
        if not isinstance(found, kind):
            raise TypeError(f"{address}: it is a {type(found).__name__}")
        return _with(found, self._placed(found.images))

    def _placed(self, images: Images) -> Images:
        timing = images.timing
        return replace(
            images,
            kernel=self.folder / images.kernel,
            device_tree=self.folder / images.device_tree,
            initramfs=self.folder / images.initramfs,
            gen_init_cpio=self.folder / images.gen_init_cpio,
            modules=tuple(self.folder / each for each in images.modules),
            kernel_build=self.folder / images.kernel_build,
            timing=timing
            and replace(
                timing,
                plugin=self.folder / timing.plugin,
                board_file=self.folder / timing.board_file,
            ),
        )


def _with(bed: _Bed, images: Images) -> _Bed:
    changed: _Bed = replace(bed, images=images)  # type: ignore[type-var]
    return changed
