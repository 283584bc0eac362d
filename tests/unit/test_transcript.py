"""What programs print goes to the terminal and to a file; and they end with us."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pibed.commands.transcript import Transcript
from tests.unit.helpers import python


def test_both_outputs_are_on_the_terminal_and_in_the_file(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with Transcript.begun(tmp_path / "logs", "test") as transcript:
        transcript.say("begin")
        ended = transcript.run(["sh", "-c", r"printf 'a\377'; echo b >&2; exit 3"], tmp_path)
    assert (ended.status, ended.printed) == (3, True)
    assert transcript.path.parent == tmp_path / "logs"
    assert transcript.path.name.startswith("test-2")
    assert transcript.path.read_bytes() == b"begin\na\xffb\n"
    assert capfdbinary.readouterr().out == b"begin\na\xffb\n"


@pytest.mark.parametrize(("text", "printed"), [("", False), (" \n\n", False), ("x", True)])
def test_white_space_is_no_finding(tmp_path: Path, text: str, printed: bool) -> None:
    with Transcript(tmp_path / "log") as transcript:
        assert transcript.run(["printf", "%s", text], tmp_path).printed == printed


def test_program_has_no_input(tmp_path: Path) -> None:
    with Transcript(tmp_path / "log") as transcript:
        assert transcript.run(["cat"], tmp_path).status == 0


@pytest.mark.parametrize("ignored", [False, True])
def test_what_ends_us_ends_the_program(tmp_path: Path, ignored: bool) -> None:
    """By the signal of Ctrl-C, behind which pytest cleans up; also where that was ignored."""
    code = """
import signal, sys
from pathlib import Path
from pibed.commands.transcript import Transcript

def end(*_): raise SystemExit(143)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.SIG_IGN if sys.argv[2:] else signal.default_int_handler)
with Transcript(Path(sys.argv[1]) / "log") as transcript:
    program = "trap 'echo cleaned up; exit' INT; echo $$; while :; do sleep 0.05; done"
    transcript.run(["sh", "-c", program], Path("/"))
"""
    with python(code, str(tmp_path), *(["ignored"] if ignored else [])) as process:
        assert process.stdout is not None
        program = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
    assert (tmp_path / "log").read_text().endswith("cleaned up\n")
    with pytest.raises(ProcessLookupError):
        os.kill(program, 0)
