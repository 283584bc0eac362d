"""`build`: the images, for the other commands as well."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pibed.base import places, terminal
from pibed.build import builders, host, payload, timing
from pibed.build.builders import DEFAULT, Builder
from pibed.build.debian import debuginfo
from pibed.build.debian.debuginfo import DebugInfo
from pibed.build.images import Images
from pibed.build.making import Order, Progress
from pibed.build.progress import BuildProgress
from pibed.build.sandbox import Limits
from pibed.build.sources.policy import DEFAULT_POLICY, Policy
from pibed.commands import arguments, parameters
from pibed.commands.options import BuildOptions
from pibed.model.board import Board
from pibed.model.experiment import Experiment
from pibed.model.machine import Machine

if TYPE_CHECKING:
    from pibed.build.payload import Payload
    from pibed.runs.manifest import Manifest


def build(options: BuildOptions) -> None:
    """Makes the images and prints where they are."""
    machine = arguments.machine(options.machine, options.kernel)
    experiment = arguments.experiment(options.experiment)
    policy = arguments.policy(options, options.refresh)
    builder = arguments.builder(options)
    images = make_images(
        machine, experiment, policy, builder, trust=options.trust, show_cached=True
    )
    print(f"kernel       {images.kernel}")
    print(f"device tree  {images.device_tree}")
    print(f"initramfs    {images.initramfs}")


def make_images(
    machine: Machine,
    experiment: Experiment,
    policy: Policy = DEFAULT_POLICY,
    builder: Builder = DEFAULT,
    *,
    board: Board | None = None,
    trust: bool = False,
    show_cached: bool = False,
) -> Images:
    """Builds the images of an experiment; see `make_payload_images`.

    Raises UsageError, too, for a parameter that a module does not have.
    """
    images = make_payload_images(
        machine,
        payload.of_experiment(experiment),
        policy,
        builder,
        board=board,
        trust=trust,
        show_cached=show_cached,
    )
    parameters.require(experiment, images)
    return images


def make_recorded_images(
    recorded: Manifest,
    policy: Policy = DEFAULT_POLICY,
    *,
    experiment: Experiment | None = None,
    trust: bool = False,
) -> Images:
    """Builds the images of a run again; see `make_images`.

    `experiment` is the run's own with the place where its sources are now, if that is another.
    """
    return make_images(
        recorded.machine,
        experiment or recorded.experiment,
        policy,
        builders.recorded(recorded.builder),
        board=recorded.board,
        trust=trust,
    )


def make_debug_info(
    machine: Machine, payload_: Payload, images: Images, *, trust: bool = False
) -> DebugInfo:
    """What a debugger reads of images that were made for a payload; see `debuginfo.make`."""
    progress = BuildProgress(terminal.stderr(), show_cached=False)
    order = Order(machine, payload_, places.cache(), progress, trust=trust)
    return debuginfo.make(order, images)


def make_payload_images(
    machine: Machine,
    payload_: Payload,
    policy: Policy = DEFAULT_POLICY,
    builder: Builder = DEFAULT,
    *,
    board: Board | None = None,
    trust: bool = False,
    limits: Limits | None = None,
    show_cached: bool = False,
    progress: Progress | None = None,
) -> Images:
    """Builds what is not there yet, with progress and what differs from the lock on stderr.

    Another `progress` is told instead if there is one.
    With a `board` the timing plugin is made as well. What the payload brings is built in a sandbox
    within `limits` unless there is `trust`, see `pibed.build.sandbox.choose`. Raises HostError
    where none can be had, and for a QEMU that the plugin does not know, before anything is built.
    """
    api = None if board is None else timing.interface(machine)
    needed = [each for each in builder.prerequisites(machine) if not each.for_tests]
    host.require(needed, builder.setup)
    if any(each.is_cxx for each in payload_.compiled):
        host.require([host.for_cxx(machine)], "./inv setup --cxx")
    told = progress or BuildProgress(terminal.stderr(), show_cached)
    order = Order(machine, payload_, places.cache(), told, policy, trust=trust, limits=limits)
    images = builder.build(order)
    if board is None or api is None:
        return images
    made, step = timing.make(order.bench, board, api)
    return replace(images, timing=made, steps=(*images.steps, step))
