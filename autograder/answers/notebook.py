"""Writes answers of the bank into the cells of a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from autograder.answers.bank import Answer
from autograder.course.cells import grade_id


def write_answers(cells: Iterable[NotebookNode], answers: Mapping[str, Answer]) -> list[NotebookNode]:
    """The cells with the answers in their places, and what else an answer needs before it or fills after it.

    Args:
        cells: Of a released notebook; their texts change.
        answers: By the exercise.
    """
    further = {exercise: source for answer in answers.values() for exercise, source in answer.further}
    written = []
    for cell in cells:
        name = grade_id(cell)
        if name in answers:
            written += [new_code_cell(extra) for extra in answers[name].extra_cells]
            cell.source = answers[name].source
        elif name in further:
            cell.source = further[name]
        written.append(cell)
    return written
