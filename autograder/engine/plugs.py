"""What nbgrader's configuration plugs in, so that its own commands grade with the engine.

`use_two_processes(c)`, one line in `nbgrader_config.py`, sets the exporter and the preprocessors of `nbgrader
autograde`. nbgrader keeps its database, files, rules and commands. What changes: it never reads a submitted notebook
with its own tools (`TwoProcessExporter` rebuilds it first), and never executes one (`RunTwoProcesses` replaces
`Execute`).
"""

from __future__ import annotations

import datetime
import glob
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import NbGraderException
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    GetGrades,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from traitlets import Bool, Float, Integer
from traitlets.config import Config

from autograder.engine.limits import MEGABYTE, Limits
from autograder.engine.present import present
from autograder.engine.run import Job, Settings, grade_notebook, try_sandbox
from autograder.engine.sandbox import SandboxUnavailable
from autograder.engine.seeds import exam_seed
from autograder.engine.store import Key, Store
from autograder.engine.submissions import (
    Template,
    collect,
    expected_notebooks,
    lacking,
    load_template,
    not_regular,
)

Resources = dict[str, Any]


def use_two_processes(c: Config) -> None:
    """Lets nbgrader grade with the engine; call it in `nbgrader_config.py`.

    Args:
        c: nbgrader's configuration.
    """
    c.Autograde.exporter_class = TwoProcessExporter
    c.Autograde.sanitize_preprocessors = [OverwriteKernelspec, OverwriteCells, CheckCellMetadata]
    c.Autograde.autograde_preprocessors = [RunTwoProcesses, SaveAutoGrades, AssignLatePenalties, CheckCellMetadata]
    c.GenerateFeedback.preprocessors = [HideTests, GetGrades, CSSHTMLHeaderPreprocessor]
    # Answers are shown in the browsers of graders and students.
    c.HTMLExporter.sanitize_html = True


class TwoProcessExporter(NotebookExporter):  # type: ignore[misc]
    """Reads submissions for `nbgrader autograde`: every one ends as a notebook of the course's form.

    nbgrader makes one exporter for each run, before the first submission; this is where an interrupted run is found, a
    regrade clears what it replaces, and submissions without notebooks are added to nbgrader's list.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._templates: dict[tuple[str, str], Template] = {}
        self._current: tuple[str, str] | None = None
        converter = self.parent
        self._converter = converter
        self._root = Path(converter.coursedir.root)
        self._store = Store(self._root)
        _refuse_without_sandbox(self.config, converter.log)
        _forgive_timestamps(converter.coursedir)
        self._then = converter.post_convert_hook
        converter.post_convert_hook = self._submission_done
        self._list_all_submissions()
        self._prepare()
        watcher = getattr(converter, "watcher", None)
        if watcher is not None:
            watcher.start(sum(map(len, converter.assignments.values())))

    def _folders(self, step: str, student: str, assignment: str) -> Path:
        return Path(self._converter.coursedir.format_path(step, student, assignment))

    def _source(self, assignment: str) -> Path:
        return self._folders(self._converter.coursedir.source_directory, ".", assignment)

    def _list_all_submissions(self) -> None:
        """Adds what nbgrader would pass over: submissions without notebooks, and notebooks that are missing."""
        course = self._converter.coursedir
        if course.notebook_id != "*":
            return
        names = expected_notebooks(self._source(course.assignment_id))
        pattern = str(self._folders(course.submitted_directory, course.student_id, course.assignment_id))
        for folder in glob.glob(pattern):  # noqa: PTH207 - the keys must be spelled as nbgrader spells them
            if not Path(folder).is_dir():
                continue
            listed = self._converter.assignments.setdefault(folder, [])
            present_names = {Path(path).stem for path in listed}
            listed.extend(str(Path(folder, f"{name}.ipynb")) for name in names if name not in present_names)

    def _prepare(self) -> None:
        """Before the first submission: clears what will be replaced, and what an interrupted run left half done."""
        course = self._converter.coursedir
        names = expected_notebooks(self._source(course.assignment_id))
        for folder in sorted(self._converter.assignments):
            student = self._student(folder)
            course.ignore = [*course.ignore, *(glob.escape(name) for name in not_regular(Path(folder)))]
            if course.notebook_id != "*":
                if self._converter.force:
                    for path in self._converter.assignments[folder]:
                        self._store.clear(student, course.assignment_id, Path(path).stem)
                continue
            graded = self._folders(course.autograded_directory, student, course.assignment_id)
            half_done = self._store.pending(student, course.assignment_id) or bool(lacking(graded, names))
            if half_done and graded.exists():
                self._converter.log.warning("Grading of %s was interrupted; it is taken up again", student)
                _remove_tree(graded)
            if self._converter.force:
                self._store.clear(student, course.assignment_id)
            if self._converter.force or half_done:
                self._store.begin(student, course.assignment_id)
                clear_scores(course.db_url, course.course_id, course.assignment_id, student)

    def _student(self, folder: str) -> str:
        """The student to whom a submission's folder belongs."""
        course = self._converter.coursedir
        marker = "\0"
        before, after = str(self._folders(course.submitted_directory, marker, course.assignment_id)).split(marker)
        return folder[len(before) : len(folder) - len(after)]

    def from_filename(self, filename: str, resources: Any = None, **options: Any) -> tuple[Any, Any]:
        """A submitted notebook, rebuilt; or the rebuilt one, read again for the second round."""
        if not self._converter._sanitizing:
            return super().from_filename(filename, resources=resources, **options)  # type: ignore[no-any-return]
        about = resources["nbgrader"]
        student, assignment, name = about["student"], about["assignment"], about["notebook"]
        self._current = (student, assignment)
        self._store.begin(student, assignment)
        course = self._converter.coursedir
        clear_scores(course.db_url, course.course_id, assignment, student, only=name)
        arrived = collect(Path(filename).parent, name, self._template(assignment, name))
        for remark in arrived.rebuilt.remarks:
            self.log.warning("%s, %s: %s", student, name, remark)
        notebook = nbformat.from_dict(arrived.rebuilt.notebook)
        notebook.metadata["pset4"] = {"arrival": arrived.arrival, "remarks": list(arrived.rebuilt.remarks)}
        resources["metadata"] = {
            "name": name,
            "path": str(Path(filename).parent),
            "modified_date": datetime.date.today().isoformat(),
        }
        return self.from_notebook_node(notebook, resources, **options)  # type: ignore[no-any-return]

    def _template(self, assignment: str, name: str) -> Template:
        key = (assignment, name)
        if key not in self._templates:
            self._templates[key] = load_template(self._source(assignment) / f"{name}.ipynb", self.config)
        return self._templates[key]

    def _submission_done(self, **about: Any) -> None:
        """nbgrader has stored everything of a submission."""
        if self._current is not None:
            student, assignment = self._current
            folder = self._folders(self._converter.coursedir.autograded_directory, student, assignment)
            for path in folder.glob("*.ipynb"):
                _flush(path)
            self._store.finish(student, assignment)
            self._current = None
        if self._then is not None:
            self._then(**about)


class RunTwoProcesses(NbGraderPreprocessor):  # type: ignore[misc]
    """Replaces nbgrader's `Execute`: runs the rebuilt notebook in the engine and puts the verdicts in."""

    unsafe_no_sandbox = Bool(
        False, help="Run the students' code without a sandbox, in your own account. Every result is marked."
    ).tag(config=True)
    cell_seconds = Float(Limits.cell_seconds, help="Time limit of a cell").tag(config=True)
    submission_seconds = Float(Limits.submission_seconds, help="Time limit of a notebook").tag(config=True)
    memory_megabytes = Integer(Limits.memory_bytes // MEGABYTE, help="Memory of a notebook's processes").tag(
        config=True
    )

    def settings(self) -> Settings:
        """The engine's settings as configured."""
        limits = Limits(
            cell_seconds=self.cell_seconds,
            submission_seconds=self.submission_seconds,
            memory_bytes=self.memory_megabytes * MEGABYTE,
        )
        return Settings(limits=limits, sandbox=not self.unsafe_no_sandbox)

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Runs the notebook, or takes the result that is stored already."""
        converter = self.parent.parent
        root, about = Path(converter.coursedir.root), resources["nbgrader"]
        student, assignment = about["student"], about["assignment"]
        arrived = nb.metadata.pop("pset4", {})
        notebook = nbformat.from_dict(nb)
        job = Job(
            key=Key(student, assignment, about["notebook"]),
            notebook=notebook,
            remarks=tuple(arrived.get("remarks", ())),
            seed=exam_seed(root, student, assignment),
            arrival=arrived.get("arrival", "handed in"),
            files=Path(converter.coursedir.format_path(converter.coursedir.submitted_directory, student, assignment)),
        )
        watcher = getattr(converter, "watcher", None)  # `autograder grade` has one, nbgrader's own command has none

        def progress(words: str) -> None:
            if watcher is not None:
                watcher.say(student, about["notebook"], words)

        bundle = grade_notebook(job, store=Store(root), settings=self.settings(), progress=progress)
        if watcher is not None:
            watcher.advance()
        for remark in bundle.remarks:
            self.log.warning("%s, %s: %s", student, about["notebook"], remark)
        done = nbformat.from_dict(present(notebook, bundle))
        done.metadata["pset4"] = {"status": bundle.status}
        return done, resources


class HideTests(ClearHiddenTests):  # type: ignore[misc]
    """For feedback: hides the hidden part of tests, and leaves the student's cells alone, whatever they contain."""

    def preprocess_cell(self, cell: NotebookNode, resources: Resources, index: int) -> tuple[NotebookNode, Resources]:
        """Clears a cell if it is one of the course's tests."""
        nbgrader = cell.metadata.get("nbgrader", {})
        if nbgrader.get("grade") and not nbgrader.get("solution"):
            return super().preprocess_cell(cell, resources, index)  # type: ignore[no-any-return]
        return cell, resources


def clear_scores(db_url: str, course: str, assignment: str, student: str, *, only: str = "") -> None:
    """Forgets the automatic scores of a submission: a regrade that fails must not leave the old ones standing.

    What graders entered by hand stays.

    Args:
        db_url: nbgrader's database.
        course: The course's id.
        assignment: The assignment's name.
        student: The student's id.
        only: If not empty, the only notebook whose scores are forgotten.
    """
    with Gradebook(db_url, course) as gradebook:
        try:
            submission = gradebook.find_submission(assignment, student)
        except MissingEntry:
            return
        for notebook in submission.notebooks:
            if only not in ("", notebook.name):
                continue
            notebook.late_submission_penalty = None
            for grade in notebook.grades:
                grade.auto_score, grade.needs_manual_grade = None, True
        gradebook.db.commit()


def _refuse_without_sandbox(config: Config, log: Any) -> None:
    if config.RunTwoProcesses.get("unsafe_no_sandbox"):
        log.warning("The students' code runs WITHOUT a sandbox, as you asked; every result says so")
        return
    try:
        try_sandbox()
    except SandboxUnavailable as error:
        log.error("%s", error)
        raise NbGraderException(str(error)) from None


def _forgive_timestamps(course: Any) -> None:
    """A damaged `timestamp.txt` counts as none: stock nbgrader fails on it."""
    read: Callable[[str], datetime.datetime | None] = course.get_existing_timestamp

    def tolerant(folder: str) -> datetime.datetime | None:
        try:
            return read(folder)
        except Exception as error:
            course.log.warning("%s: timestamp.txt cannot be read (%s)", folder, type(error).__name__)
            return None

    course.get_existing_timestamp = tolerant


def _remove_tree(folder: Path) -> None:
    """Removes a folder of nbgrader's, whose files are read-only."""
    for root, _folders, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(0o600)
    shutil.rmtree(folder)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
