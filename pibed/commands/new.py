"""`new`: a folder with an experiment and a suite that run at once, copied from `examples/`."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path

from pibed.base import places
from pibed.base.errors import UsageError
from pibed.base.files import explained
from pibed.commands.options import NewOptions

_DEFAULT = "hello"

# What the examples' files call the folder of the schemas, which editors read.
_SCHEMAS = "$schema=../../configs/"


def new(options: NewOptions) -> None:
    """Makes the folder, and says how it is used.

    Raises UsageError for an example that there is not, and a folder that is not empty.
    """
    files = (places.checkout() / "examples").glob("*/experiment.yaml")
    examples = {path.parent.name: path.parent for path in sorted(files)}
    name = _DEFAULT if options.from_ is None else options.from_
    if name not in examples:
        raise UsageError(f"--from {name}: expected one of: {', '.join(examples)}")
    if not options.dir:
        raise UsageError("new: expected the name of a folder", fix="./inv new DIR")
    target = Path(options.dir).expanduser().absolute()
    with explained(target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(
                f"{target}: it is there already, and not an empty folder",
                fix="name a new folder: nothing is written over",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not there, whatever comes in between.
        with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as staging:
            made = Path(staging) / "new"
            shutil.copytree(examples[name], made, copy_function=shutil.copyfile)
            for path in made.glob("*.yaml"):
                _name_schema(path)
            made.rename(target)
    print(f"{target}: made from the example {name}. What is in it: README.md there. To run it:")
    for verb, option in (("sweep", "experiment"), ("ktest", "suite")):
        if (file := target / f"{option}.yaml").is_file():
            print(f"  ./inv {verb} --{option} {shlex.quote(str(file))}")


def _name_schema(path: Path) -> None:
    schemas = f"$schema={(places.checkout() / 'configs').as_uri()}/"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(_SCHEMAS, schemas, 1), encoding="utf-8")
