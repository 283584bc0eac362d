"""A module or a program that cannot be built is told as whoever wrote it knows its files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pibed.base.errors import BuildError
from pibed.build.payload import Module, Payload
from pibed.build.program import Program
from pibed.commands import build
from pibed.model.machine import Machine

from .helpers import copy_of_checkout

HEAD = '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n'
FILES = {
    "module/Kbuild": "obj-m := small.o\nccflags-y := -I$(src)/../hdr\n",
    "module/small.c": HEAD,
    "work/work.c": "int main(void)\n{\n\treturn 0;\n}\n",
}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "module/small.c",
            HEAD + "int f(void)\n{\n\treturn undeclared;\n}\n",
            r"the module small cannot be built: {}/module/small\.c:5:16: error: 'undeclared' ",
        ),
        ("module/small.c", HEAD + '#include "none.h"\n', r"{}/module/small\.c:3:10: fatal error: "),
        ("hdr/bad.h", "int f(void) { return zz; }\n", r"{}/hdr/bad\.h:1:22: error: 'zz' "),
        (
            "module/small.c",
            HEAD + "int nowhere(void);\nint init_module(void)\n{\n\treturn nowhere();\n}\n",
            r'modpost: "nowhere" \[{}/module/small\.ko\] undefined!',
        ),
        ("module/small.c", "#include <linux/module.h>\n", r"missing MODULE_LICENSE\(\) in {}/mod"),
        ("module/Kbuild", "obj-m := small.o\nifeq (1\n", r"{}/module/Kbuild:2: \*\*\* "),
        ("module/Kbuild", "obj-m := big.o\n", r"No rule to make target '{}/module/big\.o'"),
        ("module/Kbuild", "obj-m :=\n", r"{}/module/Kbuild: it makes no small\.ko"),
        (
            "work/work.c",
            "int main(void)\n{\n\treturn yy;\n}\n",
            r"the program work cannot be built: {}/work/work\.c:3:16: error: 'yy' undeclared",
        ),
        (
            "work/work.c",
            "int nowhere(void);\nint main(void)\n{\n\treturn nowhere();\n}\n",
            r"{}/work/work\.c:\(\.text\+0x\w+\): undefined reference to `nowhere'",
        ),
    ],
)
def test_error_names_the_users_file(
    machine: Machine, tmp_path: Path, name: str, text: str, message: str
) -> None:
    folder = tmp_path / "my project"
    for path, content in {**FILES, name: text}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    if name == "hdr/bad.h":
        (folder / "module" / "small.c").write_text(HEAD + '#include "bad.h"\n')
    programs = (Program("work", (folder / "work" / "work.c",)),)
    payload = Payload(
        (Module("small", folder / "module"),),
        programs,
        (),
        "usr/bin",
        "experiment.yaml",
        "work",
        folder,
    )
    with pytest.raises(BuildError, match=message.replace("{}", re.escape(str(folder)))) as caught:
        build.make_payload_images(machine, payload)
    told = "\n".join([caught.value.message, *caught.value.context])
    assert "unfinished" not in told
    assert "ended with status" not in told
    assert caught.value.log is not None
    assert caught.value.log.is_file()


@pytest.mark.parametrize("name", ["module/user/dense_mm.c", "module/tests/lib/system.c"])
def test_error_is_shown_with_its_line(images: object, tmp_path: Path, name: str) -> None:
    checkout = copy_of_checkout(tmp_path / "copy")
    path = checkout / name
    path.write_text(path.read_text() + "int broken(void) { return nothing; }\n")
    verb = ("ktest", "--tests", "mmap") if "tests" in name else ("build",)
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *verb],
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4
    line = len(path.read_text().splitlines())
    assert f"cannot be built: {path}:{line}:27: error: 'nothing' undeclared" in done.stderr
    assert "return nothing;" in done.stderr
    assert "Traceback" not in done.stderr
