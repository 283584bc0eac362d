"""What of checkpatch.pl's findings counts for a module outside of the kernel's tree."""

from __future__ import annotations

from pibed.build.review import style_findings


def test_question_for_the_kernels_version_is_no_finding() -> None:
    told = [
        "0.c:7: CHECK: Please don't use multiple blank lines",
        "0.c:94: WARNING: LINUX_VERSION_CODE should be avoided, code should be for the version",
        "0.c:94: WARNING: Comparisons should place the constant on the right side of the test",
        "0.c:9: WARNING: Comparisons should place the constant on the right side of the test",
        "1.c:94: ERROR: trailing whitespace",
        "No typos will be found - file '/x/spelling.txt': No such file or directory",
    ]
    assert style_findings(told) == [told[0], told[3], told[4]]


def test_position_is_all_of_it() -> None:
    told = [
        "0.c:9: WARNING: LINUX_VERSION_CODE should be avoided",
        "0.c:94: CHECK: Alignment should match open parenthesis",
    ]
    assert style_findings(told) == [told[1]]
