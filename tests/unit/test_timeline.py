"""What the kernel recorded is decoded to the nanosecond, and written for viewers as it was."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from pibed.base.errors import GuestError, UsageError
from pibed.commands import timeline
from pibed.commands.options import TimelineOptions
from pibed.guest.qemu import Logs
from pibed.model.protocol import Command, Result
from pibed.timeline import events, perfetto, recording, ringbuffer, tracedat
from pibed.timeline.events import Event
from pibed.timeline.recording import Recorded
from pibed.timeline.ringbuffer import Layout, Record

HEADER = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:4;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:12;\tsize:4084;\tsigned:0;
"""

COMMON = """\
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""

SWITCH = f"""\
name: sched_switch
ID: 70
{COMMON}\
\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:int prev_prio;\toffset:28;\tsize:4;\tsigned:1;
\tfield:long prev_state;\toffset:32;\tsize:4;\tsigned:1;
\tfield:char next_comm[16];\toffset:36;\tsize:16;\tsigned:0;
\tfield:pid_t next_pid;\toffset:52;\tsize:4;\tsigned:1;
\tfield:int next_prio;\toffset:56;\tsize:4;\tsigned:1;

print fmt: "%s", REC->prev_comm
"""

OWN = f"""\
name: filled
ID: 900
{COMMON}\
\tfield:unsigned long index;\toffset:8;\tsize:4;\tsigned:0;
\tfield:int error;\toffset:12;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] name;\toffset:16;\tsize:4;\tsigned:0;
\tfield:unsigned char raw[2];\toffset:20;\tsize:2;\tsigned:0;

print fmt: "index=%lu", REC->index
"""

HEADER_EVENT = """\
# compressed entry header
\ttype_len    :    5 bits
\ttime_delta  :   27 bits
\tarray       :   32 bits

\tpadding     : type == 29
\ttime_extend : type == 30
\ttime_stamp : type == 31
\tdata max type_len  == 28
"""

LAYOUT = Layout(8, 4, 12)


def switch(pid: int, prev: tuple[str, int], state: int, then: tuple[str, int]) -> bytes:
    return struct.pack(
        "<HBBi16siii16sii",
        *(70, 0, 0, pid, prev[0].encode(), prev[1], 120, state, then[0].encode(), then[1], 120),
    )


def own(pid: int, index: int, error: int) -> bytes:
    text = b"page\0"
    data = struct.pack("<HBBiIiIBBH", 900, 0, 0, pid, index, error, len(text) << 16 | 24, 1, 254, 0)
    return data + text + b"\0" * 3


def entry(delta: int, data: bytes) -> bytes:
    assert len(data) % 4 == 0
    if len(data) <= 112:
        return struct.pack("<I", len(data) // 4 | delta << 5) + data
    return struct.pack("<II", delta << 5, len(data) + 4) + data


def page(time: int, entries: bytes, flags: int = 0) -> bytes:
    head = struct.pack("<QI", time, len(entries) | flags)
    return (head + entries).ljust(ringbuffer.PAGE_BYTES, b"\xee")


def test_layout_is_the_kernels() -> None:
    assert Layout.read(HEADER) == LAYOUT
    assert Layout.read(HEADER.replace("size:4;\tsigned:1", "size:8;\tsigned:1")).commit_bytes == 8
    with pytest.raises(GuestError, match="header_page"):
        Layout.read("nothing")


def test_records_have_their_times() -> None:
    long = bytes(range(200)) + bytes(80)
    extend = struct.pack("<II", 30 | 5 << 5, 1)
    discarded = struct.pack("<II", 29 | 7 << 5, 4)
    stamp = struct.pack("<II", 31 | 9 << 5, 3)
    end = struct.pack("<I", 29)
    first = entry(10, b"aaaabbbb") + extend + entry(1, b"cccc") + discarded + entry(2, long)
    pages = page(1000, first) + page(1 << 60, stamp + entry(4, b"dddd") + end + b"rubbish.")
    found = list(ringbuffer.records(2, pages, LAYOUT))
    assert found == [
        Record(2, 1010, b"aaaabbbb"),
        Record(2, 1010 + (1 << 27) + 5 + 1, b"cccc"),
        Record(2, 1010 + (1 << 27) + 5 + 1 + 7 + 2, long),
        Record(2, (1 << 60) + (3 << 27) + 9 + 4, b"dddd"),
    ]
    assert not ringbuffer.lost(pages, LAYOUT)
    assert ringbuffer.lost(page(1, entry(1, b"aaaa"), 1 << 31), LAYOUT)
    assert list(ringbuffer.records(0, page(1, entry(1, b"aaaa"), 1 << 31), LAYOUT)) == [
        Record(0, 2, b"aaaa")
    ]


@pytest.mark.parametrize("seed", range(20))
def test_pages_that_make_no_sense_come_to_an_end(seed: int) -> None:
    import random

    pages = random.Random(seed).randbytes(3 * ringbuffer.PAGE_BYTES - 17)
    for record in ringbuffer.records(0, pages, LAYOUT):
        events.decode([record], [events.describe("sched", SWITCH), events.describe("own", OWN)])


def test_fields_hold_what_they_held() -> None:
    known = events.describe_all([("sched", SWITCH), ("own", OWN), ("broken", "nothing")])
    assert [each.name for each in known] == ["sched_switch", "filled"]
    records = [
        Record(1, 20, own(57, 3, -12)),
        Record(0, 10, switch(1, ("agent", 1), 1, ("dense mm", 57))),
        Record(0, 15, struct.pack("<HBBi", 4711, 0, 0, 1)),
    ]
    first, second = events.decode(records, known)
    assert (first.time_ns, first.cpu, first.pid, first.system) == (10, 0, 1, "sched")
    assert first.values["next_comm"] == "dense mm"
    assert first.values["prev_state"] == 1
    assert (second.name, second.pid, second.cpu) == ("filled", 57, 1)
    assert second.values == {"index": 3, "error": -12, "name": "page", "raw": "01fe"}


def recorded() -> Recorded:
    cpu0 = page(
        1_000_000_000,
        entry(100, switch(1, ("agent", 1), 1, ("worker", 57)))
        + entry(2500, own(57, 0, 0))
        + entry(1000, own(57, 1, -12))
        + entry(400, switch(57, ("worker", 57), 2, ("swapper/0", 0))),
    )
    cpu2 = page(1_000_000_000, entry(700, own(9, 5, 0)))
    return Recorded(
        {
            "cpu0": cpu0,
            "cpu1": b"",
            "cpu2": cpu2,
            "events/header_page": HEADER.encode(),
            "events/header_event": HEADER_EVENT.encode(),
            "events/sched/sched_switch/format": SWITCH.encode(),
            "events/own/filled/format": OWN.encode(),
            "printk_formats": b"",
            "saved_cmdlines": b"1 agent\n9 kworker/2:1\n57 worker\n",
            "trace_clock": b"[local] global counter",
        }
    )


def decoded(its: Recorded) -> list[Event]:
    known = events.describe_all((system, text) for system, _, text in its.formats)
    records = [
        record
        for cpu, pages in its.cpus.items()
        for record in ringbuffer.records(cpu, pages, LAYOUT)
    ]
    return events.decode(records, known)


def test_timeline_has_tracks_of_cpus_and_tasks() -> None:
    its = recorded()
    names = events.task_names(its.text("saved_cmdlines"))
    text = perfetto.write(decoded(its), names, "a title")
    assert text == perfetto.write(decoded(its), names, "a title")
    document = json.loads(text)
    assert document["otherData"] == {"begins_ns": 1_000_000_100, "title": "a title"}
    entries = document["traceEvents"]
    tracks = {
        (each["pid"], each["tid"]): each["args"]["name"]
        for each in entries
        if each["name"] == "thread_name"
    }
    assert tracks[57, 57] == "worker"
    assert tracks[9, 9] == "kworker/2:1"
    assert {"CPU 0", "CPU 2"} <= set(tracks.values())
    (ran,) = (each for each in entries if each["ph"] == "X" and each["name"] == "worker (57)")
    assert (ran["ts"], ran["dur"]) == (0, 3.9)
    assert ran["args"]["then"] == "uninterruptible"
    assert tracks[ran["pid"], ran["tid"]] == "CPU 0"
    filled = [each for each in entries if each["name"] == "filled"]
    assert [(each["ts"], each["tid"], each["args"]["index"]) for each in filled] == [
        (0.6, 9, 5),
        (2.5, 57, 0),
        (3.5, 57, 1),
    ]


def test_interrupts_are_slices() -> None:
    found = [
        Event(1000, 0, 7, "irq", "irq_handler_entry", {"irq": 86, "name": "ttyS0"}),
        Event(1500, 0, 7, "irq", "softirq_entry", {"vec": 1}),
        Event(1700, 0, 7, "irq", "softirq_exit", {"vec": 1}),
        Event(2000, 0, 7, "irq", "irq_handler_exit", {"irq": 86, "ret": 1}),
        Event(2500, 0, 7, "irq", "softirq_exit", {"vec": 3}),
    ]
    entries = json.loads(perfetto.write(found, {}, ""))["traceEvents"]
    slices = {each["name"]: (each["ts"], each["dur"]) for each in entries if each["ph"] == "X"}
    assert slices == {
        "irq 86 ttyS0": (0, 1.0),
        "softirq TIMER": (0.5, 0.2),
        "runs": (0, 1.5),
        "task 7 (7)": (0, 1.5),
    }


def test_events_that_only_have_the_names_of_the_kernels_are_shown() -> None:
    strange = [Event(n, 0, 7, "sched", "sched_switch", {}) for n in (1, 2)]
    json.loads(perfetto.write([*strange, Event(3, 0, 7, "irq", "irq_handler_entry", {})], {}, ""))


def test_trace_cmd_reads_the_same(tmp_path: Path) -> None:
    its = recorded()
    file = tmp_path / "trace.dat"
    content = tracedat.write(its, b"80100000 T start_kernel\n")
    file.write_bytes(content)
    assert content.startswith(b"\x17\x08\x44tracing6\0\0\x04\0\x10\0\0")
    if shutil.which("trace-cmd") is None:
        pytest.fail("trace-cmd is not installed: ./inv setup")
    said = subprocess.run(
        ["trace-cmd", "report", "-t", str(file)], capture_output=True, text=True, check=True
    ).stdout
    lines = [line.split() for line in said.splitlines() if "[00" in line]
    assert [(line[0], line[1], line[2], line[3]) for line in lines] == [
        ("agent-1", "[000]", "1.000000100:", "sched_switch:"),
        ("kworker/2:1-9", "[002]", "1.000000700:", "filled:"),
        ("worker-57", "[000]", "1.000002600:", "filled:"),
        ("worker-57", "[000]", "1.000003600:", "filled:"),
        ("worker-57", "[000]", "1.000004000:", "sched_switch:"),
    ]
    assert [line[4] for line in lines[1:4]] == ["index=5", "index=0", "index=1"]


def test_more_than_can_be_read_is_told() -> None:
    commands = recording.save("3", ["sched"])

    def run(command: Command) -> Result:
        output = ("9999999", "0" * 64 + "  -") if command.id.endswith("packed") else ()
        return Result(command.id, 0, False, False, output)

    with pytest.raises(GuestError, match="more was recorded than the 5000 KiB"):
        recording.read(commands, run)
    with pytest.raises(GuestError, match="could not be read: no room"):
        recording.read(commands, lambda each: Result(each.id, 1, False, False, ("no room",)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (TimelineOptions(run="latest"), "--sample is missing"),
        (TimelineOptions(run="latest", sample="0"), "--sample 0: expected a number from 1"),
        (TimelineOptions(run="latest", sample="x"), "--sample x: expected one whole number"),
        (TimelineOptions(run="latest", sample="1", events="a b"), "--events a b: 'a b'"),
        (TimelineOptions(run="latest", sample="1", events="sched,"), "--events sched,: ''"),
        (TimelineOptions(run="latest", sample="1", events="../x"), r"--events \.\./x"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: TimelineOptions, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        timeline.require_meant(options)


def test_cpus_that_a_board_cannot_have_are_none() -> None:
    files = {"cpu0": b"a", "cpu3": b"b", "cpu999999999": b"c"}
    assert Recorded(files).cpus == {0: b"a", 3: b"b"}


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    logs = Logs.below(tmp_path)
    with pytest.raises(GuestError, match="is no recording") as raised, timeline._understood(logs):
        struct.pack("<H", 1 << 20)
    assert raised.value.log == logs.console
