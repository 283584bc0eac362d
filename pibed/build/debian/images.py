"""The images of the builder `debian`: sources and cross compiler from the distribution's packages.

Each step is keyed by what goes into it (see `pibed.build.store`); what a step made is used by the
next through its key, so that a change rebuilds exactly what depends on it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pibed.base import places
from pibed.build import materials, overlay, reads, sandbox, toolchain, vermagic
from pibed.build.debian import kernel, loading, modules, rootfs
from pibed.build.debian import packages as packages_
from pibed.build.debian import programs as programs_
from pibed.build.debian.bench import Bench
from pibed.build.images import Images
from pibed.build.making import Order
from pibed.build.payload import Payload
from pibed.build.reads import Read
from pibed.build.sources import guestpackages
from pibed.build.sources import packages as sources
from pibed.build.sources.unpack import unpack_busybox, unpack_linux
from pibed.model.builder import Made


def build(order: Order) -> Images:
    """Makes the images for a machine and what it is to run.

    Raises HostError for a missing tool or what the policy refuses, BuildError for a source that
    cannot be had, a failed step with its log or a module that the kernel would refuse, UsageError
    for files that the configuration names and that are not there.
    """
    machine, payload, fragments = order.machine, order.payload, order.payload.fragments
    holding = sandbox.choose(payload.root, order.trust, order.limits)
    tools = toolchain.find(machine)
    packages = sources.linux(machine) | sources.busybox()
    (linux, busybox), comparison = sources.fetch(packages, order.root, tools.all, order.policy)
    for_guest = None
    if payload.packages is not None:
        architecture = guestpackages.architecture(machine)
        for_guest = guestpackages.fetch(payload.packages, architecture, order.root, order.policy)
        comparison = replace(comparison, differs=(*comparison.differs, *for_guest.differs))
        for note in filter(None, (for_guest.note, for_guest.lack)):
            order.progress.note(note)
    for line in comparison.differs:
        order.progress.differs(line)
    recorded = {} if for_guest is None else for_guest.recorded
    plain = order.bench
    plain.store.remove_unfinished()
    bench = Bench(plain.store, plain.progress, plain.jobs, machine, tools, holding)

    programs_.check(bench, payload)
    linux_source = unpack_linux(bench, linux)
    linux_build = kernel.kernel(bench, payload, linux_source)
    device_tree = kernel.device_tree(bench, linux_build)
    busybox_source = unpack_busybox(bench, busybox)
    busybox_binary = rootfs.busybox(bench, busybox_source)
    own = modules.modules(bench, payload, linux_source, linux_build)
    loadable = loading.loadable(payload, own, linux_source, linux_build)
    programs = programs_.make(bench, payload)
    agent = rootfs.agent(bench)
    unpacked = None if for_guest is None else packages_.unpack(bench, for_guest)
    parts = rootfs.Parts(linux_build, busybox_binary, agent, loadable, programs, unpacked)
    initramfs = rootfs.initramfs(bench, payload, parts)
    boot = linux_build.path / machine.kernel.boot_folder
    release = vermagic.release(linux_build.path)
    for each in own.files.values():
        vermagic.check(each, boot / machine.kernel.plain_image, release)
    return Images(
        kernel=boot / machine.kernel.image,
        device_tree=device_tree.path / "board.dtb",
        initramfs=initramfs.path / "initramfs.cpio",
        gen_init_cpio=linux_build.path / "usr" / "gen_init_cpio",
        modules=loadable.listed,
        programs=(
            busybox_binary.path / "root" / "bin" / "busybox",
            agent.path / "agent",
            *programs.files.values(),
        ),
        kernel_source=linux_source.path,
        kernel_build=linux_build.path,
        variables=bench.variables,
        sources={
            **{archive.package: archive.source for archive in (linux, busybox)},
            **recorded,
        },
        tools=tools.linking | programs.tools,
        steps=(
            *(linux_source, busybox_source),
            *(linux_build, device_tree, busybox_binary, *own.outputs, *programs.steps, agent),
            *(() if unpacked is None else (unpacked,)),
            initramfs,
        ),
        lock=comparison,
        builder=Made(name="debian"),
        components=materials.of_debian(
            linux.source, busybox.source, payload, tools.compilers, tools.libc, recorded
        ),
        read={
            "module": own.read,
            "programs": _read(payload, programs.read),
            **({"kernel": reads.digests(fragments, payload.root)} if fragments else {}),
        },
        sandbox=holding.kind,
    )


def _read(payload: Payload, programs: Read) -> Read:
    """All files of the user's, but for those of modules and of the kernel's configuration."""
    files = [] if payload.files is None else overlay.require(payload.files, "files")
    if payload.packages is not None:
        files.append(payload.packages.lock)
    own = reads.digests(
        (path for path in files if path.is_file() and not path.is_symlink()), payload.root
    )
    return {**programs, **own}


def legal_info(order: Order, images: Images, target: Path) -> None:
    """Puts licences and sources of images that `build` made into the folder `target`."""
    packages = sources.linux(order.machine) | sources.busybox()
    archives, _ = sources.fetch(packages, order.root, {}, order.policy)
    (busybox,) = (each.path for each in images.steps if each.step.name == "busybox-source")
    libc = order.machine.packages.libc
    gpl = places.checkout() / "LICENSES" / "GPL-2.0-only.txt"
    licences = {
        **{each.name: gpl for each in images.components if each.licence == "GPL-2.0-only"},
        "linux": images.kernel_source / "COPYING",
        "busybox": busybox / "LICENSE",
        "libc": Path("/usr/share/doc") / libc / "copyright",
        "pibed-agent": places.checkout() / "LICENSES" / "MIT.txt",
    }
    for step in images.steps:
        if step.step.name == packages_.STEP:
            licences |= packages_.licences(step, order.machine)
    materials.collect(
        archives,
        images.components,
        {name: path for name, path in licences.items() if path.is_file()},
        target,
    )
