"""Preprocessors that the course adds to nbgrader's own lists (see `nbgrader_config.py`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.course.agreement import Disagreement, disagreements, refuse_notebooks
from autograder.course.seeds import exam_seed
from pset4.settings import Settings, load_settings

Resources = dict[str, Any]


def fill_address(source: str, settings: Settings) -> str:
    """Puts the course's GitHub address where a source notebook leaves room for it."""
    return source.replace("{{ course_repository }}", settings.repository).replace(
        "{{ course_branch }}", settings.branch
    )


class RefuseDisagreements(NbGraderPreprocessor):  # type: ignore[misc]
    """Before anything else: nothing is released or graded that the exams and the contract do not agree with.

    All notebooks of a run are looked at before the first is treated, and so nbgrader's database learns nothing of them.
    """

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Logs one line for each disagreement.

        Raises:
            Disagreement: If there is one.
        """
        try:
            if converter := getattr(self.parent, "parent", None):
                refuse_notebooks(_sources(converter))
            elif found := disagreements(resources["nbgrader"]["notebook"], nb):
                raise Disagreement(found)
        except Disagreement as disagreement:
            for sentence in disagreement.sentences:
                self.log.error(sentence)
            raise
        return nb, resources


def _sources(converter: Any) -> list[Path]:
    """The source notebooks that a run of nbgrader concerns."""
    if isinstance(converter, GenerateAssignment):
        return [Path(path) for path in converter.notebooks]
    course = converter.coursedir
    return sorted(Path(course.format_path(course.source_directory, ".", course.assignment_id)).glob("*.ipynb"))


class FillCourseAddress(NbGraderPreprocessor):  # type: ignore[misc]
    """On release: the Colab badge and the installation command get the course's address from `pset4.toml`."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Fills in every cell."""
        settings = load_settings()
        for cell in nb.cells:
            cell.source = fill_address(cell.source, settings)
        return nb, resources


class SetExamSeed(NbGraderPreprocessor):  # type: ignore[misc]
    """Before execution: the kernel inherits the secret seed of this submission, the same at every regrade."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Sets `PSET4_EXAM_SEED` in the environment that the kernel is about to inherit."""
        course = Path(self.parent.parent.coursedir.root) if self.parent and self.parent.parent else Path.cwd()
        about = resources["nbgrader"]
        os.environ["PSET4_EXAM_SEED"] = str(exam_seed(course, about["student"], about["assignment"]))
        return nb, resources


class ForgiveStderr(NbGraderPreprocessor):  # type: ignore[misc]
    """After execution: a warning is not a mistake.

    nbgrader gives a test cell that wrote to stderr no points at all (`nbgrader.utils.determine_grade`). The text is
    kept, as ordinary output.
    """

    def preprocess_cell(self, cell: NotebookNode, resources: Resources, index: int) -> tuple[NotebookNode, Resources]:
        """Turns the stderr streams of a code cell into stdout streams."""
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                output.name = "stdout"
        return cell, resources
