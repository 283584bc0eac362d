"""The folder of `./inv legal`: whole, or not there."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pibed.base.errors import BuildError, HostError, UsageError
from pibed.build.builders import Debian
from pibed.build.images import Images
from pibed.build.making import Order
from pibed.commands import arguments, legal
from tests.unit.helpers import images_of


@dataclass(frozen=True)
class Prepared(Debian):
    """Has its images already, and collects one file."""

    image: Path = Path()
    error: Exception | None = None

    def prerequisites(self, machine: Any) -> list[Any]:
        return []

    def build(self, order: Order) -> Images:
        module = self.image.with_name("kmod_paging.ko")
        module.write_bytes(b"\0parmtype=demand_paging:bool\0\0__param_str_log\0")
        return replace(images_of(self.image), modules=(module,))

    def legal_info(self, order: Order, images: Images, target: Path) -> None:
        (target / "sources").mkdir()
        if self.error is not None:
            raise self.error
        (target / "sources" / "linux.tar").write_text("sources")


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setenv("PIBED_CACHE", str(tmp_path / "cache"))
    (tmp_path / "image").write_text("none")
    (tmp_path / "out").mkdir()
    return Prepared(image=tmp_path / "image")


def write(output: Path, builder: Debian) -> None:
    legal.write(arguments.machine(None, None), arguments.experiment(None), str(output), builder)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


WHOLE = ["legal", "legal/bom.json", "legal/sources", "legal/sources/linux.tar"]


@pytest.mark.parametrize("empty", [False, True])
def test_whole_folder(
    builder: Prepared, tmp_path: Path, empty: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out" / "legal"
    if empty:
        folder.mkdir()
    write(folder, builder)
    assert files(tmp_path / "out") == WHOLE
    assert json.loads((folder / "bom.json").read_text())["bomFormat"] == "CycloneDX"
    assert str(folder / "bom.json") in capsys.readouterr().out
    assert folder.stat().st_mode & 0o055


def test_folder_that_is_a_link(builder: Prepared, tmp_path: Path) -> None:
    (tmp_path / "out" / "legal").mkdir()
    (tmp_path / "link").symlink_to("out/legal")
    write(tmp_path / "link", builder)
    assert files(tmp_path / "out") == WHOLE


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (BuildError("a source cannot be had"), BuildError),
        (OSError(28, "No space left on device"), HostError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_failure_leaves_nothing_and_the_same_command_can_be_repeated(
    builder: Prepared, tmp_path: Path, error: Exception, raised: type[BaseException]
) -> None:
    with pytest.raises(raised):
        write(tmp_path / "out" / "legal", replace(builder, error=error))
    assert files(tmp_path / "out") == []
    write(tmp_path / "out" / "legal", builder)
    assert files(tmp_path / "out") == WHOLE


def test_what_is_there_is_not_touched(builder: Prepared, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "legal"
    write(folder, builder)
    with pytest.raises(UsageError, match="it is there already"):
        write(folder, builder)
    with pytest.raises(UsageError, match="it is there already"):
        write(builder.image, builder)
    assert files(tmp_path / "out") == WHOLE
