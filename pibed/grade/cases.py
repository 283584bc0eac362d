"""What must hold in a case: the comment above its function in the program's source."""

from __future__ import annotations

import re
from pathlib import Path

from pibed.grade.course import Course
from pibed.grade.records import UNLOAD

_ENTRY = re.compile(r'\.name\s*=\s*"([^"]+)"\s*,\s*\.run\s*=\s*(\w+)')

_FUNCTION = r"/\*((?:(?!\*/).)*)\*/\s*static\s+void\s+{name}\s*\("


def expectations(course: Course) -> dict[str, str]:
    """What must hold, by the names of the cases; those without a comment are left out."""
    found = {UNLOAD: "The module can be unloaded, and the guest ends well."}
    for wanted in course.payloads.values():
        for program in wanted.compiled:
            found |= of_program(program.sources[0])
    return found


def of_program(source: Path) -> dict[str, str]:
    """The same of one program."""
    text = source.read_text(encoding="utf-8")
    found = {}
    for name, function in _ENTRY.findall(text):
        match = re.search(_FUNCTION.format(name=re.escape(function)), text, re.DOTALL)
        if match is not None:
            words = (line.strip().removeprefix("*").strip() for line in match[1].splitlines())
            found[f"{source.stem}.{name}"] = " ".join(filter(None, words))
    return found
