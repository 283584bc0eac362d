"""`report`: a run's plots and reports, made again from its files alone."""

from __future__ import annotations

from pibed.commands.options import ReportOptions
from pibed.report.page import NAMES, publish
from pibed.runs import locate
from pibed.studies import STUDIES


def report(options: ReportOptions) -> None:
    """Writes plots and reports into a run's folder, and says what they say and where they are.

    Raises UsageError for what is no run, HostError where its folder cannot be written.
    """
    folder = locate.find(locate.root(options.results), options.run)
    made = publish(folder, STUDIES.values())
    for line in (*made.headline, *made.notes):
        print(line)
    for name in NAMES:
        print(f"report: {folder / name}")
