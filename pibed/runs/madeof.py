"""What a run's modules and workload were made of, and what of it is another file now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from pibed.model.loading import Record


class MadeOf(Record):
    """Files by their paths from where the configuration's begin, and their SHA-256."""

    module: dict[str, str]
    """Of all modules."""
    workload: dict[str, str]
    kernel: dict[str, str] = Field(default_factory=dict)
    """The fragments of its configuration that are the experiment's."""


def of(read: Mapping[str, Mapping[str, str]]) -> MadeOf | None:
    """Of the files that modules (`module`), `programs` and `kernel` were made of; None of none."""
    if not read:
        return None
    return MadeOf(
        module=dict(read["module"]),
        workload=dict(read["programs"]),
        kernel=dict(read.get("kernel", {})),
    )


def changes(then: MadeOf | None, now: MadeOf | None) -> Iterator[str]:
    """Which files are others than they were, one line each for modules, workload and kernel.

    Nothing if it is not known of both.
    """
    if then is None or now is None:
        return
    for what, before, after in (
        ("module", then.module, now.module),
        ("workload", then.workload, now.workload),
        ("kernel configuration", then.kernel, now.kernel),
    ):
        files = [
            *(name for name in before if name in after and before[name] != after[name]),
            *(f"{name} (new)" for name in after if name not in before),
            *(f"{name} (not used any more)" for name in before if name not in after),
        ]
        if files:
            yield f"your {what} changed: {', '.join(files)}"
