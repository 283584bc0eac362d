"""What is said of a guest that was lost, in words that are the same on every host.

Whether a host hears first that a kernel hangs or that its time is over is a matter of the host.
"""

from __future__ import annotations

from typing import Final

from pibed.base.errors import GuestError
from pibed.grade import flood
from pibed.grade.records import Why
from pibed.guest.guest import GuestOverdue, GuestTimeout, KernelHang, QemuLost
from pibed.guest.line import LineClosed, ProtocolError, Stuck

PATIENCE: Final = 8.0
"""How many times longer than usual a host may take: where many guests run, one gets little of it,
and what ends a guest is to be its own clock."""


def by_host(error: GuestError) -> bool:
    """Whether a guest was lost by what the host did, or did not do in time."""
    return type(error) in (GuestTimeout, QemuLost, LineClosed)


def told(error: GuestError) -> tuple[Why, str]:
    """By what a guest was lost, and what is said of that."""
    match error:
        case ProtocolError():
            return Why.FORGED, "something else than pibed wrote to pibed's serial line"
        case flood.Flood():
            return Why.FLOOD, f"{error.message} (more than {flood.MOST_BYTES >> 10} KiB)"
        case Stuck():
            return Why.HANG, "it did not end and cannot be killed: a process sleeps in the kernel"
        case KernelHang() | GuestOverdue():
            return Why.HANG, "the guest hangs: no program runs in it any more"
    return Why.CRASH, error.message
