"""Preprocessors that the course adds to nbgrader's own lists (see `nbgrader_config.py`)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearSolutions, NbGraderPreprocessor
from traitlets import Unicode

from autograder.course.address import course_repository
from autograder.course.agreement import Disagreement, disagreements, refuse_notebooks
from autograder.course.cells import grade_id
from autograder.course.seeds import exam_seed
from pset4.settings import load_settings

Resources = dict[str, Any]


def fill_address(source: str, repository: str, branch: str) -> str:
    """Puts the students' repository where a source notebook leaves room for it."""
    return source.replace("{{ course_repository }}", repository).replace("{{ course_branch }}", branch)


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
    """On release: the students' repository for badge and installation, and what the course wishes."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Fills in every cell, and asks Colab to keep its AI features off if the settings say so."""
        settings = load_settings()
        repository = course_repository(settings)
        for cell in nb.cells:
            cell.source = fill_address(cell.source, repository, settings.branch)
        if not settings.ai_on_colab:
            nb.metadata["colab"] = {"generative_ai_disabled": True}
        return nb, resources


class OpenExercises(ClearSolutions):  # type: ignore[misc]
    """On release: the solutions go, and what is left lets the whole notebook run to its end.

    A function keeps its signature and raises; a variable keeps the `...` that stands above its solution, which
    `pset4.traces.is_open` knows.
    """

    function_stub = Unicode(
        '# Your code here.\nraise NotImplementedError("exercise {exercise} is still open")',
        help="What replaces the solution in a function; `pset4.traces.open_exercise` reads it",
    ).tag(config=True)
    variable_stub = Unicode(
        "# Put your code in the place of each `...`.", help="What replaces a solution that stands in no function"
    ).tag(config=True)

    def preprocess_cell(self, cell: NotebookNode, resources: Resources, index: int) -> tuple[NotebookNode, Resources]:
        """Replaces the solutions of one cell."""
        in_function = re.search(rf"^[ \t]+.*{self.begin_solution_delimeter}", cell.source, re.MULTILINE)
        stub = self.function_stub.format(exercise=grade_id(cell)) if in_function else self.variable_stub
        self.code_stub = {"python": stub}
        return super().preprocess_cell(cell, resources, index)  # type: ignore[no-any-return]


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
