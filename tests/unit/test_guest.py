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
