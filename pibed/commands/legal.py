"""What `invoke legal` does: licences, sources and the bill of materials of images."""

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
from pibed.model.experiment import load_experiment

BOM = "bom.json"


def legal(
    machine_name: str, experiment_name: str, kernel: str | None, output: str, builder: Builder
) -> None:
    """Writes the bill of materials, licences and sources of an experiment's images into a folder.

    The folder is there when it is whole. Raises UsageError if there is something in it already.
    """
    machine = arguments.machine(machine_name, kernel)
    experiment = load_experiment(experiment_name)
    folder = Path(output).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--output {output}: it is there already", fix="name a new folder")
    images = build.make_images(machine, experiment, builder=builder)
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
