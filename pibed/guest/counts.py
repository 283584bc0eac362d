"""The file in which the timing plugin writes down its counts, read as it grows."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from pibed.base.errors import GuestError
from pibed.model.counts import BEGIN, END, Counts, Event, Mark


class CountsError(GuestError):
    """The file of counts is not there, or holds what the plugin does not write."""


class CountsFile:
    """Follows a file of counts: a line with the events' names, then one a mark.

    The plugin has written a mark's line before the guest's next instruction, so all marks of a
    command are there once the agent has told its end. Those of later ones may be there as well,
    since a guest with a plan does not wait; the agent marks the end of every command once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._events: list[str] | None = None
        self._marks: list[Mark] = []

    def take(self) -> Counts:
        """The marks of the next command, which has ended, from its begin to its end.

        Raises CountsError for a file that cannot be understood.
        """
        for line in self._lines():
            if (mark := self._mark(line)) is not None:
                self._marks.append(mark)
        codes = [mark.code for mark in self._marks]
        length = codes.index(END) + 1 if END in codes else len(codes)
        taken, self._marks = self._marks[:length], self._marks[length:]
        # Before its begin there may be what others have marked that were still there.
        first = codes.index(BEGIN) if BEGIN in codes[:length] else length
        return Counts(tuple(taken[first:]))

    def _lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise CountsError(f"{self._path}: {error.strerror}: nothing was counted") from None
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode(errors="replace").splitlines()

    def _mark(self, line: str) -> Mark | None:
        """The mark of a line; None for the first line, which names the events."""
        first, *words = line.split() or [""]
        if self._events is None:
            if first != "events" or (missing := {*get_args(Event)} - {*words}):
                raise CountsError(
                    f"{self._path}: expected the names of all events, not {line[:200]!r}"
                    + (f"; missing: {', '.join(sorted(missing))}" if first == "events" else "")
                )
            self._events = words
            return None
        try:
            values = dict(zip(self._events, map(int, words), strict=True))
            return Mark(int(first, 16), values)
        except ValueError:
            raise CountsError(f"{self._path}: this is no mark: {line[:200]!r}") from None
