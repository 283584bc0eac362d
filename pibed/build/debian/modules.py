"""The steps that make the user's modules for a kernel: one for each folder, in their order."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pibed.base.errors import BuildError
from pibed.base.files import digest_file
from pibed.build import modinfo, reads, toolchain
from pibed.build.debian.bench import REPRODUCIBLE, Bench
from pibed.build.diagnostics import explained, printed
from pibed.build.making import cores
from pibed.build.mirror import (
    READ_BY_MAKE,
    Mirror,
    files_of,
    makefile,
    mirrored,
    named,
    read_by_kbuild,
    sources,
)
from pibed.build.payload import Module, Payload
from pibed.build.reads import Read
from pibed.build.store import Output, Step

NOTES = "gcno"
"""In the output of a step, the folder of what the compiler has noted of modules that count."""

# GCC's own optimisers would else remove lines and branches before they are counted. Some functions
# run on several CPUs at once: of a count that is lost there, gcov would infer what never ran.
_COUNTING = ("-fno-early-inlining", "-fno-ssa-phiopt", "-fprofile-update=atomic")

# What a folder's modules export, for those that are built later.
_SYMBOLS = "Module.symvers"

_UNDEFINED = re.compile(r'^ERROR: modpost: "(\w+)" \[.*\] undefined!', re.MULTILINE)

_EXPORT = re.compile(r"\bEXPORT_SYMBOL\w*\s*\(\s*(\w+)")


@dataclass(frozen=True)
class Built:
    """The user's modules as they were built."""

    outputs: tuple[Output, ...]
    files: Mapping[str, Path]
    """By their names."""

    @property
    def read(self) -> Read:
        """The files that they were made of."""
        found = {name: digest for each in self.outputs for name, digest in each.read.items()}
        return dict(sorted(found.items()))


def modules(bench: Bench, payload: Payload, source: Output, kernel: Output) -> Built:
    """The payload's modules that are the user's.

    Those of a folder are built at once, and may use the symbols of those that come before. Raises
    BuildError with what the compiler says if one cannot be built, and if its makefile makes others.
    """
    trees = (source.path, kernel.path)
    outputs: list[Output] = []
    files: dict[str, Path] = {}
    for folder, here in payload.folders.items():
        output = _folder(bench, payload, folder, here, trees, kernel.step.key, outputs)
        outputs.append(output)
        files |= {each.name: output.path / f"{each.name}.ko" for each in here}
    return Built(tuple(outputs), files)


def _folder(
    bench: Bench,
    payload: Payload,
    origin: Path,
    here: Sequence[Module],
    trees: tuple[Path, Path],
    kernel_key: str,
    before: Sequence[Output],
) -> Output:
    names = [f"{each.name}.ko" for each in here]
    symbols = [path for each in before if (path := each.path / _SYMBOLS).is_file()]

    def make(folder: Path, log: Path, on_line: Callable[[str], None]) -> Read:
        began_ns = time.time_ns()
        with mirrored(origin, payload.root, folder / "tree") as mirror:
            flags = _COUNTING if payload.counted else ()
            command = module_make(*trees, bench.variables, mirror.folder, mirror.named, flags)
            command.append(f"{READ_BY_MAKE}={mirror.makefiles}")
            if symbols:
                command.append(f"KBUILD_EXTRA_SYMBOLS={' '.join(map(str, symbols))}")
            try:
                bench.sandbox.run(
                    command,
                    log,
                    output=mirror.folder,
                    readable=[*trees, *symbols, mirror.top],
                    sources=mirror.root,
                    cwd=trees[0],
                    # As a variable of the environment, so that a file's own `GCOV_PROFILE := n`
                    # still leaves it out.
                    env=REPRODUCIBLE | ({"GCOV_PROFILE": "y"} if payload.counted else {}),
                    on_line=on_line,
                )
            except BuildError as error:
                plural = "s" if len(here) > 1 else ""
                what = f"the module{plural} {' and '.join(each.name for each in here)}"
                told = explained(error, what, mirror.original, mirror.in_words)
                raise _with_users(told, error, mirror, payload) from None
            made = {modinfo.kernel_name(path.stem): path for path in mirror.folder.rglob("*.ko")}
            for module in here:
                if module.name not in made:
                    raise _other_names(payload, module, origin, sorted(made), log)
            files = read_by_kbuild(mirror, [*trees, *toolchain.headers(bench.compiler)])
            read = reads.digests(bench.sandbox.visible(files, mirror.root), payload.root)
            for module in here:
                made[module.name].rename(folder / f"{module.name}.ko")
            _keep_symbols(mirror, folder)
            if payload.counted:
                _keep_notes(mirror, folder)
        reads.require_older(read, payload.root, began_ns)
        return read

    inputs = {
        "kernel": kernel_key,
        "name": " ".join(names),
        "sources": json.dumps(sources(origin)),
        "named": named(origin, payload.root),
        # What another folder outside the root has read says nothing of this one.
        "folder": reads.name_of(origin, payload.root),
    }
    if payload.counted:
        inputs["counting"] = " ".join(_COUNTING)
    if symbols:
        inputs["symbols"] = " ".join(map(digest_file, symbols))
    step = Step("module", inputs, expected_s=3, version=4)
    return bench.run(step, make, payload.root)


def _keep_symbols(mirror: Mirror, folder: Path) -> None:
    """Without the folder of the build, which is another one each time."""
    exported = mirror.folder / _SYMBOLS
    text = exported.read_text(encoding="utf-8") if exported.is_file() else ""
    if text:
        text = text.replace(f"{mirror.folder}/", mirror.named)
        (folder / _SYMBOLS).write_text(text, encoding="utf-8")


def _keep_notes(mirror: Mirror, folder: Path) -> None:
    """By the paths that the object files had below the mirror."""
    for path in mirror.folder.rglob("*.gcno"):
        target = folder / NOTES / path.relative_to(mirror.top)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def _other_names(
    payload: Payload, module: Module, origin: Path, made: Sequence[str], log: Path
) -> BuildError:
    file = makefile(origin) or origin
    what = f"it makes {', '.join(f'{each}.ko' for each in made)}, and" if made else "it makes"
    key = f"{payload.config_file}: {module.key}"
    fix = f"give {key}.name one of: {', '.join(made)}" if made else None
    return BuildError(
        f"{file}: {what} no {module.name}.ko",
        fix=fix or f"name it there: obj-m := {module.name}.o",
        log=log,
    )


def _with_users(
    told: BuildError, error: BuildError, mirror: Mirror, payload: Payload
) -> BuildError:
    """An error of the build with the files that use symbols which nobody has."""
    symbols = dict.fromkeys(_UNDEFINED.findall("\n".join(printed(error))))
    if not symbols:
        return told
    using = _users(mirror.origin, symbols)
    first = next(iter(symbols))
    where = using[first][0].partition(": ")[0] if using[first] else None
    fix = told.fix
    for folder, here in payload.folders.items():
        if folder != mirror.origin and first in (exported := _exported(folder)):
            back = _words(folder) & _exported(mirror.origin) - exported
            fix = _order(here[-1].name, back, payload.config_file)
    return BuildError(
        told.message + (f", which is used in {where}" if where else ""),
        fix=fix,
        log=told.log,
        context=[*told.context, *(line for lines in using.values() for line in lines)],
    )


def _users(folder: Path, symbols: Iterable[str]) -> dict[str, list[str]]:
    """Where the sources of a folder have each of some symbols: `FILE:LINE: text`."""
    found: dict[str, list[str]] = {symbol: [] for symbol in symbols}
    for path, text in _texts(folder):
        lines = text.splitlines()
        for symbol, places in found.items():
            word = re.compile(rf"\b{symbol}\b")
            numbers = [number for number, line in enumerate(lines, 1) if word.search(line)]
            if numbers:
                # The first one may declare it.
                places.append(f"{path}:{numbers[-1]}: {lines[numbers[-1] - 1].strip()}")
    return found


def _exported(folder: Path) -> set[str]:
    """The symbols that the sources of a folder export."""
    return {symbol for _, text in _texts(folder) for symbol in _EXPORT.findall(text)}


def _words(folder: Path) -> set[str]:
    """All words of the sources of a folder."""
    return {word for _, text in _texts(folder) for word in re.findall(r"\w+", text)}


def _texts(folder: Path) -> Iterator[tuple[Path, str]]:
    for name in files_of(folder):
        if name.endswith(".c"):
            path = folder / name
            yield path, path.read_text(encoding="utf-8", errors="replace")


def _order(module: str, back: set[str], config_file: str) -> str:
    """What to do about a symbol that a module exports which is built later.

    `back` are the symbols that it uses itself of the one that cannot be built.
    """
    if back:
        return (
            f"{module} exports it, and uses {min(back)} of this one: modules that need each other "
            "can be loaded in no order; move what both need into a third one"
        )
    return f"{module} exports it: put it before, in modules of {config_file}"


def module_make(
    kernel_source: Path,
    kernel_build: Path,
    variables: Mapping[str, str],
    folder: Path,
    named: str,
    more_flags: Sequence[str] = (),
) -> list[str]:
    """The make command that builds the modules in `folder`; to be run in the kernel's sources.

    What a module says of its files begins with `named` in the place of the folder and a slash;
    `more_flags` are given to the compiler.
    """
    # No path of the host in the module, whatever it prints with __FILE__, nor in what debuggers and
    # traces read: that is there whatever kernel it is for, since it costs the guest nothing.
    flags = [
        "-g",
        f"-ffile-prefix-map={folder}/={named}",
        f"-fdebug-prefix-map={kernel_source}/=",
        f"-fdebug-prefix-map={kernel_build}=.",
        *more_flags,
    ]
    return [
        "make",
        f"O={kernel_build}",
        f"M={folder}",
        # As where make is called by hand: many a Makefile has $(PWD) in its paths.
        f"PWD={folder}",
        f"-j{cores()}",
        *toolchain.assignments(variables),
        f"KCFLAGS={' '.join(shlex.quote(flag) for flag in flags)}",
        "modules",
    ]
