"""Names that an experiment can give to options of the command line; nothing heavy is imported."""

from __future__ import annotations

import re

PATTERN = r"^[a-z][a-z0-9]+(-[a-z0-9]+)*$"

# Invoke's own of more than a letter, which every verb takes as well.
TAKEN = frozenset(
    {
        "collection",
        "command-timeout",
        "complete",
        "config",
        "debug",
        "dry",
        "echo",
        "help",
        "hide",
        "list",
        "list-depth",
        "list-format",
        "print-completion-script",
        "prompt-for-sudo-password",
        "pty",
        "search-root",
        "version",
        "warn-only",
        "write-pyc",
    }
)


def mistake(name: object) -> str | None:
    """Why an option cannot be called that; None if it can."""
    if not isinstance(name, str) or "\n" in name or not re.match(PATTERN, name):
        return "expected letters a to z, digits and single dashes between them, two at least"
    if name.startswith("no-"):
        return f"--{name} would switch another option off"
    if name in TAKEN:
        return f"--{name} is an option of every verb"
    return None
