"""The folder that Buildroot works in: what goes into it, and what has to be built anew there.

There is one for each combination of its release, toolchain, kernel and configuration, and it goes
on with what is there. Buildroot would not notice by itself that a source or a fragment has changed:
here the packages whose inputs are others than those they were built from are built anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pibed import kconfig, recipe
from pibed.build import Workbench
from pibed.config import Machine, checkout
from pibed.errors import BuildError
from pibed.packagelog import PackageLog
from pibed.payload import Payload
from pibed.process import capture, clean_environment, run_logged
from pibed.recipe import Settings
from pibed.store import Output, digest_file, digest_files, digest_text
from pibed.upstream import Tree


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
    requests: dict[str, str]
    root: Path
    mirror: Path | None

    # Both once: the checkout may be edited while it is built.
    @cached_property
    def key(self) -> str:
        """A change of it means another folder."""
        external = checkout() / "buildroot"
        recipes = [path for path in files_in(external) if "board" not in path.parts]
        return digest_text(
            json.dumps(
                {
                    "buildroot": self.tree.key,
                    "external": digest_files(external, recipes),
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
    def fragments(self) -> list[Path]:
        """Of the kernel's configuration."""
        folder = checkout() / "kernel" / "fragments"
        return [folder / f"{name}.config" for name in self.machine.kernel.fragments]

    @cached_property
    def inputs(self) -> dict[str, str]:
        """What each package is made of that can change within the folder, as a digest."""
        root = checkout()
        linux = digest_files(root, self.fragments)
        busybox = digest_file(root / self.machine.board_folder / "busybox.config")
        if self.compiler.busybox is not None:
            busybox += self.compiler.busybox.step.key
        own = {}
        for path in sorted((root / "buildroot" / "package").iterdir()):
            files = digest_files(root, files_in(root / recipe.site(path.name)))
            cflags = self.requests.get(recipe.symbol(path.name, "_CFLAGS"), "")
            # Of the kernel's configuration as well, since one of them is a module.
            own[path.name] = digest_text(linux + files + cflags)
        return {"linux": linux, "busybox": digest_text(busybox), **own}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the folder against other processes."""
        self.place.mkdir(parents=True, exist_ok=True)
        with (self.place / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def configure(self, log: Path) -> dict[str, dict[str, str]]:
        """Writes all that Buildroot reads, and makes it forget what changed.

        Returns the packages that are to be built, with their `version`, `licence`, `kind`
        (`target` or `host`) and the name of their build `folder`.
        """
        self._snapshot()
        wanted = self.place / "wanted.config"
        wanted.write_text(
            recipe.text(self.requests | self.compiler.places | self._places()), encoding="utf-8"
        )
        self.output.mkdir(exist_ok=True)
        run_logged(
            [
                *self._command,
                f"BR2_EXTERNAL={self.place / 'tree' / 'buildroot'}",
                f"BR2_DEFCONFIG={wanted}",
                "defconfig",
            ],
            log,
            env=_environment(),
        )
        kconfig.check(self.output / ".config", kconfig.read_fragments([wanted]))
        self._forget(log)
        info = self.place / "show-info.log"
        info.unlink(missing_ok=True)
        run_logged([*self._command, "--silent", "show-info"], info, env=_environment())
        # Behind the line that run_logged writes.
        known = json.loads(info.read_text(encoding="utf-8").partition("\n")[2])
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

    def _places(self) -> dict[str, str]:
        """Options that say where files are; writes those files that are ours."""
        tarball = self.linux.path / "linux.tar.xz"
        digest = digest_file(tarball)
        # The headers of an internal toolchain are the kernel's.
        for name in ("linux", "linux-headers"):
            hashes = self.place / "patches" / name / f"{name}.hash"
            hashes.parent.mkdir(parents=True, exist_ok=True)
            hashes.write_text(f"sha256  {digest}  {tarball.name}\n", encoding="utf-8")
        local = self.place / "local.mk"
        lines = []
        if self.compiler.busybox is not None:
            lines.append(f"include {self.place}/tree/buildroot/distribution.make\n")
            lines.append(f"BUSYBOX_OVERRIDE_SRCDIR = {self.compiler.busybox.path}\n")
        local.write_text("".join(lines), encoding="utf-8")
        cache = self.root / "buildroot"
        places = {
            "BR2_LINUX_KERNEL_CUSTOM_TARBALL_LOCATION": recipe.quoted(f"file://{tarball}"),
            "BR2_GLOBAL_PATCH_DIR": recipe.quoted(str(self.place / "patches")),
            "BR2_PACKAGE_OVERRIDE_FILE": recipe.quoted(str(local)),
            "BR2_DL_DIR": recipe.quoted(str(cache / "dl")),
            "BR2_JLEVEL": str(self.bench.jobs),
        }
        if self.settings.ccache:
            places["BR2_CCACHE"] = "y"
            places["BR2_CCACHE_DIR"] = recipe.quoted(str(cache / "ccache"))
        if self.mirror is not None:
            places["BR2_PRIMARY_SITE"] = recipe.quoted(f"file://{self.mirror}")
        return places

    def _snapshot(self) -> None:
        """Copies what Buildroot takes from the checkout, where somebody may edit meanwhile."""
        tree = self.place / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        packages = (checkout() / "buildroot" / "package").iterdir()
        folders = {Path(recipe.site(path.name)).parts[0] for path in packages}
        for name in sorted({"buildroot", "kernel", *folders}):
            shutil.copytree(checkout() / name, tree / name)
        for path in tree.rglob("*"):
            # Whether something is built anew is decided by content, not by times.
            os.utime(path, (0, 0))

    def _forget(self, log: Path) -> None:
        """Removes what was built of packages whose inputs are others now."""
        record = self.place / "packages.json"
        try:
            before = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        now = self.inputs
        changed = sorted(name for name, digest in now.items() if before.get(name) != digest)
        if before and changed:
            self.bench.progress.note(f"buildroot: built anew: {', '.join(changed)}")
            targets = [f"{name}-dirclean" for name in changed]
            run_logged([*self._command, *targets], log, env=_environment())
        # Put together anew from what the packages install, so that nothing stays of what is gone.
        shutil.rmtree(self.output / "target", ignore_errors=True)
        for name in ("rootfs.cpio", "board.dtb"):
            (self.output / "images" / name).unlink(missing_ok=True)
        record.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")

    def make(
        self,
        packages: Mapping[str, Mapping[str, str]],
        log: Path,
        on_line: Callable[[str], None],
    ) -> None:
        """Builds what is not built yet.

        Raises BuildError that names the package and the step if one fails.
        """
        folders = {each["folder"]: name for name, each in packages.items()}
        follower = PackageLog(self.output, folders, self.bench.progress.note)

        def follow(line: str) -> None:
            on_line(line)
            follower.on_line(line)

        try:
            run_logged(
                [*self._command, f"-j{self.bench.jobs}"],
                log,
                env=_environment(),
                on_line=follow,
                silence_s=self.settings.silence_s,
            )
        except BuildError as error:
            raise follower.failure(error, log) from None
        follower.finished()

    def legal_info(self, log: Path, on_line: Callable[[str], None]) -> Path:
        """Makes Buildroot collect licences and sources; returns the folder with them.

        Raises BuildError if a source cannot be had.
        """
        if not (self.output / ".config").is_file():
            self.configure(log)
        argv = [*self._command, "legal-info"]
        run_logged(argv, log, env=_environment(), on_line=on_line)
        return self.output / "legal-info"

    @property
    def prefix(self) -> str:
        """What the names of the compiler's programs begin with, relative to `output`."""
        argv = [*self._command, "--silent", "printvars", "VARS=TARGET_CROSS"]
        path = capture(argv, env=_environment()).strip().partition("=")[2]
        return str(Path(path).relative_to(self.output))

    @property
    def _command(self) -> list[str]:
        return ["make", "--no-print-directory", f"--directory={self.tree.path}", f"O={self.output}"]


def _environment() -> dict[str, str]:
    """Beyond `clean_environment`: nothing that Buildroot refuses or that gets into images."""
    known = clean_environment()["PATH"].split(":")
    path = [each for each in known if each.startswith("/") and not set(each) & set(" \t\n@")]
    extra = {"PATH": ":".join(path), "SOURCE_DATE_EPOCH": "0", "TERM": "dumb"}
    if os.geteuid() == 0:
        # host-tar's configure refuses root without it.
        extra["FORCE_UNSAFE_CONFIGURE"] = "1"
    return extra


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, in order."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]
