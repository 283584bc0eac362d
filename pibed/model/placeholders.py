"""What stands between braces in an experiment's commands: `{size}` is the value of `size`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# A brace that is meant is written twice, so that shell and awk have theirs: `${{x}}`.
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def names(text: str) -> set[str]:
    """The names between braces."""
    return {name for match in _BRACES.finditer(text) if (name := match[1]) is not None}


def mistake(text: str, known: Iterable[str]) -> str | None:
    """What is wrong with the braces of a text, and how they are meant; None if nothing is."""
    known = list(known)
    for match in _BRACES.finditer(text):
        if match[1] is not None and match[1] not in known:
            return (
                f"{match[0]} is not a parameter of the experiment ({', '.join(known)}); braces "
                f"that are meant, as in shell and awk, are written twice: {{{match[0]}}}"
            )
        if len(match[0]) == 1:
            where = text[max(0, match.start() - 10) : match.end() + 10]
            return (
                f"a {match[0]} has no other brace, in {where!r}; one that is meant, as in shell "
                f"and awk, is written twice: {2 * match[0]}"
            )
    return None


def fill(text: str, values: Mapping[str, object]) -> str:
    """The text with the values of the names between braces, of a text without a `mistake`."""
    return _BRACES.sub(
        lambda match: match[0][0] if match[1] is None else str(values[match[1]]), text
    )


def literal(text: str) -> str:
    """A text that `fill` gives back as this one."""
    return text.replace("{", "{{").replace("}", "}}")
