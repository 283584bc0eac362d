"""How a build stands to the lock: what it has, compared with what is pinned.

By default a build goes on and says what differs, so that every result can be marked with it;
`--locked` refuses instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pibed.base.errors import HostError
from pibed.base.files import digest_file
from pibed.build.sources import lock
from pibed.build.sources.lock import Lock
from pibed.model.builder import Source, Standing


def compare(pins: Lock | None, sources: Mapping[str, Source], tools: Mapping[str, str]) -> Standing:
    """Compares what a build has with the lock; what the lock names beyond that does not matter."""
    if pins is None:
        return Standing(None, (f"there is no configs/{lock.path().name}",))
    return Standing(digest_file(lock.path()), tuple(differences(pins, sources, tools)))


def differences(pins: Lock, sources: Mapping[str, Source], tools: Mapping[str, str]) -> list[str]:
    """What differs from the lock, one line each: `busybox 1:1.35.0-5 instead of 1:1.35.0-4`."""
    lines = []
    for package, source in sorted(sources.items()):
        locked = pins.sources.get(package)
        if locked is None:
            lines.append(f"{package} {source.version} instead of nothing")
        elif source.version != locked.version:
            lines.append(f"{package} {source.version} instead of {locked.version}")
        elif source.files != locked.files:
            names = sorted({name for name, _ in source.files.items() ^ locked.files.items()})
            lines.append(f"{package} {source.version} with other content: {', '.join(names)}")
    for tool, line in sorted(tools.items()):
        if (known := pins.tools.get(tool)) != line:
            lines.append(f"{tool}: {line} instead of {known or 'nothing'}")
    return lines


def changes(old: Lock | None, new: Lock) -> list[str]:
    """What a new lock changes, one line each."""
    old = old or Lock(schema_version=1, sources={}, tools={})
    return [
        *differences(old, new.sources, new.tools),
        *(
            f"nothing instead of {name} {source.version}"
            for name, source in sorted(old.sources.items())
            if name not in new.sources
        ),
        *(
            f"{name}: nothing instead of {line}"
            for name, line in sorted(old.tools.items())
            if name not in new.tools
        ),
    ]


def refuse(differs: Sequence[str]) -> None:
    """Raises HostError that names every difference, if there are any."""
    if differs:
        raise HostError(
            "\n".join(["what is here differs from the lock:", *(f"  {each}" for each in differs)]),
            fix="install the locked tools, take locked sources from a --mirror (docs/lock.md), "
            "accept what is here with `./inv lock`, or leave --locked away: results are marked",
        )
