"""Sources out of the distribution's packages."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from pibed.base.process import run_logged
from pibed.build.making import Workbench
from pibed.build.sources.apt import SourcePackage
from pibed.build.store import Output, Step


def extract_linux(archive: SourcePackage, folder: Path, log: Path) -> Path:
    """Takes a kernel's package apart into a folder; returns the archive of the sources in there."""
    run_logged(["dpkg-deb", "--extract", str(archive.path(".deb")), str(folder)], log)
    (tarball,) = folder.glob("usr/src/linux-source-*.tar.xz")
    return tarball


def unpack_linux(bench: Workbench, archive: SourcePackage) -> Output:
    """The kernel's sources out of the distribution's package."""

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        package = folder / "package"
        tarball = extract_linux(archive, package, log)
        run_logged(
            [
                "tar",
                "--extract",
                f"--file={tarball}",
                f"--directory={folder}",
                "--strip-components=1",
            ],
            log,
            env={"XZ_DEFAULTS": "--threads=0"},
        )
        shutil.rmtree(package)

    return bench.run(Step("linux-source", {"archive": archive.digest}, expected_s=25), make)


def unpack_busybox(bench: Workbench, archive: SourcePackage) -> Output:
    """The sources of BusyBox out of the distribution's package."""

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        # dpkg-source wants to make its folder itself.
        folder.rmdir()
        run_logged(
            [
                "dpkg-source",
                "--no-check",
                "--no-copy",
                "-x",
                str(archive.path(".dsc")),
                str(folder),
            ],
            log,
        )

    return bench.run(Step("busybox-source", {"archive": archive.digest}, expected_s=2), make)
