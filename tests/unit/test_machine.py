"""All that depends on a machine is in its file: another architecture needs no Python."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pibed.base import places, process, terminal
from pibed.base.errors import BuildError, UsageError
from pibed.build import host, materials, payload, toolchain, vermagic
from pibed.build.buildroot import contents, recipe
from pibed.build.debian import images, kernel, programs, rootfs
from pibed.build.images import Images
from pibed.build.making import Order, Workbench
from pibed.build.progress import BuildProgress
from pibed.build.sources import packages as sources
from pibed.build.sources import unpack
from pibed.build.sources.apt import SourcePackage
from pibed.build.store import Make, Output, Step, Store
from pibed.build.toolchain import CLibrary, Toolchain
from pibed.guest import qemu
from pibed.model.builder import Source, Standing
from pibed.model.experiment import load_experiment
from pibed.model.machine import Machine, load_machine
from tests.unit.helpers import FIXTURES, ROOT, images_of

# What only a machine's file, or what belongs to its board, may say.
WORDS = re.compile(
    r"\barm(?:hf|el|64|v\d\w*|eabi\w*)?\b|aarch64|gnueabi|(?-i:[buz]Image|\bImage\b)|raspi\d|bcm\d|"
    r"cortex|tty(?:AMA|S)\d|qemu-system-|riscv|x86",
    re.IGNORECASE,
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Names and texts of a Python file with their lines, without docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in said:
            yield node.lineno, str(node.value)
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id


def test_no_python_knows_an_architecture_or_a_board() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / "pibed").rglob("*.py"))
        for line, text in texts(path)
        if WORDS.search(text)
    ]
    assert found == []


def test_no_other_file_of_the_package_does() -> None:
    found = [
        path.relative_to(ROOT)
        for path in sorted((ROOT / "pibed").rglob("*"))
        if path.is_file() and path.suffix not in (".py", ".pyc")
        if WORDS.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A made-up machine of another architecture, in a checkout of its own."""
    root = tmp_path / "checkout"
    (root / "configs").mkdir(parents=True)
    shutil.copytree(FIXTURES / "machines", root / "configs" / "machines")
    for name in ("kernel", "module", "buildroot"):
        shutil.copytree(ROOT / name, root / name)
    board = root / "buildroot" / "board" / "pibed"
    (board / "pi2").rename(board / "board64")
    shutil.copytree(ROOT / "configs" / "experiments", root / "configs" / "experiments")
    monkeypatch.setattr(places, "checkout", lambda: root)
    return load_machine("board64")


def test_prerequisites(machine: Machine) -> None:
    needed = {each.name: each for each in host.prerequisites(machine)}
    assert needed["aarch64-linux-gnu-gcc"].package == "gcc-aarch64-linux-gnu"
    assert needed["libc6-dev-arm64-cross"].package == "libc6-dev-arm64-cross"
    assert needed["libc6-dev-arm64-cross"].probe == (
        "aarch64-linux-gnu-gcc",
        "-print-file-name=libc.a",
    )
    assert needed["qemu-system-aarch64"].package == "qemu-system-misc"
    assert needed["qemu-system-aarch64"].minimum == "8.0"
    assert not [name for name in needed if "gnueabi" in name or "armhf" in name]


class Made(Store):
    """A store in which every step runs, and whose outputs are called as their steps."""

    def produce(
        self,
        step: Step,
        make: Make,
        on_wait: Callable[[], None] = lambda: None,
        reads_below: Path | None = None,
    ) -> Output:
        folder = self.root / step.name
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, self.root / "log")
        return Output(step, folder, cached=False, seconds=0.0)


TOOLS = Toolchain(
    {"gcc": "12.2.0", "aarch64-linux-gnu-gcc": "12.2.0"}, CLibrary("libc 2.36", ""), "QEMU 8"
)

MAKE = ["ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"]


@pytest.fixture
def commands() -> list[list[str]]:
    return []


@pytest.fixture
def made(
    machine: Machine,
    commands: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Images:
    """Images of the machine, made of nothing by `commands` that leave what real ones would."""

    def run(argv: Sequence[str], log: Path, **options: Any) -> None:
        commands.append(list(argv))
        words = dict(word.split("=", 1) for word in argv if "=" in word)
        if argv[0] == "tar":
            Path(words["--file"]).mkdir()
            dts = Path(words["--directory"]) / "arch" / "arm64" / "boot" / "dts" / "broadcom"
            dts.mkdir(parents=True)
            (dts / "bcm2837-rpi-3-b.dts").touch()
        elif "allnoconfig" in argv and "KCONFIG_ALLCONFIG" in words:
            build = Path(words["O"])
            shutil.copy(words["KCONFIG_ALLCONFIG"], build / ".config")
            (build / "include" / "config").mkdir(parents=True)
            (build / "include" / "config" / "kernel.release").write_text("6.12.1\n")
            dtb = build / "arch" / "arm64" / "boot" / "dts" / "broadcom" / "bcm2837-rpi-3-b.dtb"
            dtb.parent.mkdir(parents=True)
            dtb.write_text("board64")
        elif "allnoconfig" in argv:
            (Path(words["O"]) / ".config").touch()
        elif "install" in argv:
            Path(words["CONFIG_PREFIX"]).mkdir()
        elif argv[-1] == "agent":
            (options["cwd"] / "agent").touch()
        elif "-o" in argv or "M" in words:
            target = argv[argv.index("-o") + 1] if "-o" in argv else f"{words['M']}/kmod_paging.ko"
            Path(target).touch()

    archives = [
        SourcePackage(
            name, Source(version="1", files={"a.deb": "0" * 64, "a.dsc": "0" * 64}), tmp_path
        )
        for name in ("linux-source-6.12", "busybox")
    ]
    monkeypatch.setattr(
        Order, "bench", property(lambda order: Workbench(Made(tmp_path), order.progress, 1))
    )
    monkeypatch.setattr(sources, "fetch", lambda *_: (archives, Standing(None, ())))
    monkeypatch.setattr(toolchain, "find", lambda machine: TOOLS)
    monkeypatch.setattr(toolchain, "headers", lambda compiler: [])
    monkeypatch.setattr(programs, "read_by_compiler", lambda *_: set())
    monkeypatch.setattr(unpack, "extract_linux", lambda archive, folder, log: folder)
    monkeypatch.setattr(rootfs, "write_archive", lambda *args: args[-1].touch())
    monkeypatch.setattr(
        vermagic, "check", lambda *paths: commands.append(["vermagic", *map(str, paths)])
    )
    for module in (unpack, kernel, rootfs):
        monkeypatch.setattr(module, "run_logged", run)
    monkeypatch.setattr(process, "run_logged", run)
    (tmp_path / "kernel" / "0.unfinished-1").mkdir(parents=True)
    known = payload.of_experiment(load_experiment("paging"))
    progress = BuildProgress(terminal.stderr(), show_cached=False)
    return images.build(Order(machine, known, tmp_path, progress, trust=True))


def test_build(made: Images, commands: list[list[str]], tmp_path: Path) -> None:
    makes = [command for command in commands if command[0] == "make"]
    assert len(makes) == 8
    (agent,) = (command for command in makes if command[-1] == "agent")
    assert agent == ["make", "CC=aarch64-linux-gnu-gcc", "agent"]
    assert all(set(MAKE) <= set(command) for command in makes if command is not agent)
    assert makes[1][-3:] == ["Image.gz", "broadcom/bcm2837-rpi-3-b.dtb", "modules"]
    assert {command[0] for command in commands if command[0].endswith(("gcc", "strip"))} == {
        "aarch64-linux-gnu-gcc",
        "aarch64-linux-gnu-strip",
    }
    boot = tmp_path / "kernel" / "arch" / "arm64" / "boot"
    assert made.kernel == boot / "Image.gz"
    assert not (tmp_path / "kernel" / "0.unfinished-1").exists()
    module = tmp_path / "module" / "kmod_paging.ko"
    assert ["vermagic", str(module), str(boot / "Image"), "6.12.1"] in commands
    assert made.device_tree.read_text(encoding="utf-8") == "board64"
    assert made.variables == {"ARCH": "arm64", "CROSS_COMPILE": "aarch64-linux-gnu-"}


def test_another_image_is_another_kernel(made: Images, machine: Machine) -> None:
    (known,) = (each.step for each in made.steps if each.step.name == "kernel")
    assert known.inputs["targets"] == "Image.gz broadcom/bcm2837-rpi-3-b.dtb modules"
    assert known.inputs["variables"] == " ".join(MAKE)


def test_licence_of_the_c_library(
    made: Images, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: dict[str, Path] = {}
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    monkeypatch.setattr(materials, "collect", lambda *args: collected.update(args[2]))
    known = payload.of_experiment(load_experiment("paging"))
    progress = BuildProgress(terminal.stderr(), show_cached=False)
    images.legal_info(Order(machine, known, tmp_path, progress), made, tmp_path / "legal")
    assert collected["libc"] == Path("/usr/share/doc/libc6-dev-arm64-cross/copyright")


def test_command_line_of_qemu(machine: Machine, tmp_path: Path) -> None:
    argv = qemu.arguments(
        machine,
        "virtual",
        images_of(tmp_path / "image"),
        initramfs=tmp_path / "initramfs",
        kernel_args=["PIBED_FEED=plan"],
    )
    assert argv[:3] == ["qemu-system-aarch64", "-machine", "raspi3b"]
    assert argv[argv.index("-append") + 1] == (
        "console=ttyAMA1 loglevel=5 maxcpus=1 PIBED_FEED=plan"
    )
    assert qemu.serial_files(machine.serial_lines, Path("x")) == [
        *("-serial", "file:x/agent.log"),
        *("-serial", "file:x/console.log"),
    ]
    options = qemu.interactive_options(machine.serial_lines, tmp_path / "console.log")
    assert options[-4:] == ["-serial", "chardev:agent", "-serial", "chardev:console"]


def test_lines_of_a_running_qemu_are_in_the_boards_order(machine: Machine, tmp_path: Path) -> None:
    logs = qemu.Logs.below(tmp_path)
    running = qemu.Qemu(["true"], machine.serial_lines, logs)
    running.close()
    words = logs.qemu.read_text(encoding="utf-8").split()
    ends = [words[place + 1] for place, word in enumerate(words) if word == "-serial"]
    assert ends == ["chardev:agent", "chardev:console"]


def test_buildroots_kernel_is_known_by_its_magic_number(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "Image.gz").write_bytes(b"\x1f\x8b\x08")
    contents.require_kernel(tmp_path / "Image.gz", machine.kernel.image_magic)
    (tmp_path / "Image.gz").write_bytes(b"\x1f\x8c\x08")
    with pytest.raises(BuildError, match="it is no kernel for this machine"):
        contents.require_kernel(tmp_path / "Image.gz", machine.kernel.image_magic)


def test_another_toolchain_takes_the_place_of_the_boards(machine: Machine) -> None:
    root = places.checkout()
    (root / "buildroot" / "configs" / "pibed_board64_defconfig").write_text(
        "BR2_aarch64=y\nBR2_TOOLCHAIN_EXTERNAL=y\nBR2_TOOLCHAIN_EXTERNAL_BOOTLIN=y\n"
        "BR2_TOOLCHAIN_EXTERNAL_BOOTLIN_AARCH64_GLIBC_STABLE=y\n"
    )
    known = payload.of_experiment(load_experiment("paging"))
    bootlin = recipe.requests(root, machine, known, {})
    assert bootlin["BR2_TOOLCHAIN_EXTERNAL_BOOTLIN_AARCH64_GLIBC_STABLE"] == "y"
    internal = recipe.requests(root, machine, known, recipe.internal(root, machine))
    assert internal["BR2_aarch64"] == "y"
    assert internal["BR2_TOOLCHAIN_BUILDROOT"] == "y"
    assert not [name for name in internal if "BOOTLIN" in name]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"use": "console", "device": "ttyS0"}],
        [{"use": "console", "device": "ttyS0"}, {"use": "console", "device": "ttyS1"}],
        [{"use": use, "device": "ttyS0"} for use in ("console", "agent", "agent")],
    ],
)
def test_each_use_has_one_serial_line(lines: list[dict[str, str]]) -> None:
    with pytest.raises(UsageError, match="serial_lines: expected one for each of: console, agent"):
        load_machine("pi2", {"serial_lines": lines})


@pytest.mark.parametrize("value", ["", "1f8", "1F8B", "0x1f"])
def test_magic_number_that_is_none(value: str) -> None:
    with pytest.raises(UsageError, match=r"kernel\.image_magic\.value: "):
        load_machine("pi2", {"kernel.image_magic.value": value})


def test_init_takes_the_serial_lines() -> None:
    """The board says it as well: a longer command line would be another measurement."""
    pi2 = load_machine("pi2")
    init = (ROOT / pi2.board_folder / "overlay" / "init").read_text(encoding="utf-8")
    assert set(re.findall(r"[<>]/dev/(tty\w+)", init)) == {pi2.serial_device("agent")}
    assert re.findall(r"/agent \S+ /dev/(tty\w+) ", init) == [pi2.serial_device("console")]


def test_agent_knows_no_serial_line() -> None:
    source = ROOT / "buildroot" / "package" / "pibed-agent" / "agent.c"
    assert not re.findall(r"tty[A-Z]+\d", source.read_text(encoding="utf-8"))
