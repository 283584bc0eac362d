"""What compilers, linkers and make say, told with the user's paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pibed.base.errors import BuildError
from pibed.build import diagnostics
from pibed.build.debian.programs import read_by_compiler
from pibed.build.program import Program
from pibed.build.sandbox import Unconfined

MODULE = """\
make[1]: Entering directory '/cache/kernel'
  CC [M]  /copy/module/small.o
In file included from /copy/module/deep.h:1,
                 from /copy/module/small.c:3:
/copy/module/../hdr/bad.h: In function 'f':
/copy/module/../hdr/bad.h:1:22: error: 'zz' undeclared (first use in this function)
    1 | int f(void) { return zz; }
      |                      ^~
/copy/module/../hdr/bad.h:1:22: note: each undeclared identifier is reported only once
/copy/module/small.c:3:12: warning: 'x' defined but not used [-Wunused-function]
    3 | static int x(void)
      |            ^
/copy/module/small.c:9:26: error: control reaches end of non-void function [-Werror=return-type]
    9 | }
      | ^
cc1: some warnings being treated as errors
make[2]: *** [/cache/linux/scripts/Makefile.build:255: /copy/module/small.o] Error 1
make: *** [Makefile:250: __sub-make] Error 2
"""

FILES = {
    "/copy/module/deep.h": "/my/module/deep.h",
    "/copy/module/small.c": "/my/module/small.c",
    "/copy/module/../hdr/bad.h": "/my/hdr/bad.h",
    "/copy/module/Kbuild": "/my/module/Kbuild",
}


def locate(path: str) -> Path | None:
    return Path(FILES[path]) if path in FILES else None


def words(line: str) -> str:
    return line.replace("/copy", "/my")


def test_errors_are_told_with_all_that_is_about_them_and_nothing_else() -> None:
    found = diagnostics.find(MODULE.splitlines(), locate, words)
    assert found is not None
    assert found.message == (
        "/my/hdr/bad.h:1:22: error: 'zz' undeclared (first use in this function) (and 1 more error)"
    )
    assert found.context == [
        "In file included from /my/module/deep.h:1,",
        "                 from /my/module/small.c:3:",
        "/my/hdr/bad.h: In function 'f':",
        "/my/hdr/bad.h:1:22: error: 'zz' undeclared (first use in this function)",
        "    1 | int f(void) { return zz; }",
        "      |                      ^~",
        "/my/hdr/bad.h:1:22: note: each undeclared identifier is reported only once",
        "/my/module/small.c:9:26: error: control reaches end of non-void function "
        "[-Werror=return-type]",
        "    9 | }",
        "      | ^",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'ERROR: modpost: "nowhere" [/copy/module/small.ko] undefined!',
            'ERROR: modpost: "nowhere" [/my/module/small.ko] undefined!',
        ),
        (
            "/copy/module/Kbuild:2: *** missing separator.  Stop.",
            "/my/module/Kbuild:2: *** missing separator.  Stop.",
        ),
        (
            "make[2]: *** No rule to make target '/copy/module/a.o', needed by 'b'.  Stop.",
            "make[2]: *** No rule to make target '/my/module/a.o', needed by 'b'.  Stop.",
        ),
        ("/usr/bin/arm-ld: cannot find -lx: No such file", "arm-ld: cannot find -lx: No such file"),
        (
            "small.c:(.text+0x4): undefined reference to `x'",
            "small.c:(.text+0x4): undefined reference to `x'",
        ),
        ("gcc: error: unrecognized option", "gcc: error: unrecognized option"),
    ],
)
def test_other_errors(line: str, message: str) -> None:
    lines = ["  CC  a.o", line, "collect2: error: ld returned 1 exit status", "make: *** Error 2"]
    found = diagnostics.find(lines, locate, words)
    assert found == diagnostics.Found(message, [message])


def test_many_errors_are_cut() -> None:
    lines = [f"/copy/module/small.c:{number}:1: error: no" for number in range(50)]
    found = diagnostics.find(lines, locate)
    assert found is not None
    assert found.message.endswith("small.c:0:1: error: no (and 49 more errors)")
    assert len(found.context) == 21
    assert found.context[-1] == "… and 30 more lines"


def test_errors_of_others_can_be_left_out() -> None:
    lines = ["/src/a.c:1:1: error: theirs", "  1 | x", "/copy/module/small.c:2:1: error: mine"]
    found = diagnostics.find(lines, locate, only_located=True)
    message = "/my/module/small.c:2:1: error: mine"
    assert found == diagnostics.Found(message, [message])
    assert diagnostics.find(lines[:2], locate, only_located=True) is None


def test_what_is_no_diagnostic_is_told_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("$ first\n/copy/module/small.c:1:1: error: of another program\n$ make\nKilled\n")
    error = BuildError("make was killed by signal 9", log=log, context=["Killed /copy/x"], fix="f")
    told = diagnostics.explained(error, "the module small", locate, words)
    assert told.message == "the module small cannot be built: make was killed by signal 9"
    assert (told.context, told.log, told.fix) == (["Killed /my/x"], log, "f")
    assert told.status == 4


Compile = Callable[[str], BuildError]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('#include "none.h"\n', r"work\.c:1:10: fatal error: none\.h: No such file"),
        ('#include "../a b/bad.h"\n', r"a b/bad\.h:1:\d+: error: #error not this"),
    ],
)
def test_header_that_is_missing_or_bad_is_told_before_anything_is_compiled(
    tmp_path: Path, text: str, message: str
) -> None:
    folder = tmp_path / "my work"
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "bad.h").write_text("#error not this\n")
    folder.mkdir()
    (folder / "work.c").write_text(text)
    programs = [Program("work", (folder / "work.c",))]
    with pytest.raises(BuildError, match=message) as caught:
        read_by_compiler(Unconfined(), "gcc", [], programs, tmp_path)
    assert caught.value.message.startswith(f"the program work cannot be built: {tmp_path}/")
    assert any(line.startswith(f"{tmp_path}/") for line in caught.value.context)
