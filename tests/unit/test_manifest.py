"""The manifest: what is written can be read again, and anything else is explained."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import UsageError
from pibed.base.files import digest_file
from pibed.build.images import Images
from pibed.measure import record
from pibed.model import plan
from pibed.model.builder import Made, Standing
from pibed.model.experiment import load_experiment
from pibed.model.machine import load_machine
from pibed.model.plan import Cell
from pibed.model.samples import Sample, Status
from pibed.runs import manifest
from pibed.runs.madeof import MadeOf
from pibed.runs.manifest import Manifest
from tests.unit.helpers import BUILDROOT, ROOT, experiment


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """Files that stand for images; nothing is booted from them."""
    paths = [tmp_path / name for name in ("kernel", "dtb", "initramfs")]
    for path in paths:
        path.write_text(path.name)
    none = tmp_path / "none"
    return Images(
        kernel=paths[0],
        device_tree=paths[1],
        initramfs=paths[2],
        gen_init_cpio=none,
        modules=(none,),
        programs=(),
        kernel_source=none,
        kernel_build=none,
        variables={},
        sources={},
        lock=Standing(None, ()),
        tools={},
        steps=(),
        builder=Made(name="debian"),
        components=(),
    )


def begun(images: Images) -> Manifest:
    return record.begun(load_machine("pi2"), experiment(), 2, images, "QEMU 7.2")


def content_of(images: Images) -> dict[str, Any]:
    """As JSON has it, to be damaged."""
    content: dict[str, Any] = json.loads(begun(images).to_json())
    return content


def write(folder: Path, content: dict[str, Any] | Manifest) -> Path:
    path = folder / "manifest.json"
    text = content.to_json() if isinstance(content, Manifest) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_is_read_again(tmp_path: Path, images: Images) -> None:
    recorded = manifest.read(write(tmp_path, begun(images)))
    assert recorded == begun(images).model_copy(update={"host": recorded.host})
    assert recorded.to_json() == (tmp_path / "manifest.json").read_text(encoding="utf-8")
    assert recorded.machine == load_machine("pi2")
    assert recorded.experiment == experiment()
    assert recorded.finished is False
    assert recorded.samples_digest is None
    assert record.differences(recorded, images, "QEMU 7.2") == []


def test_a_real_experiment_is_read_again(tmp_path: Path, images: Images) -> None:
    paging = load_experiment("paging", {"parameters.size.values": [3, 5]})
    machine = load_machine("pi2").model_copy(update={"clock": "host"})
    content = record.begun(machine, paging, 1, images, "QEMU 7.2")
    recorded = manifest.read(write(tmp_path, content))
    assert (recorded.machine, recorded.experiment) == (machine, paging)


def test_the_end_is_added(tmp_path: Path, images: Images) -> None:
    csv = tmp_path / "samples.csv"
    csv.write_text("x\n")
    samples = [
        Sample("small", 1, 1, status, Cell.of({}), {})
        for status in (Status.OK, Status.OK, Status.LOST)
    ]
    before = begun(images)
    content = record.ended(before, csv, samples, ["b", "a"], ["w"], True)
    recorded = manifest.read(write(tmp_path, content))
    assert recorded.finished is True
    assert recorded.samples_digest == digest_file(csv)
    assert content.samples is not None
    assert content.samples.statuses == {"lost": 1, "ok": 2}
    assert '"lost": 1,\n      "ok": 2' in content.to_json()
    assert (content.problems, content.warnings) == (["a", "b"], ["w"])
    assert content.host.load_average.end is not None
    assert before.host.load_average.end is None
    assert before.finished is False
    again = record.resumed(content, 5)
    assert (again.finished, again.resumed, again.jobs) == (False, 1, 5)
    assert record.resumed(again, 5).resumed == 2
    assert manifest.read(write(tmp_path, again)) == again


def test_keys_are_those_of_the_documentation_in_their_order(images: Images) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", page.partition("## Manifest")[2], re.MULTILINE)
    keys = [key for row in rows for key in re.findall(r"`(\w+)`", row)]
    assert list(content_of(images)) == keys


def test_differences_are_named(tmp_path: Path, images: Images) -> None:
    content = content_of(images)
    images.kernel.write_text("other")
    content["plan"] = "0"
    content["qemu"]["command"].append("-other")
    recorded = manifest.read(write(tmp_path, content))
    kernel, plan_line, qemu, options = record.differences(recorded, images, "QEMU 10")
    assert kernel.startswith(f"kernel: its SHA-256 is {digest_file(images.kernel)} instead of ")
    assert "other commands" in plan_line
    assert qemu == "QEMU: it is QEMU 10 instead of QEMU 7.2"
    assert options.endswith(" -other")


def test_what_changed_of_the_users_own_comes_first(tmp_path: Path, images: Images) -> None:
    then = {"module": {"module/a.c": "1", "module/b.h": "1"}, "programs": {"work.c": "1"}}
    now = {"module": {"module/a.c": "2", "new.h": "1"}, "programs": {"work.c": "2"}}
    recorded = manifest.read(write(tmp_path, begun(replace(images, read=then))))
    assert recorded.made_of == MadeOf(module=then["module"], workload=then["programs"])
    changed = replace(images, read=now)
    # A comment changes no image.
    assert record.differences(recorded, changed, "QEMU 7.2") == []
    images.initramfs.write_text("other")
    module, workload, initramfs = record.differences(recorded, changed, "QEMU 7.2")
    assert module == (
        "your module changed: module/a.c, new.h (new), module/b.h (not used any more)"
    )
    assert workload == "your workload changed: work.c"
    assert initramfs.startswith("initramfs: its SHA-256 is ")
    same = replace(images, read=then)
    assert len(record.differences(recorded, same, "QEMU 7.2")) == 1


def test_files_of_the_users_need_not_be_known(tmp_path: Path, images: Images) -> None:
    """As in runs of before they were recorded."""
    content = content_of(images)
    del content["made_of"]
    recorded = manifest.read(write(tmp_path, content))
    assert recorded.made_of is None
    images.initramfs.write_text("other")
    read = {"module": {"a.c": "1"}, "programs": {}}
    (line,) = record.differences(recorded, replace(images, read=read), "QEMU 7.2")
    assert line.startswith("initramfs: ")
    content["made_of"] = {"module": {"a.c": 1}, "workload": {}}
    with pytest.raises(UsageError, match=r"made_of\.module\.a\.c: "):
        manifest.read(write(tmp_path, content))


def test_folders_of_another_host_are_no_difference(tmp_path: Path, images: Images) -> None:
    content = content_of(images)
    command = content["qemu"]["command"]
    content["qemu"]["command"] = [part.replace(str(tmp_path), "/elsewhere") for part in command]
    assert content["qemu"]["command"] != command
    recorded = manifest.read(write(tmp_path, content))
    assert record.differences(recorded, images, "QEMU 7.2") == []


def test_real_time_on_another_host_is_a_difference(tmp_path: Path, images: Images) -> None:
    machine = load_machine("pi2").model_copy(update={"clock": "host"})
    content = json.loads(record.begun(machine, experiment(), 1, images, "QEMU 7.2").to_json())
    content["host"]["processor"] = "Another One"
    recorded = manifest.read(write(tmp_path, content))
    (line,) = record.differences(recorded, images, "QEMU 7.2")
    assert line.endswith("instead of Another One")


SETTINGS = BUILDROOT["settings"]


def test_builder_is_read(tmp_path: Path, images: Images) -> None:
    content = content_of(images)
    assert content["builder"] == {"name": "debian"}
    assert manifest.read(write(tmp_path, content)).builder == Made(name="debian")
    content["builder"] = BUILDROOT
    made = manifest.read(write(tmp_path, content)).builder
    assert made.model_dump(exclude={"settings": {"repository"}}) == BUILDROOT
    assert json.loads(made.model_dump_json()) == BUILDROOT
    # It can have a password: what is there by mistake is not passed on.
    content["builder"] = BUILDROOT | {"settings": SETTINGS | {"repository": "https://a:b@c/"}}
    assert "a:b@c" not in manifest.read(write(tmp_path, content)).to_json()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 1}, "schema_version: expected 3, not 1"),
        ({"plan": None}, "plan: Field required"),
        ({"finished": "false"}, "finished: Input should be a valid boolean"),
        ({"finished": True}, "samples: a finished run has some"),
        ({"samples": 3}, r"samples: Input should be"),
        ({"samples": {}}, r"samples\.digest: Field required"),
        ({"resumed": "1"}, "resumed: "),
        ({"lock": {"digest": None}}, r"lock\.differs: Field required"),
        ({"images": {"kernel": 1}}, r"images\.kernel: "),
        ({"qemu": {}}, r"qemu\.version: Field required"),
        ({"machine": {}}, r"machine\.schema_version: Field required"),
        ({"experiment": {"rounds": 0}}, r"experiment\."),
        ({"schema_version": 2}, "schema_version: expected 3, not 2"),
        ({"schema_version": "3"}, "schema_version: expected 3, not 3"),
        ({"git": {}}, r"git\.commit: Field required"),
        ({"clock": "sundial"}, "clock: Input should be"),
        ({"problems": "none"}, "problems: Input should be"),
        ({"sources": {"busybox": {"version": "1", "files": {}}}}, r"sources\.busybox\.files: "),
        ({"tools": 3}, "tools: Input should be"),
        ({"host": {"load_average": {"begin": "1"}}}, r"host\."),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"builder": None}, "builder: Field required"),
        ({"builder": "buildroot"}, "builder: Input should be"),
        ({"builder": {}}, r"builder\.name: Field required"),
        ({"builder": {"name": "yocto"}}, r"builder\.name: Input should be 'debian' or 'buildroot'"),
        ({"builder": BUILDROOT | {"folder": 3}}, r"builder\.folder: Input should be"),
        ({"builder": BUILDROOT | {"settings": None}}, "builder: settings is missing"),
        (
            {"builder": BUILDROOT | {"settings": SETTINGS | {"toolchain": "gnu"}}},
            r"builder\.settings\.toolchain: Input should be",
        ),
        (
            {"builder": BUILDROOT | {"settings": SETTINGS | {"toolchain": "path"}}},
            r"builder\.settings: toolchain: 'path' needs path and prefix",
        ),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, images: Images, change: dict[str, Any], words: str
) -> None:
    removed = [key for key, value in change.items() if value is None]
    content = {
        key: value for key, value in (content_of(images) | change).items() if key not in removed
    }
    path = write(tmp_path, content)
    with pytest.raises(UsageError, match=words) as caught:
        manifest.read(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("text", ["", "[" * 100_000, "{", "[]", "7", '"text"', "null", "\x00"])
def test_no_manifest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=str(path)):
        manifest.read(path)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        manifest.read(tmp_path / "manifest.json")
    with pytest.raises(UsageError, match="Is a directory"):
        manifest.read(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not JSON"):
        manifest.read(tmp_path / "manifest.json")


def test_the_plans_digest_is_of_all_that_is_done() -> None:
    digests = {
        plan.digest(each)
        for each in (
            experiment(),
            experiment(seed=2),
            experiment(rounds=4),
            experiment(module={"folder": "module", "name": "other"}),
        )
    }
    assert len(digests) == 4
    assert plan.digest(experiment()) == plan.digest(experiment(title="other words"))
