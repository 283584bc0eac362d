"""The script of an archive, with a program in QEMU's place: what it says and how it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base.files import digest_file
from pibed.commands import pack

# Says what the real one says first, and writes both logs as they were recorded.
FAKE = """\
#!/bin/sh
[ "$1" = --version ] && { echo "QEMU 7.2"; echo more; exit; }
for each; do printf '%s|' "$each"; done >>arguments
echo >>arguments
cat replayed/initramfs.cpio >>arguments
for each; do
	case $each in file:*)
		log=${each#file:} name=${log#replayed/}
		cp "run/boots/$name" "$log"
	esac
done
"""

Archive = Callable[..., Path]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Makes an archive of three boots, of which the second was lost."""

    def make(qemu: str = FAKE, exact: str = "yes") -> Path:
        folder = tmp_path / "an archive"
        files = {
            "images/initramfs.cpio": "base+",
            "qemu/program": "qemu-fake\n",
            "qemu/package": "qemu-package\n",
            "qemu/version": "QEMU 7.2\n",
            "qemu/exact": f"{exact}\n",
        }
        for name in ("01", "01-2", "02"):
            files[f"run/boots/{name}/console.log"] = f"console {name}"
            files[f"run/boots/{name}/agent.log"] = f"agent {name}"
            if name != "01-2":
                files[f"plans/{name}.cpio"] = f"plan {name}\n"
                files[f"plans/{name}.arguments"] = (
                    f"-append\nconsole=x a=$HOME *\\n\n-serial\nfile:replayed/{name}/console.log\n"
                    f"-serial\nfile:replayed/{name}/agent.log\n"
                )
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        shutil.copy(pack._REPLAY, folder)
        seal(folder)
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "qemu-fake").write_text(qemu, encoding="utf-8")
        (tmp_path / "bin" / "qemu-fake").chmod(0o755)
        return folder

    return make


def seal(folder: Path) -> None:
    sums = [
        f"{digest_file(path)}  {path.relative_to(folder)}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def replay(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "replay"],
        cwd="/",
        env={"PATH": f"{folder.parent / 'bin'}:{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LOST = "01-2: not replayed: its guest was lost when it was measured\n"


def test_everything_is_the_same(archive: Archive) -> None:
    folder = archive()
    done = replay(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (f"01: the same, byte for byte\n{LOST}02: the same, byte for byte\n")
    # Arguments as they were, and the plan behind the root file system.
    assert (folder / "arguments").read_text(encoding="utf-8") == "".join(
        f"-append|console=x a=$HOME *\\n|-serial|file:replayed/{name}/console.log|"
        f"-serial|file:replayed/{name}/agent.log|\nbase+plan {name}\n"
        for name in ("01", "02")
    )
    assert not (folder / "replayed" / "initramfs.cpio").exists()


@pytest.mark.parametrize("log", ["console.log", "agent.log"])
def test_log_that_differs(archive: Archive, log: str) -> None:
    folder = archive(FAKE + f"case $* in *01/*) echo other >>replayed/01/{log};; esac\n")
    done = replay(folder)
    assert done.returncode == 1
    assert "01: differs\n" in done.stdout
    assert "02: the same, byte for byte\n" in done.stdout


def test_damaged_archive_is_not_replayed(archive: Archive) -> None:
    folder = archive()
    (folder / "images" / "initramfs.cpio").write_text("other", encoding="utf-8")
    done = replay(folder)
    assert done.returncode == 2
    assert done.stderr.endswith("replay: the archive is damaged\n")
    assert not (folder / "arguments").exists()


def test_qemu_that_is_not_there_or_another_one(archive: Archive, tmp_path: Path) -> None:
    folder = archive()
    done = replay(folder, QEMU="/none/qemu")
    assert done.returncode == 2
    assert done.stderr.endswith(
        "replay: /none/qemu cannot be run; install QEMU (Debian: qemu-package)\n"
    )
    other = tmp_path / "bin" / "other"
    other.write_text(FAKE.replace("QEMU 7.2", "QEMU 9"), encoding="utf-8")
    other.chmod(0o755)
    done = replay(folder, QEMU=str(other))
    assert done.returncode == 0
    assert done.stderr == "replay: QEMU 9 instead of QEMU 7.2: times may differ\n"


def test_run_in_real_time_is_only_booted(archive: Archive) -> None:
    folder = archive(FAKE + "echo other >>replayed/02/agent.log\n", exact="no")
    (folder / "replayed" / "02").mkdir(parents=True)
    done = replay(folder)
    assert done.returncode == 0
    assert done.stdout.count(": booted; in real time nothing is the same twice\n") == 2


def test_qemu_that_fails_or_takes_too_long(archive: Archive, tmp_path: Path) -> None:
    # What cannot be replayed weighs more than what differs.
    folder = archive(
        FAKE + "case $* in *02/*) echo other >>replayed/02/agent.log;; *) exit 3;; esac\n"
    )
    done = replay(folder)
    assert done.returncode == 2
    assert "01: QEMU ended with status 3\n" in done.stdout
    assert "02: differs\n" in done.stdout
    (tmp_path / "bin" / "qemu-fake").write_text(FAKE + "exec sleep 60\n", encoding="utf-8")
    done = replay(folder, LIMIT="0.2")
    assert done.returncode == 2
    assert done.stdout.count(": not done after 0.2 s (LIMIT)\n") == 2
