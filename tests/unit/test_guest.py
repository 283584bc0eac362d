"""What of a guest can be known without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import HostError
from pibed.guest import guest


def test_log_with_all_that_was_sent_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_bytes(b"| output\n")
    guest.require_whole(log, 9)


@pytest.mark.parametrize("size", [0, 8, 10])
def test_log_that_was_cut_by_a_full_disk_is_not(tmp_path: Path, size: int) -> None:
    log = tmp_path / "agent.log"
    log.write_bytes(b"| output\n")
    with pytest.raises(HostError, match=f"only 9 of {size} bytes could be written") as caught:
        guest.require_whole(log, size)
    assert str(log) in caught.value.message


def test_log_of_a_qemu_that_was_killed_may_lack_a_little(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(bytes(100))
    for size in (90, 164):
        guest.require_whole(log, size, on_the_way=64)
    with pytest.raises(HostError, match="only 100 of 165 bytes could be written"):
        guest.require_whole(log, 165, on_the_way=64)
