"""What `./inv legal` does: licences, sources and the bill of materials of images."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from pibed.base import places, terminal
from pibed.base.errors import HostError, UsageError
from pibed.build import bill, payload
from pibed.build.builders import Builder
from pibed.build.making import Order
from pibed.build.progress import BuildProgress
from pibed.commands import arguments, build
from pibed.commands.options import LegalOptions
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine

BOM = "bom.json"


def legal(options: LegalOptions) -> None:
    """Writes what an experiment's images consist of into the folder of `--output`; see `write`."""
    write(
        arguments.machine(options.machine, options.kernel),
        arguments.experiment(options.experiment),
        "legal" if options.output is None else options.output,
        arguments.builder(options),
        options.trust,
    )


def write(
    machine: Machine, experiment: Experiment, output: str, builder: Builder, trust: bool = False
) -> None:
    """Writes the bill of materials, licences and sources of an experiment's images into a folder.

    The folder is there when it is whole. Raises UsageError if there is something in it already.
    """
    folder = Path(output).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--output {output}: it is there already", fix="name a new folder")
    images = build.make_images(machine, experiment, builder=builder, trust=trust)
    files = {
        "kernel": images.kernel,
        "device tree": images.device_tree,
        "initramfs": images.initramfs,
    }
    title = f"{machine.name}, Linux {machine.kernel.version}, {images.builder.name}"
    progress = BuildProgress(terminal.stderr(), show_cached=False)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, so that it can be renamed.
        prefix = f".{folder.name}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent) as temporary:
            made = Path(temporary) / folder.name
            made.mkdir()
            text = json.dumps(bill.document(title, images.components, files), indent=1)
            (made / BOM).write_text(text + "\n", encoding="utf-8")
            order = Order(machine, payload.of_experiment(experiment), places.cache(), progress)
            builder.legal_info(order, images, made)
            made.replace(folder)
    except OSError as error:
        raise HostError.from_os(error, folder, "name another folder with --output") from error
    print(f"bill of materials  {folder / BOM}")
    print(f"licences, sources  {folder}")
