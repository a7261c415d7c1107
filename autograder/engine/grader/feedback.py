"""Feedback pages: nbgrader's, but each follows every change of a grade, and shows no score that nobody gave.

`install()` makes nbgrader's own commands use it. A page carries a mark: a hash of the graded notebook and of what the
database holds of its grades. Where the mark is missing or another, the page is written anew, beside its place and then
renamed. One submission's trouble ends with its page: the others are written, and the command says whose was not.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import nbformat
import nbgrader.apps.api
import nbgrader.apps.generatefeedbackapp
from jinja2 import filters
from nbformat import NotebookNode
from nbgrader import converters
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import NbGraderException
from nbgrader.preprocessors import ClearHiddenTests, GetGrades, NbGraderPreprocessor
from nbgrader.utils import parse_utc
from sqlalchemy.exc import OperationalError
from traitlets.config import Config

from autograder.course.cells import grade_id, judges, marks
from autograder.course.whole_files import read_regular, write_whole
from autograder.engine.grader import pages
from autograder.engine.grader.staging import is_meant, students
from autograder.engine.grader.store import CannotStore, Store

Resources = dict[str, Any]

META = "pset4-grades"
TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "pset4_feedback"
AWAITED, OPEN = "awaiting a human", "not graded yet"
_MARK = re.compile(rf"<meta\b[^>]*\b{META}\b[^>]*>")
_HEAD = 2_000  # the mark stands at a page's beginning


class Words(str):
    """Words in the place of a number: nbgrader's template sends every score through `float` and `round`."""


@dataclass(frozen=True)
class CellGrade:
    """What the database says of one graded cell.

    Attributes:
        auto: The automatic score.
        manual: The score that a human gave.
        extra: Extra credit.
        awaited: Whether a human has to look at it.
        most: What the cell is worth.
    """

    auto: float | None
    manual: float | None
    extra: float | None
    awaited: bool
    most: float

    @property
    def score(self) -> float | None:
        """The score that counts, or None where there is none yet."""
        score = self.auto if self.manual is None else self.manual
        return None if score is None or self.awaited else score + (self.extra or 0.0)

    @property
    def shown(self) -> float | Words:
        """The score, or what is said in its place."""
        if self.score is not None:
            return self.score
        return Words(AWAITED if self.awaited else OPEN)


@dataclass(frozen=True)
class PageGrades:
    """All that the database says of a notebook that was handed in.

    Attributes:
        cells: By grade id.
        comments: By grade id.
        late_penalty: What is taken off for lateness.
    """

    cells: Mapping[str, CellGrade]
    comments: Mapping[str, str | None]
    late_penalty: float = 0.0

    @property
    def total(self) -> tuple[float | Words, float | Words]:
        """The sum of the scores there are, and what the notebook is worth, with a word on what nobody has graded."""
        graded = [cell.score for cell in self.cells.values() if cell.score is not None and cell.most]
        most = sum(cell.most for cell in self.cells.values())
        left = sum(cell.most for cell in self.cells.values() if cell.score is None)
        if left and not graded:
            return Words(OPEN), most
        extra = sum(cell.score or 0.0 for cell in self.cells.values() if not cell.most)
        said = Words(f"{round(most, 2)}, {left:g} points not graded yet") if left else most
        return sum(graded) + extra - self.late_penalty, said


def grades_of(notebook: Any) -> PageGrades:
    """Reads the grades of one of nbgrader's submitted notebooks.

    Args:
        notebook: nbgrader's `SubmittedNotebook`.
    """
    cells = {
        grade.name: CellGrade(
            grade.auto_score,
            grade.manual_score,
            grade.extra_credit,
            bool(grade.needs_manual_grade),
            float(grade.cell.max_score or 0.0),
        )
        for grade in notebook.grades
    }
    comments = {comment.name: comment.comment for comment in notebook.comments}
    return PageGrades(cells, comments, float(notebook.late_submission_penalty or 0.0))


def mark(content: bytes, grades: PageGrades) -> str:
    """Hash of all that a page shows: the graded notebook, its grades, and how pages are made.

    Args:
        content: The bytes of the graded notebook.
        grades: What the database says of it.
    """
    digest = sha256(json.dumps(asdict(grades), sort_keys=True).encode())
    for path in (Path(__file__), Path(pages.__file__), *sorted((TEMPLATES / TEMPLATE).iterdir())):
        digest.update(sha256(path.read_bytes()).digest())
    digest.update(content)
    return digest.hexdigest()


def float_or_words(value: Any, default: float = 0.0) -> Any:
    """Jinja's `float`, which lets words pass."""
    return value if isinstance(value, Words) else filters.do_float(value, default)


def round_or_words(value: Any, precision: int = 0) -> Any:
    """Jinja's `round`, which lets words pass."""
    return value if isinstance(value, Words) else filters.do_round(value, precision)


class HideTests(ClearHiddenTests):  # type: ignore[misc]
    """Hides the hidden part of tests, and leaves the student's cells alone, whatever they contain."""

    def preprocess_cell(self, cell: NotebookNode, resources: Resources, index: int) -> tuple[NotebookNode, Resources]:
        """Clears a cell if it is one of the course's tests."""
        if judges(cell):
            return super().preprocess_cell(cell, resources, index)  # type: ignore[no-any-return]
        return cell, resources


class ShowGrades(NbGraderPreprocessor):  # type: ignore[misc]
    """Puts scores and comments into the notebook, and words where there is no score. The converter has read them."""

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Fills in the cells, and the total."""
        grades: PageGrades = resources["pset4"]["grades"]
        for cell in nb.cells:
            about, name = marks(cell), grade_id(cell)
            if about.get("grade") or about.get("task"):
                if name not in grades.cells:
                    raise LookupError(f"the database holds no grade of the cell {name!r}; run nbgrader autograde again")
                about["score"], about["points"] = grades.cells[name].shown, grades.cells[name].most
            if about.get("solution") or about.get("task"):
                about["comment"] = grades.comments.get(name)
        score, most = grades.total
        resources["nbgrader"].update(score=score, max_score=most, late_penalty=grades.late_penalty)
        return nb, resources


class GenerateFeedback(converters.GenerateFeedback):  # type: ignore[misc]
    """nbgrader's `generate_feedback`; its configuration and its command are nbgrader's."""

    def start(self) -> None:
        """Writes the pages that are missing or out of date; with `force`, all of them.

        Raises:
            NbGraderException: If a page could not be written; the others have been.
        """
        stock = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
        safe = Config()
        pages.use_safe_pages(safe)
        safe.HTMLExporter.filters |= {
            "float": "autograder.engine.grader.feedback.float_or_words",
            "round": "autograder.engine.grader.feedback.round_or_words",
        }
        safe.HTMLExporter.template_name = TEMPLATE
        safe.HTMLExporter.extra_template_basedirs = [str(TEMPLATES), str(stock / "templates")]
        safe.HTMLExporter.extra_template_paths = [
            str(stock / "templates"),
            str(stock / "static" / "node_modules" / "bootstrap" / "dist" / "css"),
        ]
        self.update_config(safe)
        self.preprocessors: list[type] = [p for p in self.preprocessors if p is not GetGrades] + [ShowGrades]
        self._trouble: list[str] = []
        super().start()

    def init_notebooks(self) -> None:
        """Finds the graded submissions by their folders' names; in nbgrader's patterns, brackets mean something."""
        course = self.coursedir
        graded = Path(course.format_path(course.autograded_directory, "x", course.assignment_id)).parents[1]
        folders = {student: graded / student / course.assignment_id for student in students(graded)}
        # Links are left out: they would bring in what was never graded.
        self._students = {
            student: folder
            for student, folder in folders.items()
            if is_meant(student, course) and folder.is_dir() and not (folder.is_symlink() or folder.parent.is_symlink())
        }
        if not self._students:
            self._fail(f"no graded submission of {course.assignment_id!r} was found for {course.student_id!r}")

    def _fail(self, reason: str) -> None:
        self.log.error("%s", reason)
        raise NbGraderException(reason)

    def convert_notebooks(self) -> None:
        """Every submission in turn."""
        course = self.coursedir
        store = Store(Path(course.root))
        try:
            with Gradebook(course.db_url, course.course_id) as gradebook:
                for student in self._expected(gradebook):
                    self.run_pre_convert_hook()
                    self._submission(gradebook, store, student)
                    self.run_post_convert_hook()
        except CannotStore as error:
            self._fail(str(error))
        except OperationalError as error:
            self._fail(
                f"nbgrader's database cannot be read ({error.orig}); if nbgrader is new, run nbgrader db upgrade"
            )
        if self._trouble:
            self._fail(f"no feedback page was written for: {'; '.join(self._trouble)}. The log above says why")

    def _expected(self, gradebook: Any) -> list[str]:
        """Students with a graded submission, and those of whom the database alone has one."""
        course = self.coursedir
        try:
            known = {submission.student.id for submission in gradebook.assignment_submissions(course.assignment_id)}
        except MissingEntry:
            self._fail(f"nbgrader's database knows no assignment {course.assignment_id!r}")
        return sorted({student for student in known if is_meant(student, course)} | set(self._students))

    def _submission(self, gradebook: Any, store: Store, student: str) -> None:
        assignment = self.coursedir.assignment_id
        destination = Path(self._format_dest(assignment, student))
        if store.pending(student, assignment):
            self._without_page(student, "", destination, "its grading was interrupted; run nbgrader autograde again")
            return
        try:
            submission = gradebook.find_submission(assignment, student)
            stored = {notebook.name: notebook for notebook in submission.notebooks}
        except MissingEntry:
            stored = {}
        folder = self._students.get(student)
        names = set(stored) | {path.stem for path in folder.glob("*.ipynb")} if folder else set(stored)
        self.notebooks = sorted(str((folder or destination) / f"{name}.ipynb") for name in names)
        for name in sorted(name for name in names if fnmatch.fnmatchcase(name, self.coursedir.notebook_id)):
            try:
                if folder is None or name not in stored:
                    raise LookupError(f"there is no {'graded notebook' if folder is None else 'grade in the database'}")
                self._page(folder / f"{name}.ipynb", grades_of(stored[name]), student, destination / f"{name}.html")
            except OperationalError:
                raise
            except Exception as error:
                self._without_page(student, name, destination, f"{type(error).__name__}: {error}")
                self.log.debug("how it came to that", exc_info=True)
        if folder is not None and destination.is_dir():
            self._keep_timestamp(folder, destination)
            if self.coursedir.groupshared:
                self.set_permissions(assignment, student)

    def _without_page(self, student: str, notebook: str, destination: Path, reason: str) -> None:
        """Says whose page is missing, and removes the old one: nobody knows whether what it shows is still so."""
        whose = f"{student}, {notebook}" if notebook else student
        self._trouble.append(whose)
        self.log.error("%s: no feedback page: %s", whose, reason)
        for path in [destination / f"{notebook}.html"] if notebook else [*destination.glob("*.html")]:
            path.unlink(missing_ok=True)

    def _page(self, graded: Path, grades: PageGrades, student: str, page: Path) -> None:
        """Writes one page, unless the one that is there says the same."""
        content = read_regular(graded)
        fresh = mark(content, grades)
        if not self.force and fresh in _mark_of(page):
            self.log.debug("%s is up to date", page)
            return
        notebook = nbformat.reads(content.decode(), as_version=4)
        about = {"student": student, "assignment": self.coursedir.assignment_id, "notebook": graded.stem}
        resources = {
            "unique_key": graded.stem,
            "nbgrader": {**about, "db_url": self.coursedir.db_url},
            "pset4": {"grades": grades, "mark": fresh},
        }
        self.log.info("Writing %s", page)
        text, _ = self.exporter.from_notebook_node(notebook, resources=resources)
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole(page, text.encode("utf-8", "replace"), mode=int(str(self.permissions), 8))

    def _keep_timestamp(self, folder: Path, destination: Path) -> None:
        """`nbgrader release_feedback` wants the time of hand-in beside the pages. No other file goes there."""
        try:
            content = read_regular(folder / "timestamp.txt", most=100)
            parse_utc(content.decode().strip())
        except (OSError, ValueError, OverflowError):
            return
        write_whole(destination / "timestamp.txt", content, mode=int(str(self.permissions), 8))


def _mark_of(page: Path) -> Sequence[str]:
    """The hashes in the mark of a page, if it has one."""
    try:
        start = read_regular(page, only=_HEAD).decode("utf-8", "replace")
    except OSError:
        return ()
    found = _MARK.search(start)
    return re.findall(r"[0-9a-f]{64}", found[0]) if found else ()


def install() -> None:
    """Makes nbgrader's command, and the button in Formgrader, use this module; call it in `nbgrader_config.py`."""
    nbgrader.apps.generatefeedbackapp.GenerateFeedback = GenerateFeedback
    nbgrader.apps.api.GenerateFeedback = GenerateFeedback
