"""A table as it is shown: text in columns, on a page or in a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich import table


@dataclass(frozen=True)
class Column:
    """What stands above a column, and whether numbers stand in it: these end below each other."""

    heading: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text; every row has a text for each column."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """What a reader of the numbers must know."""
    folded: bool = False
    """Whether a page shows it on demand only."""
    grouped: bool = False
    """Whether rows that begin with another text than the one before stand apart in a terminal."""


def printed(shown: Table) -> table.Table:
    """The table for a terminal; none of its text is taken for markup."""
    from rich import box, table
    from rich.markup import escape

    result = table.Table(
        title=escape(shown.title) or None,
        title_justify="left",
        caption=escape(shown.note) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in shown.columns:
        if column.number:
            result.add_column(escape(column.heading), justify="right", no_wrap=True)
        else:
            result.add_column(escape(column.heading), overflow="fold")
    before = shown.rows[0][0] if shown.rows else ""
    for row in shown.rows:
        if shown.grouped and row[0] != before:
            result.add_section()
        before = row[0]
        result.add_row(*(escape(text) for text in row))
    return result
