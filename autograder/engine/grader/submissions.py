"""Builds the notebooks to run from a staged submission. Nothing of a student's is executed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearHiddenTests, SaveCells
from traitlets.config import Config

from autograder.course.cells import grade_id, marks
from autograder.engine.grader.rebuild import Piece, Rebuilt, Submission, names_defined, read_submission, rebuild
from autograder.engine.grader.staging import Taken

Json = dict[str, Any]
FEWEST_SIGNS = 3  # cells that must speak for a notebook whose name does not say which one it is


@dataclass(frozen=True)
class Template:
    """One of the course's notebooks as it is executed: released answers, whole tests.

    Attributes:
        notebook: In nbformat 4.
        names: What each answer cell is expected to define, by its id.
    """

    notebook: Json
    names: dict[str, frozenset[str]]


def load_template(path: Path, config: Config) -> Template:
    """Reads a source notebook and treats it as the release does, but keeps the hidden tests.

    Args:
        path: The notebook in `source/`.
        config: The course's nbgrader configuration.
    """
    source = nbformat.read(path, as_version=4)
    answers = (cell for cell in source.cells if marks(cell).get("solution") and cell.cell_type == "code")
    names = {grade_id(cell): names_defined(cell.source) for cell in answers}
    resources: Json = {"nbgrader": {"notebook": path.stem}, "unique_key": path.stem}
    configured = config.GenerateAssignment.get("preprocessors") or GenerateAssignment.preprocessors.default()
    for kind in configured:
        if not issubclass(kind, SaveCells | ClearHiddenTests):
            source, resources = kind(config=config).preprocess(source, resources)
    for cell in source.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return Template(_plain(source), names)


def _plain(node: Any) -> Any:
    """Ordinary dictionaries and lists in place of nbformat's nodes."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list) else node


def arrive(taken: Taken, template: Template) -> Rebuilt:
    """Rebuilds one notebook of a submission, whatever was handed in for it.

    Args:
        taken: What was taken for it.
        template: The course's notebook.
    """
    arrival = taken.arrival
    submission = Submission(readable=arrival == "not handed in")
    if arrival == "handed in":
        submission = read_submission(taken.content)
        arrival = "handed in" if submission.readable else "unreadable"
    rebuilt = rebuild(template.notebook, submission, names=template.names)
    return replace(rebuilt, remarks=(*taken.remarks, *rebuilt.remarks), arrival=arrival)


class Recogniser:
    """Tells which of the course's notebooks a file's content belongs to."""

    def __init__(self, templates: Mapping[str, Template]) -> None:
        self._known = {name: _signs(template) for name, template in templates.items()}

    def __call__(self, content: bytes) -> tuple[str, int]:
        """The notebook's name ("" if no notebook is recognised), and how many of its answers were written."""
        pieces = read_submission(content).pieces
        votes = {name: sum(known.speaks_for(piece) for piece in pieces) for name, known in self._known.items()}
        best = max(votes, key=lambda name: votes[name], default="")
        ranked = sorted(votes.values(), reverse=True)
        if not best or votes[best] < FEWEST_SIGNS or (len(ranked) > 1 and ranked[0] == ranked[1]):
            return "", 0
        return best, sum(self._known[best].is_written(piece) for piece in pieces)


@dataclass(frozen=True)
class _Signs:
    """What a notebook is recognised by: ids, the text of given cells, and what answers define."""

    ids: frozenset[str]
    texts: frozenset[str]
    answers: Mapping[str, str]  # id -> released text
    names: frozenset[str]

    def speaks_for(self, piece: Piece) -> bool:
        return (
            piece.grade_id in self.ids
            or piece.source.strip() in self.texts
            or bool(piece.kind == "code" and names_defined(piece.source) & self.names)
        )

    def is_written(self, piece: Piece) -> bool:
        """Whether a cell holds an answer, not the released text."""
        text = piece.source.strip()
        if piece.grade_id in self.answers:
            return bool(text) and text != self.answers[piece.grade_id]
        return piece.kind == "code" and bool(names_defined(text) & self.names) and text not in self.texts


def _signs(template: Template) -> _Signs:
    cells = template.notebook["cells"]
    texts = [cell["source"].strip() for cell in cells]
    return _Signs(
        ids=frozenset(filter(None, map(grade_id, cells))),
        texts=frozenset(filter(None, texts)),
        answers={grade_id(cell): text for cell, text in zip(cells, texts, strict=True) if marks(cell).get("solution")},
        names=frozenset[str]().union(*template.names.values()),
    )
