"""QEMU's monitor: questions, answers, and what comes between them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pibed.guest import monitor
from pibed.guest.monitor import Monitor

GREETING: dict[str, Any] = {"QMP": {"version": {}, "capabilities": []}}
SHUTDOWN = {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}}


def event(name: str) -> dict[str, Any]:
    return {"event": name, "data": {}, "timestamp": {"seconds": 1, "microseconds": 2}}


@pytest.fixture
def ends() -> Iterator[tuple[Monitor, socket.socket]]:
    near, far = socket.socketpair()
    known = Monitor(near)
    yield known, far
    known.close()
    far.close()


def answering(
    far: socket.socket, answers: Callable[[dict[str, Any]], list[Any]], questions: int = 1
) -> threading.Thread:
    """Plays QEMU for so many questions."""

    def play() -> None:
        left = questions
        with far.makefile("rb") as lines:
            for line in lines:
                asked = json.loads(line)
                if asked["execute"] == "qmp_capabilities":
                    continue
                for each in answers(asked):
                    text = each if isinstance(each, bytes) else json.dumps(each).encode()
                    far.sendall(text + b"\r\n")
                left -= 1
                if not left:
                    return

    thread = threading.Thread(target=play)
    thread.start()
    return thread


def test_the_guests_clock(ends: tuple[Monitor, socket.socket]) -> None:
    known, far = ends

    def answers(asked: dict[str, Any]) -> list[Any]:
        assert asked["arguments"] == {"command-line": "xp /2wx 0x3f003004"}
        words = "000000003f003004: 0x00000005 0x00000001\r\n"
        late = {"return": "000000003f003004: 0x00000009 0x00000000\r\n", "id": asked["id"] - 1}
        return [GREETING, {"return": {}}, event("RESUME"), b"{", late, {"return": words, "id": 1}]

    thread = answering(far, answers)
    assert known.guest_us(0x3F003004) == (1 << 32) + 5
    thread.join()


@pytest.mark.parametrize("answer", [{"return": "Cannot access memory\r\n"}, {"error": {}}, {}])
def test_no_such_clock(ends: tuple[Monitor, socket.socket], answer: dict[str, Any]) -> None:
    known, far = ends
    thread = answering(far, lambda asked: [{**answer, "id": asked["id"]}])
    assert known.guest_us(0) is None
    thread.join()


@pytest.mark.parametrize(
    ("instruction", "counter"),
    [("e320f002", 0xC0297C90), ("1320f002", 0xC0297C90), ("e320f001", None), ("e1530002", None)],
)
def test_where_a_cpu_waits(
    ends: tuple[Monitor, socket.socket], instruction: str, counter: int | None
) -> None:
    known, far = ends
    told = {
        "info registers": "\r\nCPU#0\r\nR00=c0803d84 R15=c0297c90\r\nPSR=80000013\r\n",
        "x /2wx 0xc0297c8c": f"c0297c8c: 0x{instruction} 0xe1d030b0\r\n",
    }

    def answers(asked: dict[str, Any]) -> list[Any]:
        return [{"return": told[asked["arguments"]["command-line"]], "id": asked["id"]}]

    thread = answering(far, answers, questions=2)
    assert known.waits_at() == counter
    thread.join()


def test_qemu_that_does_not_answer(
    ends: tuple[Monitor, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_ANSWER_S", 0.05)
    known, far = ends
    assert known.guest_us(0) is None
    far.close()
    assert known.guest_us(0) is None


def test_why_qemu_ended_is_known_whenever_it_said_so(
    ends: tuple[Monitor, socket.socket],
) -> None:
    known, far = ends
    thread = answering(far, lambda asked: [SHUTDOWN, {"return": "", "id": asked["id"]}])
    assert known.guest_us(0) is None
    thread.join()
    far.close()
    assert known.shutdown_reason() == "guest-shutdown"


def test_why_qemu_ended_at_the_end(ends: tuple[Monitor, socket.socket]) -> None:
    known, far = ends
    far.sendall(json.dumps(GREETING).encode() + b"\r\n" + json.dumps(SHUTDOWN).encode() + b"\r\n")
    far.shutdown(socket.SHUT_WR)
    assert known.shutdown_reason() == "guest-shutdown"


def test_qemu_that_said_nothing(ends: tuple[Monitor, socket.socket]) -> None:
    known, far = ends
    far.sendall(b"{\n[]\n")
    far.close()
    assert known.shutdown_reason() is None
