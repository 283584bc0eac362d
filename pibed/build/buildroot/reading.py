"""What the packages of the external tree were made of, as the compiler and the kernel's build say.

A package whose files in `.d` and `.cmd` files are none of its own has none. Its folder as a whole
is known anyway (see `folder`); these are for what it takes from elsewhere, and for the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pibed.base import places
from pibed.base.files import digest_file
from pibed.build import reads
from pibed.build.buildroot import recipe
from pibed.build.buildroot.folder import BuildFolder
from pibed.build.mirror import KBUILD
from pibed.build.reads import Read


def of_packages(
    work: BuildFolder, packages: Mapping[str, Mapping[str, str]], known: Sequence[Path]
) -> dict[str, dict[str, str]]:
    """The files of each package of the external tree that is built.

    What lies in folders that are `known`, as the compiler's, is left out.
    """
    return {
        name: _of_package(work, name, work.output / "build" / packages[name]["folder"], known)
        for name in work.snapshot.packages
        if name in packages
    }


def require_older(work: BuildFolder, read: Mapping[str, Read], began_ns: int) -> None:
    """See `reads.require_older`; of what is in the snapshot nothing can have changed."""
    for each in read.values():
        outside = {
            name: digest
            for name, digest in each.items()
            if Path(name).is_absolute() or not (work.sources / name).is_file()
        }
        reads.require_older(outside, places.checkout(), began_ns)


def _of_package(work: BuildFolder, name: str, build: Path, known: Sequence[Path]) -> dict[str, str]:
    site = recipe.site(work.sources, name)
    found = {}
    known = [*known, work.output, work.output.resolve()]
    for path in {*_paths(build, work.kernel)}:
        if path.is_relative_to(build):
            own = work.sources / site / path.relative_to(build)
            if own.is_file():
                found[f"{site}/{path.relative_to(build)}"] = digest_file(own)
        elif path.is_file() and not any(map(path.is_relative_to, known)):
            found[reads.name_of(path, places.checkout())] = digest_file(path)
    return dict(sorted(found.items()))


def _paths(build: Path, kernel: Path) -> Iterator[Path]:
    for file in build.rglob("*.d"):
        text = file.read_text(encoding="utf-8", errors="replace")
        yield from (reads.actual(path, file.parent) for path in reads.prerequisites(text))
    for file in build.rglob(".*.cmd"):
        commands, others = reads.of_kbuild(file.read_text(encoding="utf-8", errors="replace"))
        own = [path for path in commands if path.startswith(f"{build}/")]
        # Ccache makes them relative to where the kernel is built.
        yield from (reads.actual(path, kernel) for path in (*own, *others))
        # Those that make reads besides are not told.
        yield from (path for name in KBUILD if (path := file.with_name(name)).is_file())
