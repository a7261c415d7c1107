"""Puts results into the notebook that nbgrader stores: verdicts as the test cells' outputs, remarks as a cell on top.

nbgrader reads a test cell's first `execute_result` as its points (`nbgrader.utils.determine_grade`); everything else
that students, Formgrader and feedback pages see is ordinary nbformat. The student's words are kept as they are; pages
are made harmless where they are rendered (`autograder.engine.grader.pages`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbformat.v4 import new_markdown_cell, new_output

from autograder.course.cells import exercise_of, grade_id, points_of
from autograder.engine.grader.store import Bundle, Output
from autograder.exams.verdict import Verdict

Json = dict[str, Any]


def displayed(outputs: Sequence[Mapping[str, Any]]) -> list[Output]:
    """A cell's outputs, of which none is a result: in a visible check, nbgrader would take a number for points."""
    return [_display(output) if output["output_type"] == "execute_result" else dict(output) for output in outputs]


def _display(output: Mapping[str, Any]) -> Output:
    return {"output_type": "display_data", "data": output["data"], "metadata": output.get("metadata", {})}


def verdict_outputs(verdict: Verdict, max_points: float) -> list[Output]:
    """What a hidden test cell shows: the report, and the points as its result.

    Args:
        verdict: The verdict on the exercise.
        max_points: What the notebook's cell is worth; nbgrader refuses a score above it.
    """
    points = float(min(max(verdict.points, 0.0), max_points))
    return [
        new_output("stream", text=verdict.report() + "\n"),
        new_output("execute_result", {"text/plain": repr(points)}),
    ]


def present(notebook: Mapping[str, Any], bundle: Bundle) -> Json:
    """The notebook as it is stored: executed cells with their outputs, test cells with their verdicts, remarks on top.

    Args:
        notebook: The rebuilt notebook.
        bundle: The result of its run.
    """
    cells = [_presented(cell, place, bundle) for place, cell in enumerate(notebook["cells"])]
    remarks = bundle.remarks if bundle.status != "graded" or not bundle.sandboxed else ()
    top = [_remarks_cell(bundle, remarks)] if remarks else []
    return {**notebook, "cells": [*top, *cells]}


def _presented(cell: Mapping[str, Any], place: int, bundle: Bundle) -> Json:
    if cell["cell_type"] != "code":
        shown, name = dict(cell), grade_id(cell)
        return _left_open(shown, bundle.ungraded[name]) if name in bundle.ungraded else shown
    exercise = exercise_of(cell)
    outputs = list(bundle.outputs.get(place, ()))
    if exercise in bundle.ungraded:
        words = f"{exercise} is not graded yet: {bundle.ungraded[exercise]}. A human will look at it.\n"
        return _left_open(
            {**cell, "execution_count": None, "outputs": [new_output("stream", text=words)]}, bundle.ungraded[exercise]
        )
    if exercise and exercise in bundle.verdicts:
        outputs = verdict_outputs(bundle.verdicts[exercise], points_of(cell))
    return {**cell, "execution_count": None, "outputs": outputs}


def _left_open(cell: Json, reason: str) -> Json:
    """A cell that has no score; `plugs.SaveVerdicts` reads this."""
    metadata = {**cell["metadata"], "pset4": {**cell["metadata"].get("pset4", {}), "ungraded": reason}}
    return {**cell, "metadata": metadata}


def _remarks_cell(bundle: Bundle, remarks: Sequence[str]) -> Json:
    """Remarks hold words from the submission: they are shown as preformatted text, which no renderer executes."""
    lines = "\n".join(f"    - {' '.join(remark.split())}" for remark in remarks)
    source = f"**While grading** (status: {bundle.status})\n\n{lines}"
    metadata = {"deletable": False, "editable": False, "pset4": {"origin": "remarks"}}
    cell: Json = new_markdown_cell(source, id="grading-remarks", metadata=metadata)
    return cell
