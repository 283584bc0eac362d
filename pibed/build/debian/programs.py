"""The steps that make a payload's programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pibed.base.errors import BuildError
from pibed.base.files import digest_file, digest_text
from pibed.base.process import capture, run_logged
from pibed.build import reads, toolchain
from pibed.build.debian.bench import Bench
from pibed.build.diagnostics import explained
from pibed.build.payload import Payload
from pibed.build.program import Program, Ready
from pibed.build.reads import Read
from pibed.build.store import Output, Step


@dataclass(frozen=True)
class Programs:
    """A payload's programs, made."""

    files: Mapping[str, Path]
    """By their names in the guest."""
    steps: tuple[Output, ...]
    key: str
    """What another content of any of them changes."""
    read: Read
    """The files of the user's that they were made of."""


def make(bench: Bench, payload: Payload) -> Programs:
    """All programs of a payload; raises BuildError with what the compiler says of one."""
    files: dict[str, Path] = {}
    steps: list[Output] = []
    keys: list[str] = []
    read: dict[str, str] = {}
    if compiled := payload.compiled:
        output = compile(bench, payload, compiled)
        files |= {each.name: output.path / each.name for each in compiled}
        steps.append(output)
        keys.append(output.step.key)
        read |= output.read
    for program in payload.programs:
        if isinstance(program, Ready):
            files[program.name] = program.file
            keys.append(f"{program.name} {digest_file(program.file)}")
            read |= reads.digests([program.file], payload.root)
    key = keys[0] if len(keys) == 1 else digest_text("\n".join(keys))
    return Programs(files, tuple(steps), key, dict(sorted(read.items())))


def compile(bench: Bench, payload: Payload, programs: Sequence[Program]) -> Output:
    """Those that are compiled."""
    flags = ["-Wall", "-Wextra", "-static", *payload.cflags]
    compiler, tools = bench.compiler, bench.tools.linking
    if any(each.is_cxx for each in programs):
        compiler = bench.cxx_compiler
        tools = tools | toolchain.cxx(compiler)
    # Asked each time: a header that is new can come before the one that was found before.
    files = read_by_compiler(compiler, flags, programs, payload.root)
    read = reads.digests(files, payload.root)

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> None:
        began_ns = time.time_ns()
        for program in programs:
            target = str(folder / program.name)
            # Compiled by names relative to their folder, so that no path of the host gets in.
            argv = [compiler, *flags, "-o", target, *program.arguments(payload.root)]
            argv += ["-x", "none"] if program.is_cxx else []
            argv += program.libraries
            with _explained(f"the program {program.name}", program.folder):
                run_logged(argv, log, cwd=program.folder, on_line=on_line)
        reads.require_older(read, payload.root, began_ns)

    libraries = {each.name: each.libraries for each in programs if each.libraries}
    inputs = {
        "read": reads.digest(read),
        "programs": json.dumps([[each.name, *each.arguments(payload.root)] for each in programs]),
        "cflags": " ".join(payload.cflags),
        "tools": str(tools),
        **({"libraries": json.dumps(libraries)} if libraries else {}),
    }
    step = Step("programs", inputs, expected_s=len(programs), version=2)
    output = bench.run(step, make)
    known = toolchain.headers(compiler)
    own = [file for file in files if not any(map(file.is_relative_to, known))]
    return replace(output, read=reads.digests(own, payload.root))


def read_by_compiler(
    compiler: str, flags: Sequence[str], programs: Sequence[Program], root: Path
) -> set[Path]:
    """All files that go into programs as they are now, but for those that the linker knows itself.

    The compiler gets those below `root` by relative paths. Raises BuildError for one that is not
    there.
    """
    files: set[Path] = set()
    for folder in {program.folder for program in programs}:
        here = [program for program in programs if program.folder == folder]
        libraries = [library for each in here for library in each.libraries]
        files |= reads.linked([*flags, *libraries], folder)
        arguments = [word for each in here for word in each.arguments(root)]
        if not any(each.is_cxx for each in here):
            # What several programs share is read once.
            arguments = list(dict.fromkeys(arguments))
        what = f"the program {here[0].name}" if len(here) == 1 else "a program"
        with _explained(what, folder):
            rules = capture([compiler, "-M", *flags, *arguments], cwd=folder)
        files |= {reads.actual(path, folder) for path in reads.prerequisites(rules)}
    return files


@contextmanager
def _explained(what: str, folder: Path) -> Iterator[None]:
    """Makes errors of a compiler that runs in a folder those of the user's files."""

    def locate(path: str) -> Path | None:
        return reads.actual(path, folder) if (folder / path).is_file() else None

    try:
        yield
    except BuildError as error:
        raise explained(error, what, locate) from None
