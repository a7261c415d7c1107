"""Preprocessors of `nbgrader autograde` that put the engine's verdicts into notebook and database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from traitlets import Bool, Float, Integer

from autograder.engine.grader.present import present
from autograder.engine.grader.run import GradingJob, RunOptions
from autograder.engine.grader.store import Bundle
from autograder.engine.wire.limits import MEGABYTE, Limits

Resources = dict[str, Any]


class RunTwoProcesses(NbGraderPreprocessor):  # type: ignore[misc]
    """Replaces nbgrader's `Execute`: puts in what the engine found out when it ran the notebook."""

    unsafe_no_sandbox = Bool(
        False, help="Run the students' code without a sandbox, in your own account. Every result is marked."
    ).tag(config=True)
    cell_seconds = Float(Limits.cell_seconds, help="Time limit of a cell").tag(config=True)
    submission_seconds = Float(Limits.submission_seconds, help="Time limit of a notebook").tag(config=True)
    memory_megabytes = Integer(Limits.memory_bytes // MEGABYTE, help="Memory of a notebook's processes").tag(
        config=True
    )

    def options(self) -> RunOptions:
        """How the engine runs notebooks, as configured."""
        limits = Limits(
            cell_seconds=self.cell_seconds,
            submission_seconds=self.submission_seconds,
            memory_bytes=self.memory_megabytes * MEGABYTE,
        )
        return RunOptions(limits=limits, sandbox=not self.unsafe_no_sandbox)

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Puts the outputs and verdicts in."""
        converter, name = self.parent.parent, resources["nbgrader"]["notebook"]
        bundle = _moved(converter.bundles[name], converter.jobs[name], nb)
        done = nbformat.from_dict(present(nb, bundle))
        done.metadata["pset4"] = {"status": bundle.status}
        return done, resources


def _moved(bundle: Bundle, job: GradingJob, notebook: NotebookNode) -> Bundle:
    """The bundle with its outputs where their cells are now: nbgrader adds cells that it misses."""
    by_id = {job.notebook["cells"][place]["id"]: outputs for place, outputs in bundle.outputs.items()}
    places = {place: by_id[cell.id] for place, cell in enumerate(notebook.cells) if cell.get("id") in by_id}
    return replace(bundle, outputs=places)


class SaveVerdicts(SaveAutoGrades):  # type: ignore[misc]
    """Tells nbgrader's database the scores; what could not be judged has none, and waits for a human."""

    def _add_score(self, cell: NotebookNode, resources: Resources) -> None:
        if not cell.metadata.get("pset4", {}).get("ungraded"):
            super()._add_score(cell, resources)
            return
        grade = self.gradebook.find_grade(
            cell.metadata["nbgrader"]["grade_id"], self.notebook_id, self.assignment_id, self.student_id
        )
        grade.auto_score, grade.needs_manual_grade = None, grade.manual_score is None
        self.gradebook.db.commit()
