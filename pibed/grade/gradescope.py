"""`results.json` of a submission, as Gradescope's autograder takes it.

See https://gradescope-autograders.readthedocs.io/en/latest/specs/ (Output format).
"""

from __future__ import annotations

import json
from typing import Any

from pibed.grade.feedback import Feedback, Told, lines
from pibed.grade.marks import Graded
from pibed.model.rubric import Scheme


def results(scheme: Scheme, graded: Graded, told: Feedback) -> str:
    """The JSON text: a test a criterion, a negative one a penalty."""
    marks = (*graded.marks, *graded.penalties)
    tests = [
        {
            "name": each.title,
            "score": float(mark.points),
            "max_score": float(mark.most),
            "status": "passed" if each.full else "failed",
            "output": _output(each),
            "visibility": "visible" if mark.show != "nothing" else "after_published",
        }
        for mark, each in zip(marks, (*told.criteria, *told.penalties), strict=True)
    ]
    data: dict[str, Any] = {"output": told.problem, "visibility": "visible", "tests": tests}
    if graded.total is not None:
        data["score"] = float(graded.total)
    else:
        # Without a score Gradescope would take the sum of the tests for one.
        data["tests"] = []
    data["extra_data"] = {"rubric": scheme.rubric.name, "digest": graded.digest}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _output(told: Told) -> str:
    text = [told.note] if told.note else []
    for item in told.items:
        text.append(f"{item.name}: {item.seen}")
        text += [f"  expected: {item.expected}"] if item.expected else []
        text += [f"  | {line}" for line in lines(item)]
        text += [f"  again: {item.again}"] if item.again else []
    if told.passed:
        text.append(f"passed: {', '.join(told.passed)}")
    return "\n".join(text)
