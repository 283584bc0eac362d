"""A program on a terminal of its own that inherits open descriptors, which pexpect would close."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pexpect
import ptyprocess


class Spawned(pexpect.spawn):  # type: ignore[type-arg]
    """A program with a terminal of so many rows and columns.

    Raises pexpect's ExceptionPexpect if it cannot be started.
    """

    def __init__(
        self, argv: Sequence[str], dimensions: tuple[int, int], inherited: Sequence[int]
    ) -> None:
        self._inherited = tuple(inherited)
        super().__init__(argv[0], list(argv[1:]), timeout=None, dimensions=dimensions)

    def _spawnpty(self, args: list[str], **options: Any) -> Any:
        options["preexec_fn"] = self._keep_open
        return ptyprocess.PtyProcess.spawn(args, pass_fds=self._inherited, **options)

    def _keep_open(self) -> None:
        for each in self._inherited:
            os.set_inheritable(each, True)
