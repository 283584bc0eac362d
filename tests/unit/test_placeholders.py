"""Braces in commands: values of parameters, and braces that are meant."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pibed.model import placeholders
from pibed.model.plan import load_line, rounds, steps
from tests.unit.helpers import experiment


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("work {size}", "work 64"),
        ("{size}{size}", "6464"),
        ("awk '{{print $1}}' {size}", "awk '{print $1}' 64"),
        ("${{x:-{size}}}", "${x:-64}"),
        ("{{size}}", "{size}"),
        ("{{{size}}}", "{64}"),
        ("{{{{}}}}", "{{}}"),
        ("none", "none"),
    ],
)
def test_filled(text: str, filled: str) -> None:
    assert placeholders.mistake(text, ["size"]) is None
    assert placeholders.fill(text, {"size": 64}) == filled


def test_braces_of_a_value_are_no_placeholders() -> None:
    assert placeholders.fill("a {size}", {"size": "{size} }}"}) == "a {size} }}"
    assert placeholders.fill(placeholders.literal("${x} {{"), {}) == "${x} {{"


def test_names() -> None:
    assert placeholders.names("{a} {{b}} {{{c}}}") == {"a", "c"}


def refused(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        experiment(**changes)
    return str(caught.value)


def command(text: str) -> dict[str, Any]:
    return {"source": "a.c", "command": text, "timeout_s": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo ${x}", "{x} is not a parameter of the experiment (eager, size); braces that are "),
        ("echo ${x}", "as in shell and awk, are written twice: {{x}}"),
        ("awk '{print $1}'", "written twice: {{print $1}}"),
        ("awk '{printf \"%d:\", $1}'", "written twice: {{printf"),
        ("work {size:d}", "{size:d} is not a parameter"),
        ("work {size!r}", "{size!r} is not a parameter"),
        ("work {}", "{} is not a parameter"),
        ("awk '{if ($1) {size}}'", 'a { has no other brace, in "awk \'{if ($1) {s"; one that is'),
        ("work } {size}", "a } has no other brace, in 'work } {size}'; one that"),
        ("work {size", "written twice: {{"),
    ],
)
def test_brace_that_is_no_parameter_says_how_it_is_meant(text: str, words: str) -> None:
    for key, changes in {
        "workload.command": {"workload": command(text)},
        "workload.background": {"workload": command("work") | {"background": text}},
        "module.parameters.p": {
            "module": {"folder": "m", "name": "kmod", "parameters": {"p": text}}
        },
    }.items():
        message = refused(**changes)
        assert f"{key}: " in message
        assert words in message


def test_written_as_the_message_says_it_reaches_the_shell() -> None:
    awk = "work {size} | awk '{{print $1}}'"
    module = {"folder": "m", "name": "kmod", "parameters": {"p": "${{x}}", "eager": "{eager}"}}
    study = experiment(workload=command(awk), module=module)
    first = rounds(study)[0].visits[0]
    values = first.cell.as_dict()
    assert steps(study, [first])[0].run.line == f"work {values['size']} | awk '{{print $1}}'"
    assert load_line(study, values).endswith(f" p='${{x}}' eager={values['eager']}")


def test_option_of_boot_needs_a_placeholder_and_no_braces_that_are_meant() -> None:
    parameters: dict[str, Any] = experiment().model_dump()["parameters"]
    parameters["eager"]["options"] = {"boot": "eager"}
    module = {"folder": "m", "name": "kmod", "parameters": {"p": "{{eager}}"}}
    words = refused(parameters=parameters, module=module)
    assert "options.boot: no parameter of the module is {eager}" in words


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("parameters", "round", "'round' is the name of a fixed column of samples.csv; these are"),
        ("parameters", "sd", "taken: experiment, round, order, status, metric, n, min, max, mean,"),
        ("metrics", "status", "these are taken: experiment, round, order, status, total"),
        ("metrics", "total", "'total' is the name of the sum of several metrics; these are taken"),
    ],
)
def test_reserved_name_says_which_are(kind: str, name: str, words: str) -> None:
    data = experiment().model_dump()[kind]
    data[name] = data["size" if kind == "parameters" else "work_us"]
    assert words in refused(**{kind: data})
