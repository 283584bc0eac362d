"""`help`, which is also what `./inv` alone does: how to begin."""

from __future__ import annotations

from pibed.commands.options import HelpOptions

_TEXT = """\
pibed measures kernel modules on an emulated Raspberry Pi. To begin:

  ./inv setup         installs what is missing on this host
  ./inv sweep         builds, boots and measures, and writes a report
  ./inv boot          a shell in the guest
  ./inv --list        all that can be done; ./inv sweep --help says how, docs/commands.md more"""


def show(options: HelpOptions) -> None:
    """Prints what to try first, and where help is."""
    print(_TEXT)
