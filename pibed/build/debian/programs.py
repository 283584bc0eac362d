"""The steps that make a payload's programs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pibed.base.errors import BuildError
from pibed.base.files import digest_file, digest_text
from pibed.base.process import capture
from pibed.build import elf, reads, toolchain
from pibed.build.debian.bench import REPRODUCIBLE, Bench
from pibed.build.diagnostics import explained
from pibed.build.elf import Elf
from pibed.build.mirror import OBJECTS, READ_BY_MAKE, Mirror, files_of, mirrored
from pibed.build.payload import Payload
from pibed.build.program import Program, Ready, Target
from pibed.build.reads import Read
from pibed.build.sandbox import Sandbox, around
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
    tools: dict[str, str]
    """What compiled them beyond the machine's toolchain, as in that."""


def make(bench: Bench, payload: Payload) -> Programs:
    """All programs of a payload; raises BuildError with what the compiler says of one.

    See `check` for others that are refused.
    """
    check(bench, payload)
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
        elif isinstance(program, Target):
            output = make_target(bench, payload, program)
            files[program.name] = output.path / program.name
            steps.append(output)
            keys.append(output.step.key)
            read |= output.read
    key = keys[0] if len(keys) == 1 else digest_text("\n".join(keys))
    return Programs(files, tuple(steps), key, dict(sorted(read.items())), _cxx(bench, payload))


def _cxx(bench: Bench, payload: Payload) -> dict[str, str]:
    """The C++ compiler, where it compiles, or where a Makefile may call it."""
    asked = any(each.is_cxx for each in payload.compiled)
    may = any(isinstance(each, Target) for each in payload.programs)
    if asked or (may and shutil.which(bench.cxx_compiler) is not None):
        return toolchain.cxx(bench.cxx_compiler)
    return {}


def check(bench: Bench, payload: Payload) -> None:
    """Raises BuildError for a program that was built elsewhere and does not run in the guest.

    Whether the guest has the libraries that it needs is known only when it is laid together.
    """
    for program in payload.programs:
        if isinstance(program, Ready) and not program.script:
            where = f"{payload.config_file}: workload.program: {program.file}"
            found = require_for_guest(program.file, bench, where)
            if found.interpreter and payload.packages is None and payload.files is None:
                raise BuildError(
                    f"{where}: {missing([found.interpreter, *found.needed])}", fix=LINK
                )


LINK = (
    "link it statically (-static, as $(LDFLAGS) has it), or ask for the packages that have them: "
    "`packages: [libc6, …]`"
)


def missing(names: Sequence[str]) -> str:
    """What is said of files that the guest does not have."""
    return f"it needs {', '.join(names)}, which the guest does not have"


def compile(bench: Bench, payload: Payload, programs: Sequence[Program]) -> Output:
    """Those that are compiled."""
    flags = ["-Wall", "-Wextra", "-static", *payload.cflags]
    is_cxx = any(each.is_cxx for each in programs)
    compiler = bench.cxx_compiler if is_cxx else bench.compiler
    tools = bench.tools.linking | _cxx(bench, payload)
    # Asked each time: a header that is new can come before the one that was found before.
    files = read_by_compiler(bench.sandbox, compiler, flags, programs, payload.root)
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
                bench.sandbox.run(
                    argv,
                    log,
                    output=folder,
                    readable=program.elsewhere(payload.root),
                    sources=payload.root,
                    cwd=program.folder,
                    on_line=on_line,
                )
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


def make_target(bench: Bench, payload: Payload, program: Target) -> Output:
    """A program that make makes, in a copy of its folder.

    Raises BuildError with what make says, and if it makes no such program or one that is not for
    the guest.
    """
    wanted = f"{program.folder}: `make {program.target}`"

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> Read:
        began_ns = time.time_ns()
        with mirrored(program.folder, payload.root, folder / "tree", OBJECTS) as mirror:
            made = mirror.folder / program.file
            # What is there was made by hand, for the host perhaps, and make would leave it so.
            made.unlink(missing_ok=True)
            told = mirror.folder / ".dependencies"
            flags = f"-ffile-prefix-map={mirror.folder}/={mirror.named}"
            argv = ["make", *_variables(bench, flags), program.target]
            argv.append(f"{READ_BY_MAKE}={mirror.makefiles}")
            env = {
                **REPRODUCIBLE,
                # In the environment, so that a Makefile can add to them.
                "CFLAGS": " ".join(payload.cflags),
                "CXXFLAGS": " ".join(payload.cflags),
                "LDFLAGS": "-static",
                "LDLIBS": " ".join(program.libraries),
                # The compiler tells there what it reads.
                "DEPENDENCIES_OUTPUT": f"{told} x",
            }
            try:
                bench.sandbox.run(
                    argv,
                    log,
                    output=mirror.folder,
                    readable=[mirror.top],
                    sources=mirror.root,
                    cwd=mirror.folder,
                    env=env,
                    on_line=on_line,
                )
            except BuildError as error:
                if shutil.which(
                    bench.cxx_compiler
                ) is None and f"{bench.cxx_compiler}: " in log.read_text(errors="replace"):
                    error.fix = "./inv setup --cxx"
                what = f"the program {program.name}"
                raise explained(error, what, mirror.original, mirror.in_words) from None
            if not made.is_file():
                raise BuildError(f"{wanted} makes no {program.file}", log=log)
            if made.read_bytes()[:2] != b"#!":
                require_for_guest(made, bench, f"{wanted} makes {program.file}")
                # What debuggers read names the folder of the copy.
                strip = [f"{bench.machine.cross_compile}strip", "--strip-debug", str(made)]
                bench.sandbox.run(
                    strip,
                    log,
                    output=mirror.folder,
                    readable=[],
                    sources=mirror.root,
                    cwd=mirror.folder,
                )
            found = _read_by_make(mirror, told, toolchain.headers(bench.compiler))
            own = bench.sandbox.visible(found - {program.folder / program.file}, mirror.root)
            read = reads.digests(own, payload.root)
            made.rename(folder / program.name)
        reads.require_older(read, payload.root, began_ns)
        return read

    inputs = {
        "files": json.dumps(sorted(set(files_of(program.folder, OBJECTS)) - {program.file})),
        "folder": reads.name_of(program.folder, payload.root),
        "target": f"{program.target} {program.file}",
        "cflags": " ".join(payload.cflags),
        "libraries": " ".join(program.libraries),
        "tools": str(bench.tools.linking | _cxx(bench, payload)),
    }
    return bench.run(Step("made-program", inputs, expected_s=5), make, payload.root)


def require_for_guest(path: Path, bench: Bench, where: str) -> Elf:
    """What a program is; raises BuildError, which begins with `where`, if it is not the guest's."""
    prefix = bench.machine.cross_compile
    start = capture([bench.compiler, "-print-file-name=crt1.o"]).strip()
    try:
        found = elf.read(path, prefix, around(bench.sandbox.kind, path))
        guest = elf.read(Path(start), prefix)
    except ValueError as error:
        raise BuildError(f"{where}: {error}") from None
    if found.machine != guest.machine:
        raise BuildError(
            f"{where}: it is for {found.machine}, but the guest is {guest.machine}",
            fix=f"build it with {bench.compiler}: $(CC) in a Makefile",
        )
    if not found.is_program:
        raise BuildError(f"{where}: it is no program, but {found.kind}")
    return found


def _variables(bench: Bench, flags: str) -> list[str]:
    """The words of make's command line that say what compiles."""
    prefix = bench.machine.cross_compile
    tools = {name: f"{prefix}{name.lower()}" for name in ("AR", "LD", "NM", "RANLIB", "STRIP")}
    tools |= {"CC": f"{bench.compiler} {flags}", "CXX": f"{bench.cxx_compiler} {flags}"}
    return toolchain.assignments(bench.variables | tools)


def _read_by_make(mirror: Mirror, told: Path, known: Sequence[Path]) -> set[Path]:
    """The files of a target: all of its folder, and what compiler and make say beyond that.

    What lies in folders that are `known` is left out.
    """
    found = {mirror.origin / name for name in mirror.files}
    rules = [path for path in (told, *mirror.folder.rglob("*.d")) if path.is_file()]
    paths = {
        path
        for rule in rules
        for path in reads.prerequisites(rule.read_text(encoding="utf-8", errors="replace"))
    }
    if mirror.makefiles.is_file():
        paths.update(mirror.makefiles.read_text(encoding="utf-8", errors="replace").split())
    # Make may have run the compiler in any folder below, which is what relative paths are from.
    below = [folder for folder in mirror.folder.rglob("*") if folder.is_dir()]
    paths |= {str(folder / path) for path in paths for folder in below if (folder / path).is_file()}
    for path in map(mirror.original, paths):
        if path is not None and path.is_file() and not any(map(path.is_relative_to, known)):
            found.add(path)
    return found


def read_by_compiler(
    sandbox: Sandbox, compiler: str, flags: Sequence[str], programs: Sequence[Program], root: Path
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
            rules = sandbox.capture(
                [compiler, "-M", *flags, *arguments],
                readable=[path for each in here for path in each.elsewhere(root)],
                sources=root,
                cwd=folder,
            )
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
