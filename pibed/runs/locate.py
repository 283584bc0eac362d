"""Where runs are: one folder each in the folder for results, the newest as `latest`."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

from pibed.base import places
from pibed.base.errors import HostError, UsageError
from pibed.base.files import explained, make_unique


def root(given: str | None) -> Path:
    """The folder for results, that of the checkout unless another was given.

    Raises UsageError for the folder of a run, which no other run may get into.
    """
    folder = Path(given or places.checkout() / "results").absolute()
    if (folder / "manifest.json").is_file():
        raise UsageError(
            f"--results {given}: it is a run, not a folder for runs",
            fix=f"leave it out or name another; where a verb takes a run, it is {folder}",
        )
    return folder


def make_folder(root: Path, name: str, now: datetime.datetime) -> Path:
    """Makes `<root>/<now>-<name>/` and points `<root>/latest` to it.

    Raises HostError when it cannot be written.
    """
    stem = f"{now.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}-{name}"
    require_writable(root)
    with explained(root):
        folder = make_unique(root, stem)
        _point(root / "latest", folder.name)
    return folder


def find(root: Path, text: str) -> Path:
    """The folder of a run, given as a path or by its name in `root` (`latest` is one as well).

    Raises UsageError if there is none.
    """
    if Path(text).name == "manifest.json":
        text = str(Path(text).parent)
    for folder in (Path(text), root / text) if text else ():
        if (folder / "manifest.json").is_file():
            return folder.resolve()
    for folder in (Path(text), root / text):
        if text and folder.is_dir():
            raise UsageError(
                f"{folder}: there is no manifest.json in it, so it is no run",
                fix="a run that was killed before its first boot has none: start it anew",
            )
    newest = sorted((path.name for path in root.glob("2*") if path.is_dir()), reverse=True)[:5]
    known = f"the newest in {root}: {', '.join(newest)}" if newest else f"{root} has none"
    raise UsageError(f"there is no run {text!r}", fix=known)


def require_writable(root: Path) -> None:
    """Makes the results folder, and raises HostError if no run can be put into it."""
    if root.exists() and not root.is_dir():
        raise HostError(f"{root}: it is not a folder", fix="name a folder with --results")
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".check-", dir=root):
            pass
    latest = root / "latest"
    if latest.exists() and not latest.is_symlink():
        raise HostError(f"{latest}: it is not a link to a run", fix="rename or remove it")


def _point(link: Path, target: str) -> None:
    """Makes `link` a symbolic link to `target`, by rename, so that it is never missing."""
    with tempfile.TemporaryDirectory(prefix=".latest-", dir=link.parent) as folder:
        new = Path(folder) / "link"
        new.symlink_to(target)
        new.rename(link)
