"""Profiles for other programs: folded stacks, speedscope's JSON, what `perf script` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pibed
from pibed.profile.binary import Function
from pibed.profile.tree import Node, Profile

Lines = Mapping[Function, str]
"""`FILE:LINE` of the functions of which it is known."""


def folded(profile: Profile, event: str) -> str:
    """A line for each chain of calls: the functions with semicolons between them, and a number.

    As stackcollapse-*.pl of FlameGraph write it, for flamegraph.pl, inferno and speedscope.
    """
    at = profile.events.index(event)
    lines = [
        f"{';'.join(str(each).replace(';', ',') for each in stack)} {node.own[at]}\n"
        for stack, node in _stacks(profile)
        if node.own[at]
    ]
    return "".join(lines)


def speedscope(profile: Profile, lines: Lines) -> str:
    """All events, each as a profile of speedscope's.

    See https://www.speedscope.app/file-format-schema.json; an event that did not happen is not in
    there.
    """
    numbers: dict[Function, int] = {}
    frames: list[dict[str, Any]] = []
    samples: list[list[int]] = []
    nodes: list[Node] = []
    for stack, node in _stacks(profile):
        if not any(node.own):
            continue
        for function in stack:
            if function not in numbers:
                numbers[function] = len(frames)
                frames.append(_frame(function, lines))
        samples.append([numbers[function] for function in stack])
        nodes.append(node)
    profiles = [
        {
            "type": "sampled",
            "name": f"{profile.title}: {event}",
            "unit": "none",
            "startValue": 0,
            "endValue": sum(node.own[at] for node in nodes),
            "samples": [stack for stack, node in zip(samples, nodes, strict=True) if node.own[at]],
            "weights": [node.own[at] for node in nodes if node.own[at]],
        }
        for at, event in enumerate(profile.events)
        if any(node.own[at] for node in nodes)
    ]
    whole = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": profile.title,
        "exporter": f"pibed {pibed.__version__}",
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": profiles,
    }
    return json.dumps(whole, ensure_ascii=False) + "\n"


def perf_script(profile: Profile, event: str) -> str:
    """A sample for each chain of calls, as many times as the event happened there (its period).

    The form is that of `perf script` of Linux. Its time is the number of events until then.
    """
    at = profile.events.index(event)
    parts: list[str] = []
    time = 0
    for stack, node in _stacks(profile):
        if not (number := node.own[at]):
            continue
        time += number
        program = stack[0].binary.replace(" ", "_")
        parts.append(f"{program} 1/1 {time // 10**6}.{time % 10**6:06d}: {number:>10} {event}: \n")
        parts += [
            f"\t{function.start:16x} {str(function).replace(' ', '_')} ({function.binary})\n"
            for function in reversed(stack)
        ]
        parts.append("\n")
    return "".join(parts)


def _frame(function: Function, lines: Lines) -> dict[str, Any]:
    frame: dict[str, Any] = {"name": str(function), "file": function.binary}
    file, _, line = lines.get(function, "").rpartition(":")
    if file and line.isdigit():
        frame |= {"file": file, "line": int(line)}
    return frame


def _stacks(profile: Profile) -> Iterator[tuple[tuple[Function, ...], Node]]:
    """Chains of calls from the program on, without what all have in common."""
    for path, node in profile.root.walk():
        if node is not profile.root:
            yield (*path[1:], node.function), node
