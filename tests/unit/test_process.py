"""Programs of the host, run for real: their output, their failures, and what is left of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base.errors import BuildError, HostError
from pibed.base.process import capture, clean_environment, run_logged
from tests.unit.helpers import python


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_output_goes_to_the_log_and_line_by_line(log: Path) -> None:
    lines: list[str] = []
    run_logged(["sh", "-c", "echo one; echo two >&2"], log, on_line=lines.append)
    assert lines == ["one\n", "two\n"]
    assert log.read_text(encoding="utf-8") == "$ sh -c echo one; echo two >&2\none\ntwo\n"


def test_log_is_appended_to(log: Path) -> None:
    run_logged(["echo", "one"], log)
    run_logged(["echo", "two"], log)
    assert log.read_text(encoding="utf-8") == "$ echo one\none\n$ echo two\ntwo\n"


def test_last_line_without_end_and_no_utf8(log: Path) -> None:
    run_logged(["printf", r"\377end"], log)
    assert log.read_text(encoding="utf-8") == "$ printf \\377end\n\ufffdend"


def test_standard_input(log: Path, tmp_path: Path) -> None:
    run_logged(["cat"], log, stdin="given\n")
    run_logged(["cat"], log)
    assert log.read_text(encoding="utf-8") == "$ cat\ngiven\n$ cat\n"


def test_folder(log: Path, tmp_path: Path) -> None:
    run_logged(["pwd"], log, cwd=tmp_path)
    assert log.read_text(encoding="utf-8").splitlines()[-1] == str(tmp_path)


def test_failure_gives_the_lines_of_the_error(log: Path) -> None:
    script = "seq 30; echo 'a.c:1: error: no such thing'; echo '  at this place'; seq 30; exit 2"
    with pytest.raises(BuildError) as caught:
        run_logged(["sh", "-c", script], log)
    assert caught.value.message == "sh ended with status 2"
    assert caught.value.log == log
    assert caught.value.context[:2] == ["a.c:1: error: no such thing", "  at this place"]
    assert len(caught.value.context) <= 20


def test_failure_without_error_lines_gives_the_last(log: Path) -> None:
    with pytest.raises(BuildError) as caught:
        run_logged(["sh", "-c", "seq 1000; exit 1"], log)
    assert caught.value.context[-1] == "1000"
    assert "1" not in caught.value.context


def test_failure_by_a_signal(log: Path) -> None:
    with pytest.raises(BuildError, match="sh was killed by signal 11"):
        run_logged(["sh", "-c", "kill -SEGV $$"], log)


def test_failure_that_does_not_read_its_input_keeps_its_words(log: Path) -> None:
    with pytest.raises(BuildError) as caught:
        run_logged(["sh", "-c", "echo 'error: bad'; exit 3"], log, stdin="x" * 1_000_000)
    assert caught.value.message == "sh ended with status 3"
    assert caught.value.context == ["error: bad"]


def test_missing_program(log: Path) -> None:
    with pytest.raises(HostError) as caught:
        run_logged(["pibed-has-no-such-program"], log)
    assert "pibed-has-no-such-program" in caught.value.message
    assert caught.value.fix == "./inv setup"


def test_missing_folder_is_not_a_missing_program(log: Path, tmp_path: Path) -> None:
    with pytest.raises((BuildError, HostError, OSError)) as caught:
        run_logged(["true"], log, cwd=tmp_path / "none")
    assert "is not installed" not in str(caught.value)


def test_log_that_cannot_be_written() -> None:
    with pytest.raises(OSError, match="No space left"):
        run_logged(["echo", "x"], Path("/dev/full"))


def test_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARCH", "CFLAGS", "MAKEFLAGS", "LANG", "LD_PRELOAD", "KBUILD_OUTPUT"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    environment = clean_environment({"MINE": "1", "TZ": "CET"})
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["https_proxy"] == "http://proxy:1"
    assert (environment["LC_ALL"], environment["TZ"], environment["MINE"]) == ("C", "CET", "1")
    assert clean_environment()["TZ"] == "UTC0"
    assert "theirs" not in environment.values()


def test_programs_get_the_clean_environment(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-march=native")
    run_logged(["env"], log, env={"SOURCE_DATE_EPOCH": "0"})
    lines = log.read_text(encoding="utf-8").splitlines()
    assert "SOURCE_DATE_EPOCH=0" in lines
    assert not [line for line in lines if line.startswith("CFLAGS")]
    assert "CFLAGS" not in capture(["env"])


def test_exception_leaves_no_program(log: Path) -> None:
    started: list[int] = []

    def fail(line: str) -> None:
        started.append(int(line))
        if len(started) == 2:
            raise RuntimeError("the reader has had enough")

    script = "sleep 1000 & echo $!; echo $$; wait"
    with pytest.raises(RuntimeError):
        run_logged(["sh", "-c", script], log, on_line=fail)
    assert len(started) == 2
    assert wait_until(lambda: not any(alive(pid) for pid in started))


def test_what_a_program_left_running_ends_with_it(log: Path) -> None:
    started: list[int] = []
    run_logged(
        ["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"],
        log,
        on_line=lambda line: started.append(int(line)),
    )
    assert wait_until(lambda: not alive(started[0]))


PARENT = """
import sys
from pathlib import Path
from pibed.base.process import run_logged
run_logged(sys.argv[2:], Path(sys.argv[1]), on_line=lambda line: print(line, end="", flush=True))
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_killed_parent_leaves_no_child(log: Path, signum: signal.Signals) -> None:
    with python(PARENT, str(log), "sh", "-c", "echo $$; exec sleep 1000") as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            assert alive(child)
            parent.send_signal(signum)
            parent.wait(5)
            assert wait_until(lambda: not alive(child))
        finally:
            if alive(child):
                os.kill(child, signal.SIGKILL)


def test_killed_parent_leaves_no_grandchild(log: Path) -> None:
    # As in a build: make passes the signal on to what it runs.
    makefile = log.with_name("Makefile")
    makefile.write_text("all:\n\t@echo $$$$; exec sleep 1000\n")
    with python(PARENT, str(log), "make", "-f", str(makefile)) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        try:
            assert alive(grandchild)
            parent.kill()
            parent.wait(5)
            assert wait_until(lambda: not alive(grandchild), 1)
        finally:
            if alive(grandchild):
                os.kill(grandchild, signal.SIGKILL)


def test_capture() -> None:
    assert capture(["printf", r"a\nb"]) == "a\nb"
    assert capture(["sh", "-c", "echo out; echo err >&2"]) == "out\n"


def test_capture_missing_program() -> None:
    with pytest.raises(HostError, match="pibed-has-no-such-program is not installed"):
        capture(["pibed-has-no-such-program"])


def test_capture_failure() -> None:
    with pytest.raises(BuildError, match=r"sh -c .* ended with status 4") as caught:
        capture(["sh", "-c", "echo why >&2; exit 4"])
    assert caught.value.context == ["why"]


def test_program_that_says_nothing_any_more_is_killed_with_what_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    started = time.monotonic()
    with pytest.raises(BuildError, match=r"sh printed nothing for 0\.3 s and was killed") as caught:
        run_logged(["sh", "-c", "echo last words; sleep 60 & wait"], log, silence_s=0.3)
    assert time.monotonic() - started < 20
    assert caught.value.context == ["last words"]
    assert caught.value.log == log


def test_program_that_goes_on_speaking_is_left_alone(tmp_path: Path) -> None:
    line = "for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.1; done"
    run_logged(["sh", "-c", line], tmp_path / "log", silence_s=0.6)
