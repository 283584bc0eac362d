"""What the kernel said of a case, with files and lines: by who has its symbols.

A boot does not need those. So it may run on a machine that has none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pibed.base.files import write_file
from pibed.build.images import Images
from pibed.guest import trace
from pibed.guest.console import told_in, trace_in
from pibed.ktest.outcome import CaseOutcome, Loss


def decoded(outcome: CaseOutcome, images: Images) -> CaseOutcome:
    """The outcome with all that the kernel said of it in its details.

    Writes the last words of a guest that was lost over a command to `trace.txt` beside its logs.
    """
    details: Sequence[str] = outcome.details
    if outcome.loss is not None and outcome.logs is not None:
        log = (outcome.logs / "console.log").read_bytes()
        details = _last_words(log, outcome.loss, images) or details
        if outcome.loss is not Loss.BOOTING:
            write_file(outcome.logs / "trace.txt", "".join(f"{line}\n" for line in details))
    leaks = trace.decode(outcome.leaks, images)
    return replace(outcome, details=(*details, *leaks), loss=None, leaks=())


def _last_words(log: bytes, loss: Loss, images: Images) -> Sequence[str]:
    """Of a console's log; empty if the kernel said nothing of its end."""
    died, lines = told_in(log)
    if loss is Loss.BLOCKED and not died:
        return trace.blocked(lines, images)
    if not died:
        return ()
    if loss is Loss.BOOTING:
        return trace.excerpt(lines, images)
    every = trace_in(log.decode(errors="replace").splitlines())
    return [*trace.excerpt(every, images), "", *trace.decode(every, images)]
