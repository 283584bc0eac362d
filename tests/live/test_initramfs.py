"""The archive that the kernel's own tool writes."""

from __future__ import annotations

import os
from pathlib import Path

from pibed.build.images import Images
from pibed.build.initramfs import CharDevice, Entry, File, Link, write_archive


def test_bytes_do_not_depend_on_when_the_sources_were_written(
    images: Images, tmp_path: Path
) -> None:
    archives = []
    for moment in (1_000_000_000, 1_700_000_000):
        folder = tmp_path / str(moment)
        folder.mkdir()
        (folder / "plan").write_text("1 2 true\n")
        os.utime(folder / "plan", (moment, moment))
        entries: list[Entry] = [
            File("/a/plan", "plan"),
            Link("/b", "a/plan"),
            CharDevice("/dev/console", 5, 1),
        ]
        write_archive(images.gen_init_cpio, folder, entries, folder / "archive.cpio")
        archives.append((folder / "archive.cpio").read_bytes())
    assert archives[0] == archives[1]
    assert b"1 2 true\n" in archives[0]
