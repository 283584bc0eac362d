"""Fragments of configuration: read, merged, and checked against what came of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pibed.base.errors import BuildError, UsageError
from pibed.build import kconfig
from tests.unit.helpers import ROOT


def fragment(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.config"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_every_kind_of_line(tmp_path: Path) -> None:
    path = fragment(
        tmp_path,
        "a",
        '# A comment.\n\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="two words"\n'
        "  CONFIG_D=0x10\n#CONFIG_E=y\nCONFIG_F=\r\n",
    )
    requests = kconfig.read_fragments([path])
    assert {symbol: request.value for symbol, request in requests.items()} == {
        "CONFIG_A": "y",
        "CONFIG_B": "n",
        "CONFIG_C": '"two words"',
        "CONFIG_D": "0x10",
        "CONFIG_F": "",
    }
    assert (requests["CONFIG_B"].path, requests["CONFIG_B"].line) == (path, 4)
    assert str(requests["CONFIG_B"]) == "# CONFIG_B is not set"
    assert str(requests["CONFIG_C"]) == 'CONFIG_C="two words"'


def test_later_fragment_wins(tmp_path: Path) -> None:
    first = fragment(tmp_path, "first", "CONFIG_A=y\nCONFIG_B=y\n")
    second = fragment(tmp_path, "second", "# CONFIG_A is not set\n")
    requests = kconfig.read_fragments([first, second])
    assert (requests["CONFIG_A"].value, requests["CONFIG_A"].path) == ("n", second)
    assert requests["CONFIG_B"].value == "y"
    assert kconfig.read_fragments([second, first])["CONFIG_A"].value == "y"


@pytest.mark.parametrize("line", ["CONFIG_A", "FOO=y", "CONFIG_A = y", "y"])
def test_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = fragment(tmp_path, "a", f"CONFIG_X=y\n{line}\n")
    with pytest.raises(UsageError) as caught:
        kconfig.read_fragments([path])
    assert caught.value.message.startswith(f"{path}:2: expected CONFIG_NAME=value")
    assert repr(line) in caught.value.message


def test_missing_fragment(tmp_path: Path) -> None:
    path = tmp_path / "none.config"
    with pytest.raises(UsageError, match=f"{path}: there is no such fragment"):
        kconfig.read_fragments([path])


def test_merge_replaces_and_adds(tmp_path: Path) -> None:
    config = fragment(
        tmp_path, "config", "# head\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_KEEP=m\n"
    )
    asked = fragment(
        tmp_path, "asked", "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_NEW=7\nCONFIG_KE=y\n"
    )
    kconfig.merge(config, kconfig.read_fragments([asked]))
    assert kconfig.read_config(config) == {
        "CONFIG_A": "n",
        "CONFIG_B": "y",
        "CONFIG_KEEP": "m",
        "CONFIG_NEW": "7",
        "CONFIG_KE": "y",
    }
    assert config.read_text(encoding="utf-8").count("CONFIG_A") == 1


def test_check_accepts_what_survived(tmp_path: Path) -> None:
    config = fragment(tmp_path, "config", "CONFIG_A=y\n# CONFIG_B is not set\n")
    asked = fragment(
        tmp_path,
        "asked",
        "CONFIG_A=y\n# CONFIG_B is not set\n# CONFIG_GONE is not set\n",
    )
    kconfig.check(config, kconfig.read_fragments([asked]))


def test_check_names_each_lost_line(tmp_path: Path) -> None:
    config = fragment(tmp_path, "config", "CONFIG_A=m\n# CONFIG_B is not set\nCONFIG_OFF=y\n")
    asked = fragment(
        tmp_path,
        "asked",
        "# Why.\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_NONE=y\n# CONFIG_OFF is not set\n",
    )
    with pytest.raises(BuildError) as caught:
        kconfig.check(config, kconfig.read_fragments([asked]))
    assert caught.value.message.splitlines()[1:] == [
        f"  {asked}:2: CONFIG_A=y became CONFIG_A=m",
        f"  {asked}:3: CONFIG_B=y became unset",
        f"  {asked}:4: CONFIG_NONE=y became unset",
        f"  {asked}:5: # CONFIG_OFF is not set became CONFIG_OFF=y",
    ]
    assert caught.value.fix is not None


def test_shipped_fragments_can_be_read() -> None:
    paths = [*sorted((ROOT / "kernel" / "fragments").glob("*.config"))]
    requests = kconfig.read_fragments([*paths, *ROOT.glob("buildroot/board/*/*/busybox.config")])
    assert requests["CONFIG_MODULES"].value == "y"


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.config"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"a\.config: it is no text"):
        kconfig.read_fragments([path])
