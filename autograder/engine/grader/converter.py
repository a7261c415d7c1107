"""`nbgrader autograde` on staged copies: each submission is run by the engine first, then nbgrader is told the result.

While the engine runs a submission, nbgrader's database and folders are not touched: an interruption changes no grade.
Telling nbgrader takes a second, and leaves a mark until it is done: if that is interrupted, what nbgrader holds counts
as nothing until it is told again.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde, NbGraderException
from nbgrader.utils import rmtree
from traitlets import Type

from autograder.course.agreement import Disagreement, refuse_disagreements
from autograder.course.environment import environment
from autograder.course.seeds import exam_seed
from autograder.engine.grader.assets import pinned
from autograder.engine.grader.progress import GO_ON, INTERRUPTED, LogLines
from autograder.engine.grader.proof import MachineFault, prove
from autograder.engine.grader.run import GradingJob, grade_notebook, mark_of
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.grader.staging import Staged, is_meant, remove, stage, students
from autograder.engine.grader.store import FOLDER, Bundle, CannotStore, Key, Store
from autograder.engine.grader.submissions import Recogniser, Template, arrive, load_template
from autograder.engine.grader.verdicts import RunTwoProcesses
from pset4.files.assets import AssetError

STAGED = f"{FOLDER}/staged"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class HumanNeeded(NbGraderException):  # type: ignore[misc]
    """Everybody was graded as far as this machine can; the message says who waits for a human, and why."""


class SandboxedAutograde(Autograde):  # type: ignore[misc]
    """nbgrader's converter, which grades staged copies of submissions with the engine."""

    progress_class = Type(LogLines, help="How the progress of a run is shown").tag(config=True)

    def start(self) -> None:
        """Grades what is new or changed, once the machine has proved that it grades rightly.

        Raises:
            NbGraderException: If grading refuses, or if not everybody could be graded; the message says why.
            SystemExit: With status 130, after Ctrl-C.
        """
        self.root = Path(self.coursedir.root)
        self.store = Store(self.root)
        self.options = replace(RunTwoProcesses(config=self.config).options(), hidden=(self.root.resolve(),))
        if not self.options.sandbox:
            self.log.warning("The students' code runs WITHOUT a sandbox, as you asked; every result says so")
        self.proved = False
        with self.progress_class(self.log) as self.progress:
            try:
                # Grader and sandbox are held to the photos and weights that are here now: both use the same bytes.
                with one_grader(self.root), self._staged_copies(), environment(pinned()):
                    self.templates = self._load_templates()
                    super().start()
            except (SandboxUnavailable, MachineFault, CannotStore, AssetError, Disagreement) as reason:
                self._refuse(str(reason))
            except KeyboardInterrupt:
                for line in GO_ON:
                    self.log.error(line)
                raise SystemExit(INTERRUPTED) from None

    @contextmanager
    def _staged_copies(self) -> Iterator[None]:
        """Lets nbgrader look for submissions where the copies are."""
        course = self.coursedir
        self.handed_in, course.submitted_directory = course.submitted_directory, STAGED
        try:
            yield
        finally:
            course.submitted_directory = self.handed_in
            remove(self.root / STAGED)

    def _refuse(self, reason: str) -> None:
        self.log.error("%s", reason)
        raise NbGraderException(reason)

    @property
    def assignment(self) -> str:
        """The assignment's name."""
        return str(self.coursedir.assignment_id)

    def _load_templates(self) -> dict[str, Template]:
        source = self._source
        paths = sorted(source.glob("*.ipynb"))
        if not paths:
            self._refuse(f"there is no source notebook in {source}: is {self.assignment!r} the assignment's name?")
        refuse_disagreements(source)
        return {path.stem: load_template(path, self.config) for path in paths}

    @property
    def _source(self) -> Path:
        return Path(self.coursedir.format_path(self.coursedir.source_directory, ".", self.assignment))

    def _handed_in_by(self, student: str) -> Path:
        """The folder of all that a student handed in, to whichever assignment."""
        return Path(self.coursedir.format_path(self.handed_in, student, self.assignment)).parent

    def init_notebooks(self) -> None:
        """Lists every student with a folder, whatever is in it. Stock nbgrader passes over those without notebooks."""
        submitted = self._handed_in_by("x").parent
        self.waiting = [name for name in students(submitted) if is_meant(name, self.coursedir)]
        if not self.waiting:
            wanted = self.coursedir.student_id
            self._refuse(f"there is nothing to grade: {submitted} has no folder of {wanted!r}")
        self.progress.begin(len(self.waiting) * len(self.templates))

    def convert_notebooks(self) -> None:
        """Grades one submission after the other; nothing that one of them does stops the others."""
        known, held = self.store.known(self.assignment), self._held_by_nbgrader()
        counts: Counter[str] = Counter()
        failed: dict[str, str] = {}
        for student in self.waiting:
            try:
                counts[self._grade(student, is_new=student not in known, is_held=student in held)] += 1
            except (CannotStore, SandboxUnavailable, MachineFault):
                raise
            except Exception as error:
                if isinstance(error, OSError) and error.errno in FULL:
                    raise CannotStore(
                        f"grading stopped at {student}: {error.strerror}; what was stored stands"
                    ) from None
                self.log.exception("%s could not be graded", student)
                failed[student] = f"{type(error).__name__}: {error}"
        self._conclude(counts, failed)

    def _conclude(self, counts: Counter[str], failed: dict[str, str]) -> None:
        self.log.info("%s", ", ".join(f"{count} {word}" for word, count in counts.items()) or "nobody was graded")
        human = [f"{student} was not graded ({reason})" for student, reason in failed.items()]
        human += [
            f"{bundle.key.student}, {bundle.key.notebook}: not gradable without a human ({_first(bundle)})"
            for bundle in self.store.bundles(self.assignment)
            if bundle.ungraded and bundle.key.student in self.waiting
        ]
        if human:
            self.log.error("%s", "\n".join(human))
            raise HumanNeeded("\n".join(human))

    def _held_by_nbgrader(self) -> set[str]:
        """Students whose submission nbgrader's database and folders hold."""
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            try:
                submissions = gradebook.assignment_submissions(self.assignment)
            except MissingEntry:
                release = f"nbgrader generate_assignment {self.assignment}"
                self._refuse(f"nbgrader's database does not know {self.assignment!r} yet; type: {release}")
            found = {submission.student.id for submission in submissions}
        return {student for student in found if self._autograded(student).is_dir()}

    def _autograded(self, student: str) -> Path:
        return Path(self.coursedir.format_path(self.coursedir.autograded_directory, student, self.assignment))

    def _grade(self, student: str, *, is_new: bool, is_held: bool) -> str:
        """Grades a submission if need be; says whether it was new, changed or unchanged."""
        folder = self.root / STAGED / student / self.assignment
        recognise = Recogniser(self.templates)
        staged = stage(self._handed_in_by(student), self.assignment, folder, list(self.templates), recognise)
        self.jobs = self._jobs(student, staged)
        marks = {name: mark_of(job, self.options) for name, job in self.jobs.items()}
        mark = "\n".join([*marks.values(), staged.timestamp])
        before = self.store.mark(student, self.assignment)
        same = is_held and before == mark
        if same and not self.force:
            self.progress.advance(len(self.jobs))
            return "unchanged"
        self.progress.submission(student)
        staged.write()
        self.bundles = {name: self._run(job, marks[name]) for name, job in self.jobs.items()}
        complete = len(self.jobs) == len(self.templates) and not any(b.ungraded for b in self.bundles.values())
        self._tell_nbgrader(student, staged, mark if complete else "")
        remove(folder.parent)
        return "new" if is_new else "graded again" if same else "changed" if before else "taken up again"

    def _jobs(self, student: str, staged: Staged) -> dict[str, GradingJob]:
        """What is to be run of a submission, by notebook."""
        jobs: dict[str, GradingJob] = {}
        for name, template in self.templates.items():
            if not fnmatchcase(name, self.coursedir.notebook_id):
                continue
            rebuilt = arrive(staged.notebooks[name], template)
            if not jobs:  # what concerns the whole submission is told once
                rebuilt = replace(rebuilt, remarks=(*rebuilt.remarks, *staged.remarks))
            jobs[name] = GradingJob(
                **vars(rebuilt),
                key=Key(student, self.assignment, name),
                seed=exam_seed(self.root, student, self.assignment),
                files=staged.folder,
                digest=staged.digest,
            )
        return jobs

    def _run(self, job: GradingJob, mark: str) -> Bundle:
        self._prove_once()

        say = partial(self.progress.say, job.key.student, job.key.notebook)
        bundle = grade_notebook(job, store=self.store, options=self.options, mark=mark, progress=say, again=self.force)
        for remark in bundle.remarks:
            self.log.warning("%s, %s: %s", job.key.student, job.key.notebook, remark)
        self.progress.advance(1)
        return bundle

    def _prove_once(self) -> None:
        """Proves the machine, where anything is to be run at all."""
        if self.proved:
            return
        try:
            prove(self._source, self.config, self.options, say=partial(self.progress.say, "", ""))
        except (SandboxUnavailable, MachineFault, CannotStore):
            raise
        except Exception as error:
            raise MachineFault([f"the proof could not be run ({type(error).__name__}: {error})"]) from error
        self.proved = True

    def _tell_nbgrader(self, student: str, staged: Staged, mark: str) -> None:
        """Lets nbgrader's own machinery write its folder and its database from the engine's results."""
        self.store.begin(student, self.assignment)
        clear_scores(self.coursedir.db_url, self.coursedir.course_id, self.assignment, student, set(self.jobs))
        self.assignments = {str(staged.folder): [str(staged.folder / f"{name}.ipynb") for name in self.jobs]}
        super().convert_notebooks()
        for path in self._autograded(student).glob("*.ipynb"):
            _flush(path)
        self.store.finish(student, self.assignment, mark=mark)

    def init_destination(self, assignment_id: str, student_id: str) -> bool:
        """Makes room for the new result: that it is wanted was decided before."""
        folder = self._autograded(student_id)
        for name in self.jobs:
            (folder / f"{name}.ipynb").unlink(missing_ok=True)
        if folder.exists() and len(self.jobs) == len(self.templates):
            rmtree(str(folder))
        return True


def _first(bundle: Bundle) -> str:
    return next(iter(bundle.ungraded.values()))


@contextmanager
def one_grader(course: Path) -> Iterator[None]:
    """Keeps a second grader away from a course.

    Raises:
        CannotStore: If there is one at work already, or the course's folder cannot be written.
    """
    folder = course / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "grading.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise CannotStore(f"another grading run is at work on {course}: wait until it has ended, or stop it") from None
    except OSError as error:
        raise CannotStore(f"the course's folder {course} cannot be written ({error.strerror})") from None
    with lock:
        yield


def clear_scores(db_url: str, course: str, assignment: str, student: str, notebooks: set[str]) -> None:
    """Forgets the automatic scores of a submission that is about to get new ones; what was entered by hand stays.

    Args:
        db_url: nbgrader's database.
        course: The course's id.
        assignment: The assignment's name.
        student: The student's id.
        notebooks: Names of the notebooks whose scores are forgotten.
    """
    with Gradebook(db_url, course) as gradebook:
        try:
            submission = gradebook.find_submission(assignment, student)
        except MissingEntry:
            return
        for notebook in submission.notebooks:
            if notebook.name in notebooks:
                notebook.late_submission_penalty = None
                for grade in notebook.grades:
                    grade.auto_score, grade.needs_manual_grade = None, True
        gradebook.db.commit()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
