"""The table of faults in docs/reliability.md: what was measured against what is documented."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

BEGIN = "<!-- faults: written by tests/live/test_faults.py -->"
PIPE = r"\|"  # within a cell
END = "<!-- end of faults -->"
HEADER = (
    "| fault | provoked by | status | message | noticed after (s) | deadline (s) |\n"
    "|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Row:
    """A fault: how it is provoked, what its sample says, when that was known and had to be."""

    fault: str
    provoked: str
    status: str
    message: str
    seconds: float
    deadline_s: float

    def __str__(self) -> str:
        cells = (
            self.fault,
            self.provoked,
            self.status,
            self.message,
            f"{self.seconds:.1f}",
            f"{self.deadline_s:g}",
        )
        return "".join(f"| {each.replace('|', PIPE)} " for each in cells) + "|\n"

    @classmethod
    def parse(cls, line: str) -> Row:
        """The row of a line of the table."""
        _, *cells, _ = (each.strip().replace(PIPE, "|") for each in re.split(r"(?<!\\)\|", line))
        fault, provoked, status, message, seconds, deadline_s = cells
        return cls(fault, provoked, status, message, float(seconds), float(deadline_s))


class Table:
    """The table in a file, between two marks; `writes`: what is checked becomes the table."""

    def __init__(self, path: Path, writes: bool) -> None:
        self._path = path
        self._writes = writes
        self._head, _, rest = path.read_text(encoding="utf-8").partition(BEGIN + "\n")
        body, _, self._tail = rest.partition(END + "\n")
        rows = [Row.parse(line) for line in body.splitlines()[2:]]
        self.rows = {row.fault: row for row in rows}

    def check(self, row: Row) -> None:
        """Fails unless the fault went as documented, and in time."""
        assert row.seconds <= row.deadline_s, row
        if self._writes:
            self.rows[row.fault] = row
        else:
            # How long it took is this machine's; the documented time is another one's.
            documented = self.rows[row.fault]
            expected = replace(documented, seconds=row.seconds)
            assert row == expected, f"{row}\nis not as documented:\n{expected}"

    def close(self) -> None:
        """Writes the file if that was asked for."""
        if self._writes:
            body = HEADER + "".join(map(str, self.rows.values()))
            text = f"{self._head}{BEGIN}\n{body}{END}\n{self._tail}"
            self._path.write_text(text, encoding="utf-8")
