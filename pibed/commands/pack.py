"""A run as one archive that can be replayed with QEMU alone, by a script inside it."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

from pibed.base.errors import HostError, UsageError
from pibed.base.files import Remedy, digest_file, explained, sync
from pibed.build import reads
from pibed.build.images import Images
from pibed.build.initramfs import File, write_archive
from pibed.commands import build
from pibed.commands.options import PackOptions
from pibed.guest import qemu
from pibed.measure import record
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine
from pibed.model.protocol import DONE
from pibed.runs import locate, manifest
from pibed.runs.folder import RunFolder
from pibed.runs.hints import rerun_command, resume_command
from pibed.runs.manifest import Manifest

_IMAGES = Path("images")

_REPLAYED = Path("replayed")

_INITRAMFS = _REPLAYED / "initramfs.cpio"

_PLANS = Path("plans")

# What the archive's user runs; it says what it reads.
_REPLAY = Path(__file__).with_name("replay")

_FIX = "name a file on a file system with space, in a folder that is there, with --output"

_README = """\
{title}
A run of pibed, {name}.

./replay boots its guests again with QEMU alone ({version}
was used) and compares all that they say with the logs in run/boots/.

run/samples.csv    what was measured
run/manifest.json  what it was measured with; in a checkout of pibed, `./inv rerun {given}`
                   builds it from its sources and measures it again
{sources}\
images/            kernel, device tree and root file system; where the clock was the board's or
                   events were counted, the plugin that this QEMU loads, and the board's numbers
plans/             the commands of each boot, as an archive that is put behind the root file system,
                   and QEMU's arguments
qemu/              what is known of the QEMU that was used
"""

_SOURCES = """\
sources/           what the module and the workload were made of, and the experiment's file as it
                   was when this archive was made; what was measured is in the manifest
"""


def pack(options: PackOptions) -> None:
    """Writes the archive of a run: `--output`, or `<run>.tar.gz` in the current folder.

    Raises UsageError for what is no finished run, HostError when its images cannot be made any
    more or the archive cannot be written.
    """
    folder = locate.find(locate.root(options.results), options.run)
    recorded = manifest.read(folder / "manifest.json")
    if not recorded.finished:
        raise UsageError(
            f"{folder}: it was cut off, and is no whole run",
            fix=resume_command(folder),
        )
    run = RunFolder(folder, recorded.experiment, recorded.shard)
    _, missing = run.all_measured()
    if missing or not run.has_samples(recorded.samples_digest):
        what = f"round {missing[0].number} is not whole" if missing else "samples.csv was changed"
        raise UsageError(f"{folder}: {what}", fix=f"to mend it: {resume_command(folder)}")
    target = Path(options.output or f"{folder.name}.tar.gz").absolute()
    images = build.make_recorded_images(recorded, trust=options.trust)
    if other := record.other_images(recorded, images):
        raise HostError(
            f"{folder}: the images that it was measured with cannot be made any more: "
            + "; ".join(other),
            fix=f"check out the commit that {folder / 'manifest.json'} names, or measure anew: "
            + rerun_command(folder),
        )
    with (
        explained(target, Remedy(full=_FIX, otherwise=_FIX)),
        tempfile.TemporaryDirectory(prefix=".pack-", dir=target.parent) as name,
    ):
        staging = Path(name) / folder.name
        _stage(recorded, folder, images, staging)
        unfinished = Path(name) / "archive"
        _write_archive(staging, unfinished)
        sync(unfinished)
        unfinished.rename(target)
    print(f"{target} ({target.stat().st_size / 1e6:.1f} MB)")


def _stage(recorded: Manifest, folder: Path, images: Images, staging: Path) -> None:
    """Puts all that belongs into the archive below `staging`."""
    (staging / _IMAGES).mkdir(parents=True)
    packed = replace(images, kernel=_IMAGES / "kernel", device_tree=_IMAGES / "board.dtb")
    shutil.copyfile(images.kernel, staging / packed.kernel)
    shutil.copyfile(images.device_tree, staging / packed.device_tree)
    shutil.copyfile(images.initramfs, staging / _IMAGES / "initramfs.cpio")
    if (timing := images.timing) is not None:
        moved = replace(timing, plugin=_IMAGES / "timing.so", board_file=_IMAGES / "board.txt")
        shutil.copyfile(timing.plugin, staging / moved.plugin)
        shutil.copyfile(timing.board_file, staging / moved.board_file)
        packed = replace(packed, timing=moved)
    for name in ("samples.csv", "summary.csv", "manifest.json"):
        (staging / "run").mkdir(exist_ok=True)
        shutil.copyfile(folder / name, staging / "run" / name)
    shutil.copytree(folder / "boots", staging / "run" / "boots")
    own = recorded.experiment.file
    if own is not None:
        _stage_sources(recorded.experiment, Path(own), images, staging / "sources")
    (staging / _PLANS).mkdir()
    seeds = {each.number: each.seed for each in recorded.rounds}
    for boot in sorted((staging / "run" / "boots").glob("*/")):
        if (boot / "agent.log").read_bytes().rstrip().endswith(DONE.encode()):
            seed = seeds[int(boot.name.partition("-")[0])]
            _stage_boot(recorded.machine, packed, boot, seed, staging / _PLANS)
    version = recorded.qemu.version
    known = {
        "program": Path(recorded.machine.qemu.binary).name,
        "package": recorded.machine.packages.qemu,
        "version": version,
        "exact": "no" if recorded.machine.clock == "host" else "yes",
    }
    (staging / "qemu").mkdir()
    for name, text in known.items():
        (staging / "qemu" / name).write_text(f"{text}\n", encoding="utf-8")
    shutil.copy(_REPLAY, staging)
    readme = _README.format(
        title=recorded.experiment.title,
        name=folder.name,
        version=version,
        given="run/manifest.json" + (" --sources sources" if own is not None else ""),
        sources=_SOURCES if own is not None else "",
    )
    (staging / "README").write_text(readme, encoding="utf-8")
    sums = [
        f"{digest_file(path)}  {path.relative_to(staging)}\n"
        for path in sorted(staging.rglob("*"))
        if path.is_file()
    ]
    (staging / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def _stage_sources(experiment: Experiment, file: Path, images: Images, target: Path) -> None:
    """Copies what the user's folder, that of the experiment's `file`, has of the images."""
    for read in images.read.values():
        reads.copy(read, file.parent, target)
    reads.copy_tree(experiment.files, file.parent, target)
    if file.is_file():
        shutil.copyfile(file, target / file.name)


def _stage_boot(machine: Machine, images: Images, boot: Path, seed: int, plans: Path) -> None:
    """Writes the plan of a boot, and QEMU's arguments, which name `images` as they are packed.

    What was counted is counted again.
    """
    archive = plans / f"{boot.name}.cpio"
    write_archive(images.gen_init_cpio, boot, [File("/plan", "plan")], archive)
    argv = qemu.arguments(
        machine,
        machine.clock,
        images,
        initramfs=_INITRAMFS,
        kernel_args=["PIBED_FEED=plan", f"PIBED_SEED={seed}"],
        seed=seed,
        counts=_REPLAYED / boot.name / "counts" if (boot / "counts").is_file() else None,
    )
    argv += qemu.serial_files(machine.serial_lines, _REPLAYED / boot.name)
    text = "".join(f"{argument}\n" for argument in argv[1:])
    (plans / f"{boot.name}.arguments").write_text(text, encoding="utf-8")


def _write_archive(staging: Path, target: Path) -> None:
    """The same files give the same bytes: sorted, without times, users and other permissions."""

    def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime = 0
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted([staging, *staging.rglob("*")]):
            name = str(path.relative_to(staging.parent))
            archive.add(path, name, recursive=False, filter=neutral)
