"""A module that means ill: its Makefile on the host, and the QEMU in which it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pibed.base import bubblewrap, places
from pibed.base.errors import BuildError, UsageError
from pibed.build.images import Images
from pibed.build.payload import Module, Payload
from pibed.commands import build
from pibed.guest.guest import Guest, Launch
from pibed.guest.qemu import Logs
from pibed.model.machine import Machine
from tests import excuses

from .conftest import qemus

pytestmark = pytest.mark.skipif(bubblewrap.missing() is not None, reason=excuses.NO_SANDBOX)


def payload(folder: Path, kbuild: str) -> Payload:
    module = folder / "lab" / "module"
    module.mkdir(parents=True)
    (module / "small.c").write_text('#include <linux/module.h>\nMODULE_LICENSE("GPL");\n')
    (module / "Kbuild").write_text("obj-m := small.o\n" + kbuild)
    root = folder / "lab"
    return Payload((Module("small", module),), (), (), "usr/bin", "x.yaml", "work", root)


def test_shell_in_a_kbuild_has_no_rights(machine: Machine, tmp_path: Path) -> None:
    """It is run all the same, and reads and writes nothing but its own."""
    commands = f"id -u; cat /etc/shadow /root/.ssh/*; echo x >{tmp_path}/x; echo x >$(src)/../x"
    images = build.make_payload_images(
        machine, payload(tmp_path, f"$(info >$(shell ({commands}) 2>&1)<)\n")
    )
    (step,) = (each.step for each in images.steps if each.step.name == "module")
    log = places.cache() / "steps" / "logs" / f"module-{step.asked.key[:16]}.log"
    (said,) = {line for line in log.read_text().splitlines() if line.startswith(">")}
    uid = said[1:].split()[0]
    assert int(uid) not in (0, os.geteuid())
    assert said.count("No such file or directory") >= 2
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "lab" / "x").exists()
    assert images.sandbox == "bubblewrap"


def test_shell_in_a_kbuild_that_takes_the_place_of_the_module(
    machine: Machine, tmp_path: Path
) -> None:
    """What is no file, such as a link to one that only root reads, is not taken for the module."""
    trick = "all: ;\n$(shell rm -f $(src)/small.ko; ln -s /etc/shadow $(src)/small.ko)\n"
    with pytest.raises(BuildError, match="small"):
        build.make_payload_images(
            machine, payload(tmp_path, trick.replace("obj-m", "x") + "obj-m :=\n")
        )


def test_link_out_of_the_folder(machine: Machine, tmp_path: Path) -> None:
    wanted = payload(tmp_path, "")
    (tmp_path / "lab" / "module" / "secret.h").symlink_to("/etc/shadow")
    with pytest.raises(UsageError, match=r"module/secret\.h leads out of .*lab, to /etc/shadow"):
        build.make_payload_images(machine, wanted)


def test_qemu_has_no_rights(machine: Machine, images: Images, tmp_path: Path) -> None:
    logs = Logs.below(tmp_path)
    # Waits for commands, so that there is time to look.
    with Guest(Launch(machine, images, "virtual", 1), logs, None) as guest:
        (pid,) = qemus()
        proc = Path(f"/proc/{pid}")
        lines = (proc / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
        if os.geteuid() == 0:
            assert "0" not in status["Uid"].split()
        for name in ("pid", "net", "mnt", "ipc", "uts"):
            assert (proc / "ns" / name).readlink() != Path(f"/proc/self/ns/{name}").readlink()
        root = proc / "root"
        assert not (root / "home").exists()
        assert not (root / "etc" / "passwd").exists()
        assert {path.name for path in Path(f"{root}{tmp_path}").iterdir()} == {
            *("console.log", "agent.log")
        }
        guest.finish()
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {os.geteuid()}
    assert not qemus()
