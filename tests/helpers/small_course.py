"""A small course for the tests of the engine: one notebook, two exercises, exams of a few calls."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import torch
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.course.seeds import exam_seed
from autograder.engine.grader.rebuild import read_submission, rebuild
from autograder.engine.grader.run import GradingJob, RunOptions, grade_notebook, try_sandbox
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.grader.store import Bundle, Key, Store
from autograder.exams import EXAMS, Examination, Property, exam

ASSIGNMENT, NOTEBOOK = "pset4", "problem0_small"
HIDDEN = "hidden-line-of-the-small-course"
POINTS = {"s1_double": 5.0, "s2_total": 3.0}

DOUBLE = "def double(x):\n    return 2 * x"
TOTAL = "def total(x):\n    return x.sum()"
ANSWERS = {"s1_double": DOUBLE, "s2_total": TOTAL}


@functools.cache
def sandbox_here() -> bool:
    """Whether submissions can be sandboxed on this machine."""
    try:
        try_sandbox()
    except SandboxUnavailable:
        return False
    return True


def sandbox_options() -> list[str]:
    """nbgrader's options for grading our own submissions on a machine that has no sandbox."""
    return [] if sandbox_here() else ["--RunTwoProcesses.unsafe_no_sandbox=True"]


def register() -> None:
    """Adds the small course's exams to the registry."""
    if "s1_double" in EXAMS:
        return

    @exam(
        "s1_double",
        points=5,
        seconds=2.0,
        properties=(Property("values", 4, "some values are wrong"), Property("shape", 1, "the shape is wrong", "form")),
    )
    def examine_double(examination: Examination) -> None:
        for size in (3, 7):
            x = torch.randn(size, generator=examination.random)
            value = examination.ask("double", x).value
            if not (isinstance(value, torch.Tensor) and value.shape == x.shape):
                examination.fail("shape")
                examination.fail("values")
            elif value.is_complex() or not torch.allclose(value.to(x.dtype), 2 * x):
                examination.fail("values")

    @exam("s2_total", points=3, seconds=2.0, properties=(Property("values", 3, "the total is wrong"),))
    def examine_total(examination: Examination) -> None:
        x = torch.randn(5, generator=examination.random)
        value = examination.ask("total", x).value
        if not (isinstance(value, torch.Tensor) and value.shape == () and torch.allclose(value.to(x.dtype), x.sum())):
            examination.fail("values")


def source_notebook() -> NotebookNode:
    """The notebook in `source/`, with solutions and hidden tests."""

    def tagged(cell: NotebookNode, grade_id: str, **about: Any) -> NotebookNode:
        flags = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
        cell.metadata["nbgrader"] = flags | {"grade_id": grade_id} | about
        return cell

    def exercise(name: str) -> list[NotebookNode]:
        solution = f"### BEGIN SOLUTION\n{ANSWERS[name]}\n### END SOLUTION"
        test = (
            "### BEGIN HIDDEN TESTS\n"
            f"# {HIDDEN}\nfrom autograder.exams import grade\ngrade({name!r}, globals())\n### END HIDDEN TESTS"
        )
        function = ANSWERS[name][4:].split("(")[0]
        return [
            new_markdown_cell(f"## Exercise {name}"),
            tagged(new_code_cell(solution), name, solution=True),
            tagged(new_code_cell(f"print({function}.__name__)"), f"{name}_check", grade=True, locked=True, points=0),
            tagged(new_code_cell(test), f"{name}_test", grade=True, locked=True, points=POINTS[name]),
        ]

    cells = [
        new_markdown_cell("# A small notebook"),
        tagged(new_code_cell("import torch"), "setup", locked=True),
        *exercise("s1_double"),
        new_markdown_cell("Explain."),
        tagged(new_markdown_cell("the solution in words"), "s_words", grade=True, solution=True, points=2),
        *exercise("s2_total"),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def released() -> dict[str, Any]:
    """The notebook as it is executed before anybody has answered: the solutions are gone, the tests are there."""
    notebook: dict[str, Any] = source_notebook()
    for cell in notebook["cells"]:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell["source"] = "raise NotImplementedError" if cell.cell_type == "code" else "*Your answer here.*"
    return notebook


def submission(
    answers: Mapping[str, str] = ANSWERS, *, first: Sequence[str] = (), last: Sequence[str] = ()
) -> dict[str, Any]:
    """What a student hands in.

    Args:
        answers: Text of the answer cells.
        first: Code cells of the student's own before everything.
        last: The same after everything.
    """
    notebook = released()
    for cell in notebook["cells"]:
        about = cell.metadata.get("nbgrader", {})
        if about.get("grade_id") in answers:
            cell["source"] = answers[about["grade_id"]]
        if about.get("grade_id", "").endswith("_test"):
            cell["source"] = ""
    before, after = [new_code_cell(text) for text in first], [new_code_cell(text) for text in last]
    notebook["cells"] = [*before, *notebook["cells"], *after]
    return notebook


def job(course: Path, notebook: Mapping[str, Any], student: str = "ada", files: Path | None = None) -> GradingJob:
    """A job for a notebook that was handed in."""
    content = nbformat.writes(nbformat.from_dict(notebook)).encode()
    rebuilt = rebuild(released(), read_submission(content), names={name: frozenset() for name in POINTS})
    return GradingJob(
        key=Key(student, ASSIGNMENT, NOTEBOOK),
        notebook=rebuilt.notebook,
        remarks=rebuilt.remarks,
        seed=exam_seed(course, student, ASSIGNMENT),
        files=files,
    )


def graded(course: Path, notebook: Mapping[str, Any], options: RunOptions, student: str = "ada") -> Bundle:
    """The result of a notebook that was handed in."""
    return grade_notebook(job(course, notebook, student), store=Store(course), options=options)


def points(bundle: Bundle) -> dict[str, float]:
    """Points by exercise."""
    return {name: verdict.points for name, verdict in sorted(bundle.verdicts.items())}
