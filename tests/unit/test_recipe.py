"""What Buildroot is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pibed.base import places
from pibed.base.errors import BuildError, HostError, UsageError
from pibed.build import kconfig, payload
from pibed.build.buildroot import recipe
from pibed.build.payload import Module, Payload
from pibed.model.builder import load_settings
from pibed.model.experiment import load_experiment
from pibed.model.machine import load_machine
from pibed.model.suite import load_suite
from tests.unit.helpers import ROOT


@pytest.fixture
def paging() -> Payload:
    return payload.of_experiment(load_experiment("paging"))


def compiler(folder: Path, answers: str, openmp: bool = False, version: str = "12") -> Path:
    """A folder with a compiler that gives these answers."""
    (folder / "bin").mkdir(parents=True)
    script = folder / "bin" / "arm-x-gcc"
    script.write_text(
        "#!/bin/sh\ncase $* in\n"
        f"*-E*) cat <<'E'\n{answers}\nE\n;;\n"
        f"-dumpversion) echo {version} ;;\n"
        f"*-fopenmp*) exit {0 if openmp else 1} ;;\n"
        "esac\n"
    )
    script.chmod(0o755)
    return folder


def test_shipped_settings_are_bootlins_from_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIBED_BUILDROOT", raising=False)
    settings = load_settings({})
    assert settings.toolchain == "bootlin"
    assert settings.repository.startswith("https://")
    monkeypatch.setenv("PIBED_BUILDROOT", "/a/clone")
    assert load_settings({}).repository == "/a/clone"
    assert load_settings({"toolchain": "distro"}).toolchain == "distro"


def test_repository_that_is_a_folder_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("clone", "./clone", "~/clone", str(tmp_path / "clone")):
        monkeypatch.setenv("PIBED_BUILDROOT", given)
        assert load_settings({}).repository == str(tmp_path / "clone")


def test_default_options_are_those_of_the_experiments() -> None:
    for experiment in ("paging", "balance"):
        known = payload.of_experiment(load_experiment(experiment))
        quoted = recipe.quoted(" ".join(known.cflags))
        assert recipe.default_cflags(ROOT, known.package) == quoted
    assert recipe.default_cflags(ROOT, "kmod-paging") == ""


@pytest.mark.parametrize("name", ["gnu", ""])
def test_unknown_toolchain(name: str) -> None:
    with pytest.raises(UsageError, match=r"toolchain: Input should be 'bootlin', .* or 'distro'"):
        load_settings({"toolchain": name})


def test_path_needs_a_path_and_a_prefix() -> None:
    with pytest.raises(UsageError, match="'path' needs path and prefix"):
        load_settings({"toolchain": "path"})
    load_settings({"toolchain": "path", "path": "/opt/x", "prefix": "arm-x"})


def test_requests_are_the_machines_and_the_payloads(paging: Payload) -> None:
    machine = load_machine("pi2", {"kernel.version": "6.12"}).with_debug_kernel()
    asked = recipe.requests(ROOT, machine, paging, {"BR2_TOOLCHAIN_EXTERNAL_BOOTLIN": "n"})
    tree = "$(BR2_EXTERNAL_PIBED_PATH)/.."
    assert asked["BR2_LINUX_KERNEL_CUSTOM_CONFIG_FILE"] == (
        f'"{tree}/kernel/fragments/base.config"'
    )
    assert asked["BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES"] == (
        f'"{tree}/kernel/fragments/pi2.config {tree}/kernel/fragments/debug.config"'
    )
    assert asked["BR2_PACKAGE_DENSE_MM_CFLAGS"] == '"-O0"'
    assert asked["BR2_PACKAGE_KMOD_PAGING"] == "y"
    assert asked["BR2_PACKAGE_PIBED_AGENT"] == "y"
    assert asked["BR2_TOOLCHAIN_EXTERNAL_BOOTLIN"] == "n"


@pytest.mark.parametrize(
    "name", ["paging", "logging", "balance", "memory", "placement", "study", "suite"]
)
def test_defaults_of_the_packages_are_what_is_asked_for(name: str) -> None:
    """So that one build folder serves all experiments and suites."""
    each = (
        payload.of_suite(load_suite("paging"))
        if name == "suite"
        else payload.of_experiment(load_experiment(name))
    )
    recipe.require_packages(each)
    text = (ROOT / "buildroot" / "package" / each.package / "Config.in").read_text()
    assert f'default "{" ".join(each.cflags)}"' in text


@pytest.mark.parametrize("machine", ["pi2", "pi3"])
def test_fragments_and_overlays_of_the_defconfig_are_the_machines(machine: str) -> None:
    path = ROOT / "buildroot" / "configs" / f"pibed_{machine}_defconfig"
    asked = {name: each.value for name, each in kconfig.read_fragments([path]).items()}
    ours = recipe.requests(
        ROOT,
        load_machine(machine),
        payload.of_experiment(load_experiment("paging")),
        {},
    )
    for name in asked.keys() & ours.keys() - {"BR2_LINUX_KERNEL_LATEST_VERSION"}:
        assert asked[name] == ours[name]


def test_module_without_a_package(paging: Payload) -> None:
    other = Payload(
        (Module("other", paging.modules[0].folder),),
        (),
        (),
        "usr/bin",
        "configs/x.yaml",
        "dense-mm",
    )
    with pytest.raises(UsageError, match=r"configs/x\.yaml: Buildroot has no package other"):
        recipe.require_packages(other)


def test_package_that_is_made_of_something_else(paging: Payload, tmp_path: Path) -> None:
    """A test that changes a copy of the module must not get images of the original."""
    other = replace(paging, modules=(Module("kmod_paging", tmp_path),))
    with pytest.raises(UsageError) as caught:
        recipe.require_packages(other)
    assert caught.value.message == (
        f"configs/experiments/paging.yaml: Buildroot's package kmod-paging is made of "
        f"{ROOT / 'module'}, not of {tmp_path}"
    )


def test_every_package_says_what_it_is_made_of() -> None:
    names = {path.name for path in (ROOT / "buildroot" / "package").iterdir()}
    assert names == {
        *("dense-mm", "kmod-paging", "memory-bench", "paging-tests", "pibed-agent"),
        "touch-pages",
    }
    sites = {name: recipe.site(ROOT, name) for name in names}
    assert sites.pop("pibed-agent") == "buildroot/package/pibed-agent"
    assert set(sites.values()) == {"module"}


def test_machine_that_the_external_tree_does_not_know(paging: Payload) -> None:
    machine = load_machine("pi2").model_copy(update={"name": "pi9"})
    with pytest.raises(UsageError, match="pibed_pi9_defconfig"):
        recipe.requests(ROOT, machine, paging, {})


def test_external_compiler_is_asked_for_all_that_buildroot_insists_on(
    paging: Payload, tmp_path: Path
) -> None:
    old = compiler(tmp_path / "old", "version=267009\nglibc=1\nrpc=1", True, "8.3.0")
    told = recipe.external(ROOT, old, "arm-x")
    assert told["BR2_TOOLCHAIN_EXTERNAL_CUSTOM_PREFIX"] == '"arm-x"'
    assert told["BR2_TOOLCHAIN_EXTERNAL_GCC_8"] == "y"
    assert told["BR2_TOOLCHAIN_EXTERNAL_HEADERS_4_19"] == "y"
    assert told["BR2_TOOLCHAIN_EXTERNAL_CUSTOM_GLIBC"] == "y"
    assert told["BR2_TOOLCHAIN_EXTERNAL_INET_RPC"] == "y"
    assert told["BR2_TOOLCHAIN_EXTERNAL_OPENMP"] == "y"
    asked = recipe.requests(ROOT, load_machine("pi2"), paging, told)
    assert not [name for name in asked if "BOOTLIN" in name]
    new = recipe.external(ROOT, compiler(tmp_path / "new", "version=397568"), "arm-x")
    assert new["BR2_TOOLCHAIN_EXTERNAL_HEADERS_6_12"] == "y"  # "or later"
    assert new["BR2_TOOLCHAIN_EXTERNAL_CUSTOM_MUSL"] == "y"
    assert new["BR2_TOOLCHAIN_EXTERNAL_OPENMP"] == "n"


def test_external_compiler_that_is_missing_or_has_no_headers(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"bin/arm-x-gcc: there is no such compiler") as caught:
        recipe.external(ROOT, tmp_path, "arm-x")
    assert caught.value.fix is not None
    assert "configs/buildroot.yaml" in caught.value.fix
    with pytest.raises(BuildError, match="it has no kernel headers"):
        recipe.external(ROOT, compiler(tmp_path / "none", "version=LINUX_VERSION_CODE"), "arm-x")


def test_internal_toolchain_takes_the_headers_of_the_kernel() -> None:
    for series in ("6.1", "6.12"):
        machine = load_machine("pi2", {"kernel.version": series})
        asked = recipe.internal(ROOT, machine)
        name = f"BR2_PACKAGE_HOST_LINUX_HEADERS_CUSTOM_{series.replace('.', '_')}"
        assert asked[name] == "y"
        assert asked["BR2_TOOLCHAIN_BUILDROOT_GLIBC"] == "y"


def test_text_is_what_is_read_again(tmp_path: Path) -> None:
    asked = {"BR2_B": recipe.quoted('a "b" \\c'), "BR2_A": "y", "BR2_C": "n"}
    path = tmp_path / "config"
    path.write_text(recipe.text(asked))
    assert {name: each.value for name, each in kconfig.read_fragments([path]).items()} == asked
    assert path.read_text().startswith("BR2_A=y\nBR2_B=")


@pytest.mark.parametrize("name", ["agent", "busybox", "kernel"])
def test_names_of_the_guests_own_parts_are_taken(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "Kbuild").touch()
    (tmp_path / "programs" / "lib").mkdir(parents=True)
    (tmp_path / "programs" / f"{name}.c").touch()
    study, suite = load_experiment("paging"), load_suite("paging")
    changes = {"source": f"programs/{name}.c"}
    study = study.model_copy(update={"workload": study.workload.model_copy(update=changes)})
    suite = suite.model_copy(update={"programs": "programs", "library": ["programs/lib"]})
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    words = f"{name}.c: the name {name} is taken"
    with pytest.raises(UsageError, match=f"workload.source: .*{words}"):
        payload.of_experiment(study)
    with pytest.raises(UsageError, match=f"programs: .*{words}"):
        payload.of_suite(suite)


def test_folder_of_a_library_without_a_c_file_is_an_error() -> None:
    suite = load_suite("paging")
    suite = suite.model_copy(update={"library": [*suite.library, "docs"]})
    with pytest.raises(UsageError, match=r"paging\.yaml: library: there is no C file in .*docs"):
        payload.of_suite(suite)
