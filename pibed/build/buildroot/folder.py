"""The folder that Buildroot works in: what goes into it, and what has to be built anew there.

There is one for each combination of its release, toolchain, kernel and configuration, and it goes
on with what is there. Buildroot would not notice by itself that a source or a fragment has changed:
here the packages whose inputs are others than those they were built from are built anew.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pibed.base import places
from pibed.base.errors import BuildError
from pibed.base.files import digest_file, digest_files, digest_text, exclusive, write_file
from pibed.base.process import capture, clean_environment, run_logged
from pibed.build import diagnostics, kconfig, reads, store
from pibed.build.buildroot import recipe
from pibed.build.buildroot.packagelog import PackageLog
from pibed.build.buildroot.snapshot import Snapshot
from pibed.build.buildroot.tree import Tree
from pibed.build.making import Workbench
from pibed.build.payload import Payload
from pibed.build.reads import Read
from pibed.build.store import Output
from pibed.model.builder import Settings
from pibed.model.machine import Machine


@dataclass(frozen=True)
class Compiler:
    """What compiles for the guest."""

    requests: dict[str, str]
    """Options of Buildroot that do not depend on where it is."""
    places: dict[str, str]
    """Options that do."""
    key: str
    """Stands for its content."""
    steps: tuple[Output, ...] = ()
    busybox: Output | None = None
    """Sources in the place of Buildroot's own; the distribution's programs come with them."""
    overrides: dict[str, str] = field(default_factory=dict)
    """Packages that may have other sources than Buildroot's own, and what is taken instead."""


@dataclass(frozen=True)
class BuildFolder:
    """A folder that Buildroot works in, and all that goes into it."""

    bench: Workbench
    machine: Machine
    payload: Payload
    settings: Settings
    tree: Tree
    linux: Output
    compiler: Compiler
    host_compiler: str
    """The line in which it states its version."""
    requests: dict[str, str]
    snapshot: Snapshot
    root: Path
    mirror: Path | None

    # Both once: the snapshot is moved into the folder that it decides on.
    @cached_property
    def key(self) -> str:
        """A change of it means another folder."""
        return digest_text(
            json.dumps(
                {
                    "buildroot": self.tree.key,
                    "external": self.snapshot.digest("buildroot", without="board"),
                    "host compiler": self.host_compiler,
                    "linux": self.linux.step.key,
                    "toolchain": self.compiler.key,
                    "options": {
                        name: value
                        for name, value in sorted(self.requests.items())
                        # Of one package, which is built anew for it.
                        if not name.endswith("_CFLAGS")
                    },
                    # So that what is compiled without it is compiled indeed.
                    "ccache": self.settings.ccache,
                }
            )
        )

    @property
    def place(self) -> Path:
        """The build folder."""
        return self.root / "buildroot" / "builds" / self.key[:16]

    @property
    def output(self) -> Path:
        """Where Buildroot works."""
        return self.place / "output"

    @property
    def kernel(self) -> Path:
        """Where Linux is built, in its sources."""
        return self.output / "build" / "linux-custom"

    @property
    def sources(self) -> Path:
        """The snapshot, once it is configured."""
        return self.place / "tree"

    @property
    def fragments(self) -> list[Path]:
        """Of the kernel's configuration, once it is configured."""
        return self._fragments(self.sources)

    @cached_property
    def inputs(self) -> dict[str, str]:
        """What each package is made of that can change within the folder, as a digest."""
        root = self.snapshot.root
        linux = digest_files(root, self._fragments(root))
        busybox = digest_file(root / self.machine.board_folder / "busybox.config")
        if self.compiler.busybox is not None:
            busybox += self.compiler.busybox.step.key
        own = {}
        for name in self.snapshot.packages:
            files = self.snapshot.digest(recipe.site(root, name))
            default = recipe.default_cflags(root, name)
            cflags = self.requests.get(recipe.symbol(name, "_CFLAGS"), default)
            # Of the kernel's configuration as well, since one of them is a module.
            own[name] = digest_text(linux + files + cflags)
        return {"linux": linux, "busybox": digest_text(busybox), **own}

    def _fragments(self, root: Path) -> list[Path]:
        folder = root / "kernel" / "fragments"
        return [folder / f"{name}.config" for name in self.machine.kernel.fragments]

    @contextmanager
    def held(self) -> Iterator[HeldFolder]:
        """Holds the folder against other processes."""
        self.place.mkdir(parents=True, exist_ok=True)
        waiting = partial(self.bench.progress.waiting, "buildroot")
        with exclusive(self.place / "lock", waiting) as descriptor:
            yield HeldFolder(self, descriptor)


@dataclass(frozen=True)
class HeldFolder:
    """A build folder that nobody else works in, and what Buildroot does in it.

    `lock` is the descriptor that holds it. All programs inherit it, so that the folder is not free
    before the last of them has ended, even if pibed itself was killed.
    """

    folder: BuildFolder
    lock: int

    @property
    def output(self) -> Path:
        """Where Buildroot works."""
        return self.folder.output

    def prepare(self, log: Path) -> dict[str, dict[str, str]]:
        """Writes all that Buildroot reads, and makes it forget what is not to be gone on with.

        Returns the packages that are to be built, with their `version`, `licence`, `kind`
        (`target` or `host`) and the name of their build `folder`.
        """
        self._configure(log)
        packages = self._packages()
        self._forget(packages, log)
        return packages

    def make(
        self,
        packages: Mapping[str, Mapping[str, str]],
        log: Path,
        on_line: Callable[[str], None],
    ) -> None:
        """Builds what is not built yet.

        Raises BuildError that names the package and the step if one fails.
        """
        progress, jobs = self.folder.bench.progress, self.folder.bench.jobs
        folders = {each["folder"]: name for name, each in packages.items()}
        follower = PackageLog(self.output, folders, progress.note)

        def follow(line: str) -> None:
            on_line(line)
            follower.on_line(line)

        try:
            self._run([f"-j{jobs}"], log, follow)
        except BuildError as error:
            failure = follower.failure(error, log)
            found = diagnostics.find(diagnostics.printed(error), self._locate, only_located=True)
            if found is not None:
                failure.message += f": {found.message}"
                failure.context = found.context
            raise failure from None
        follower.finished()

    def _locate(self, path: str) -> Path | None:
        """The user's file that a compiler knows by this path, in a build folder or from there."""
        root, build = places.checkout(), self.output / "build"
        if not path.startswith("/"):
            folders = {program.folder for program in self.folder.payload.compiled}
            found = (reads.actual(path, each) for each in folders if (each / path).is_file())
            return next(found, None)
        plain = Path(os.path.normpath(path))
        for name in self.folder.snapshot.packages:
            site = recipe.site(self.folder.sources, name)
            for folder in build.glob(f"{name}-*"):
                own = root / site / os.path.relpath(plain, folder)
                if plain.is_relative_to(folder) and own.is_file():
                    return own
        return None

    def legal_info(self, log: Path, on_line: Callable[[str], None]) -> Path:
        """Makes Buildroot collect licences and sources; returns the folder with them.

        Raises BuildError if a source cannot be had.
        """
        self._run(["legal-info"], log, on_line)
        return self.output / "legal-info"

    @property
    def prefix(self) -> str:
        """What the names of the compiler's programs begin with, relative to `output`."""
        path = self._ask("printvars", "VARS=TARGET_CROSS").strip().partition("=")[2]
        # Buildroot follows links in the path that it is given.
        return str(Path(path).relative_to(self.output.resolve()))

    def _configure(self, log: Path) -> None:
        folder = self.folder
        folder.snapshot.move(folder.sources)
        wanted = folder.place / "wanted.config"
        options = folder.requests | folder.compiler.places | self._places()
        wanted.write_text(recipe.text(options), encoding="utf-8")
        self.output.mkdir(exist_ok=True)
        external = f"BR2_EXTERNAL={folder.sources / 'buildroot'}"
        self._run([external, f"BR2_DEFCONFIG={wanted}", "defconfig"], log)
        kconfig.check(self.output / ".config", kconfig.read_fragments([wanted]))

    def _places(self) -> dict[str, str]:
        """Options that say where files are; writes those files that are ours."""
        folder = self.folder
        (tarball,) = folder.linux.path.iterdir()
        digest = digest_file(tarball)
        # The headers of an internal toolchain are the kernel's.
        for name in ("linux", "linux-headers"):
            hashes = folder.place / "patches" / name / f"{name}.hash"
            hashes.parent.mkdir(parents=True, exist_ok=True)
            hashes.write_text(f"sha256  {digest}  {tarball.name}\n", encoding="utf-8")
        local = folder.place / "local.mk"
        lines = []
        if folder.compiler.busybox is not None:
            lines.append(f"include {folder.sources}/buildroot/distribution.make\n")
            lines.append(f"BUSYBOX_OVERRIDE_SRCDIR = {folder.compiler.busybox.path}\n")
        local.write_text("".join(lines), encoding="utf-8")
        cache = folder.root / "buildroot"
        places = {
            "BR2_LINUX_KERNEL_CUSTOM_TARBALL_LOCATION": recipe.quoted(f"file://{tarball}"),
            "BR2_GLOBAL_PATCH_DIR": recipe.quoted(str(folder.place / "patches")),
            "BR2_PACKAGE_OVERRIDE_FILE": recipe.quoted(str(local)),
            "BR2_DL_DIR": recipe.quoted(str(cache / "dl")),
            "BR2_JLEVEL": str(folder.bench.jobs),
        }
        if folder.settings.ccache:
            places["BR2_CCACHE"] = "y"
            places["BR2_CCACHE_DIR"] = recipe.quoted(str(cache / "ccache"))
        if folder.mirror is not None:
            places["BR2_PRIMARY_SITE"] = recipe.quoted(f"file://{folder.mirror}")
        return places

    def _packages(self) -> dict[str, dict[str, str]]:
        known = json.loads(self._ask("show-info"))
        return {
            name: {
                "version": each.get("version", ""),
                "licence": each.get("licenses", ""),
                "kind": each["type"],
                "folder": Path(each["stamp_dir"]).name,
            }
            for name, each in known.items()
            if each["type"] != "rootfs" and not each.get("virtual")
        }

    def _forget(self, packages: Mapping[str, Mapping[str, str]], log: Path) -> None:
        """Removes what was built of packages whose inputs are others now, or was left half made."""
        before, now = self._json(self._record), self.folder.inputs
        built = {
            name: path
            for name, each in packages.items()
            if (path := self.output / "build" / each["folder"]).is_dir()
        }
        # A file that was being written when make was killed would pass for a whole one.
        partial = {
            name
            for name, path in built.items()
            if not (path / ".stamp_installed").exists()
            # Of what dirclean removes this comes first.
            or not (self.output / "per-package" / name / "target").is_dir()
        }
        changed = {name for name in built if before.get(name) != now.get(name)}
        # Of what they were made of beside that; of those of a build that failed it is not known.
        read = self._json(self._reads)
        changed |= {
            name
            for name in built.keys() & {*self.folder.snapshot.packages}
            if name not in read or not reads.unchanged(read[name], places.checkout())
        }
        self._reads.unlink(missing_ok=True)
        if changed:
            self.folder.bench.progress.note(
                f"buildroot: built anew: {', '.join(sorted(changed))}",
            )
        if targets := [f"{name}-dirclean" for name in sorted(partial | changed)]:
            # First of all from the record: a package that is removed in part must not pass for a
            # whole one, should its inputs be the old ones again.
            left = {name: key for name, key in before.items() if name not in partial | changed}
            self._write(left)
            self._run(targets, log)
        # Put together anew from what the packages install, so that nothing stays of what is gone.
        shutil.rmtree(self.output / "target", ignore_errors=True)
        for name in ("rootfs.cpio", "board.dtb"):
            (self.output / "images" / name).unlink(missing_ok=True)
        self._write(now)

    def _write(self, record: Mapping[str, object]) -> None:
        """Writes down what packages are built from."""
        text = json.dumps(record, indent=1) + "\n"
        write_file(self._record, text, store.remedy(self.folder.root))

    @property
    def _record(self) -> Path:
        """Of the digests that packages are built from."""
        return self.folder.place / "packages.json"

    @property
    def _reads(self) -> Path:
        """Of the files that the external tree's packages were made of when all was built."""
        return self.folder.place / "reads.json"

    def keep_reads(self, read: Mapping[str, Read]) -> None:
        """Notes by package which files the external tree's packages were made of."""
        text = json.dumps(read, indent=1, ensure_ascii=False)
        write_file(self._reads, f"{text}\n", store.remedy(self.folder.root))

    @staticmethod
    def _json(path: Path) -> dict[str, Any]:
        """A record of ours; empty if it is not there or not whole."""
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _run(
        self, arguments: list[str], log: Path, on_line: Callable[[str], None] = lambda line: None
    ) -> None:
        run_logged(
            [*self._make, *arguments],
            log,
            env=_environment(),
            on_line=on_line,
            silence_s=self.folder.settings.silence_s,
            inherited=(self.lock,),
        )

    def _ask(self, *arguments: str) -> str:
        return capture([*self._make, "--silent", *arguments], env=_environment())

    @property
    def _make(self) -> list[str]:
        return [
            *("make", "--no-print-directory", f"--directory={self.folder.tree.path}"),
            f"O={self.output}",
            # Of a git repository that it may lie in, which would get into the images.
            "BR2_LOCALVERSION=",
        ]


def _environment() -> dict[str, str]:
    """Beyond `clean_environment`: nothing that Buildroot refuses or that gets into images."""
    known = clean_environment()["PATH"].split(":")
    path = [each for each in known if each.startswith("/") and not set(each) & set(" \t\n@")]
    extra = {"PATH": ":".join(path), "SOURCE_DATE_EPOCH": "0", "TERM": "dumb"}
    if os.geteuid() == 0:
        # host-tar's configure refuses root without it.
        extra["FORCE_UNSAFE_CONFIGURE"] = "1"
    return extra
