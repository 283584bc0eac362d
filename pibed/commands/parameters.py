"""Parameters that a configuration gives to modules, held against those that the modules take.

The kernel passes over a parameter that a module does not have with a line in its log alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from pibed.base.errors import UsageError
from pibed.build import modinfo
from pibed.build.images import Images
from pibed.model.experiment import Experiment
from pibed.model.suite import Suite

# Of every module: kernel/module/main.c, unknown_module_param_cb, and lib/dynamic_debug.c.
_GENERAL = frozenset({"async_probe", "dyndbg"})


def require(config: Experiment | Suite, images: Images) -> None:
    """Raises UsageError for the first parameter that the module which it is given to has not."""
    takes = {modinfo.kernel_name(each.stem): modinfo.parameters(each) for each in images.modules}
    for key, module, name in _given(config):
        if name not in (known := takes[module]) and name not in _GENERAL:
            raise UsageError(
                f"{config.where}: {key}: the module {module} has no parameter {name}",
                fix=f"its parameters: {', '.join(known)}" if known else f"{module} has none",
            )


def _given(config: Experiment | Suite) -> Iterator[tuple[str, str, str]]:
    """Key, module and parameter of all that a module is given."""
    for key, module in config.modules_by_key.items():
        for name in module.parameters:
            yield f"{key}.parameters.{name}", module.name, name
        if isinstance(config, Suite):
            for variant in config.variants:
                for name in config.parameters(variant, module).keys() - module.parameters.keys():
                    yield f"variants.{variant}.{name}", module.name, name
