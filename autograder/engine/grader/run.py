"""Grades one notebook of a submission: runs its cells in order, and examines each exercise where its test cell stands.

The student's cells run in a session (another process, sandboxed); the exams run here and ask that session to call the
student's functions. What happens in the session decides nothing by itself. Every verdict is stored as it comes.

Beside right, wrong and unreadable there is a fourth outcome, "not gradable": where the machine or this program failed,
an exercise has no score, and a human or a later run must give it one.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from autograder.course.cells import cell_name, exercise_of, grade_id, is_students, is_written, points_of
from autograder.engine.grader.faults import Witness, our_fault, undefined_name
from autograder.engine.grader.judging import judging_code
from autograder.engine.grader.present import displayed
from autograder.engine.grader.process import CannotStart, End
from autograder.engine.grader.rebuild import Rebuilt, names_defined
from autograder.engine.grader.sandbox import Namespace
from autograder.engine.grader.session import CellResult, Session, open_session
from autograder.engine.grader.store import Bundle, CannotStore, Key, Status, Store, fingerprint
from autograder.engine.wire.inventory import IN_USE, Inventory, differences, inventory
from autograder.engine.wire.limits import Limits
from autograder.exams import EXAMS, Property, Verdict, available_devices, examine, settle
from pset4.settings import load_settings

Json = dict[str, Any]
Progress = Callable[[str], None]

NO_SANDBOX = "run WITHOUT a sandbox, as the course's settings ask: the code could read and change what this account can"
HANDSHAKE_SECONDS = 60.0
MAX_DIFFERENCES = 5
STOPPED = {
    "timeout": "time limit",
    "died": "kernel died",
    "output_limit": "output limit",
    "deadline": "time limit of the whole notebook",
    "machine": "the machine ended it",
}


@dataclass(frozen=True, kw_only=True)
class GradingJob(Rebuilt):
    """A rebuilt notebook that is to be graded.

    Attributes:
        key: Whose notebook it is.
        seed: Seed of the exams.
        files: Folder of the submission; its regular files are copied into the scratch folder.
        digest: Hash of these files: another helper beside the same notebook is another submission.
    """

    key: Key
    seed: int
    files: Path | None = None
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How notebooks are run.

    Attributes:
        limits: Bounds on one notebook.
        sandbox: Whether the student's code is sandboxed.
        hidden: Folders that a submission must not see, such as the course's.
        devices: Devices on which the exams run.
        max_restarts: How often a kernel that died is replaced within one notebook.
    """

    limits: Limits = field(default_factory=Limits)
    sandbox: bool = True
    hidden: tuple[Path, ...] = ()
    devices: tuple[str, ...] = field(default_factory=available_devices)
    max_restarts: int = 8

    @property
    def device(self) -> str:
        """The device that a submission may use beside the CPU."""
        return "cuda" if "cuda" in self.devices else "cpu"

    def conditions(self) -> dict[str, Any]:
        """All that a result hangs on beside the submission: limits, devices, code, versions, settings, files."""
        return {
            **asdict(self.limits),
            "devices": self.devices,
            "code": judging_code(),
            "seen": what_the_grader_sees(hashed=True),
        }


@functools.cache
def what_the_grader_sees(*, hashed: bool) -> Inventory:
    """The grader's inventory, taken once: what is replaced during a run must not be taken for what it started with."""
    return inventory(hashed=hashed) | {IN_USE: str(load_settings().n_iter_while_grading)}


def mark_of(job: GradingJob, options: RunOptions) -> str:
    """Hash of all that the result of a job hangs on."""
    conditions = {
        **options.conditions(),
        "arrival": job.arrival,
        "files": job.digest,
        "not taken": dict(job.not_taken),
    }
    return fingerprint(job.notebook, seed=job.seed, sandboxed=options.sandbox, conditions=conditions)


def grade_notebook(
    job: GradingJob,
    *,
    store: Store,
    options: RunOptions,
    mark: str = "",
    progress: Progress | None = None,
    again: bool = False,
) -> Bundle:
    """Grades a notebook, or goes on where an earlier run of the same notebook was interrupted.

    Args:
        job: What to grade.
        store: Where verdicts are kept as they come.
        options: How it is run.
        mark: What the result hangs on, where that is known already; see `mark_of`.
        progress: Told in a few words what is being done.
        again: Whether a complete result is not enough; one that was interrupted is still gone on with.

    Returns:
        The complete result, which is also stored as a draft.

    Raises:
        CannotStore: If results cannot be written. Everything else that goes wrong on our side ends as "not gradable".
    """
    mark = mark or mark_of(job, options)
    bundle = store.load(job.key, expected=mark)
    if bundle is not None and bundle.complete and not again:
        store.save(bundle)
        return bundle
    verdicts = bundle.verdicts if bundle is not None and bundle.status == "running" else {}
    bundle = Bundle(job.key, mark, job.seed, sandboxed=options.sandbox, verdicts=verdicts)
    for remark in (*job.remarks, *(() if options.sandbox else (NO_SANDBOX,))):
        bundle = bundle.with_remark(remark)
    store.save(bundle)
    if job.arrival == "handed in":
        started = time.monotonic()
        bundle = _Run(job, bundle, store, options, progress or (lambda _words: None)).to_the_end()
        bundle = replace(bundle, seconds=round(time.monotonic() - started, 2))
    else:
        bundle = _nothing_to_run(job, bundle)
    bundle = replace(bundle, status=_status(job, bundle))
    store.save(bundle)
    return bundle


def _status(job: GradingJob, bundle: Bundle) -> Status:
    if bundle.ungraded:
        return "not gradable"
    if job.arrival == "handed in":
        return "graded with remarks" if bundle.remarks else "graded"
    return "unreadable" if job.arrival == "unreadable" else "not handed in"


def try_sandbox() -> None:
    """Sets up a sandbox and takes it down again: that bubblewrap is installed does not mean that it may do its work.

    Raises:
        SandboxUnavailable: If there is no sandbox on this machine; the message says why and how to get it.
    """
    Namespace(limits=Limits(), scratch_files=None, readable=(), device="cpu").close()


def _nothing_to_run(job: GradingJob, bundle: Bundle) -> Bundle:
    """Nobody's code is run where nothing could be read: every exercise earns nothing, and says why."""
    reason = job.remarks[0] if job.remarks else f"the notebook was {job.arrival}"
    for cell in job.notebook["cells"]:
        exercise = exercise_of(cell)
        if job.arrival == "not gradable":
            graded = exercise or (is_written(cell) and grade_id(cell)) or ""
            bundle = bundle.with_ungraded(graded, reason) if graded else bundle
        elif exercise:
            bundle = bundle.with_verdict(no_points(exercise, points_of(cell), reason))
    return bundle


def no_points(exercise: str, points: float, reason: str) -> Verdict:
    """The verdict on an exercise that could not be examined."""
    exam = EXAMS.get(exercise)
    properties = exam.properties if exam else (Property("all of it", points, reason),)
    return settle(exercise, properties, {}, zeroed=reason)


class _Run:
    """A notebook under way: the session may die and be replaced; what had been run is then run again."""

    def __init__(self, job: GradingJob, bundle: Bundle, store: Store, options: RunOptions, progress: Progress) -> None:
        self.job, self.bundle, self.store, self.options, self.progress = job, bundle, store, options, progress
        self.outputs: dict[int, list[dict[str, Any]]] = {}
        self.session: Session | None = None
        self.done: list[int] = []  # cells that a new kernel has to run again
        self.failed: dict[int, tuple[str, str]] = {}  # cells of the student that stopped with an error, and with which
        self.theirs = False  # whether the student's code has had its turn
        self.restarts = 0
        self.over = ""  # why nothing more is run
        self.fault = ""  # the same, where it is our fault: nothing more is judged either

    def to_the_end(self) -> Bundle:
        """Runs every cell and examines every exercise that has no verdict yet."""
        options = self.options
        try:
            with open_session(
                limits=options.limits,
                scratch_files=self.job.files,
                device=options.device,
                sandbox=options.sandbox,
                hidden=options.hidden,
            ) as self.session:
                self.fault = disagreement(self.session)
                self._all_cells()
        except CannotStore:
            raise
        except Exception as error:
            # The sandbox, the process, the machine: whatever it was, it was not the student.
            said = str(error) if isinstance(error, CannotStart) else f"{type(error).__name__}: {error}"
            self.fault = f"the notebook could not be run on this machine ({said})"
            self._all_cells()
        finally:
            self.session = None
        for cell_id, reason in self.job.not_taken.items():
            if cell_id not in self.bundle.verdicts:
                self._leave_open(cell_id, reason)
        return replace(self.bundle, outputs=self.outputs)

    def _all_cells(self) -> None:
        for place, cell in enumerate(self.job.notebook["cells"]):
            if cell["cell_type"] == "code" and cell["source"].strip():
                self._step(place, cell)

    def _step(self, place: int, cell: Mapping[str, Any]) -> None:
        exercise = exercise_of(cell)
        if exercise in {*self.bundle.verdicts, *self.bundle.ungraded}:
            return
        if not self.fault:
            self._revive()
        if exercise:
            self._judge(exercise, points_of(cell))
            self.store.save(self.bundle)
        elif not self.over and not self.fault:
            self.progress(f"running cell {cell_name(self.job.notebook, place)}")
            self._run_cell(place, cell)

    def _run_cell(self, place: int, cell: Mapping[str, Any]) -> None:
        assert self.session is not None
        self.theirs |= is_students(cell)
        result = self.session.run_cell(cell["source"])
        self.outputs[place] = displayed(result.outputs)
        name = cell_name(self.job.notebook, place)
        if result.status in STOPPED:
            self._remark(f"{STOPPED[result.status]} in cell {name}: {result.detail}")
        else:
            self.done.append(place)
        if result.cut:
            self._remark(f"output limit in cell {name}: not all of its output is kept")
        if result.status == "deadline":
            self.over = result.detail
        if result.status != "ok":
            self._note_failure(place, cell, result)
        self._note_end()

    def _note_failure(self, place: int, cell: Mapping[str, Any], result: CellResult) -> None:
        """Tells a fault of ours from an error of the student's, which is kept for the exercises that hang on it."""
        error, message = _error(result)
        name = cell_name(self.job.notebook, place)
        if ours := our_fault(error, message):
            self._our_fault(f"cell {name}: {ours}")
        elif not self.theirs:
            said = f"{error}: {message}"
            self._our_fault(f"the given cell {name} failed before any of the student's code had run ({said})")
        elif is_students(cell):
            self.failed[place] = (error, message)

    def _note_end(self) -> None:
        end = self.session.end if self.session is not None else None
        if end is not None and end.ours and not self.fault:
            self._our_fault(end.detail)

    def _our_fault(self, reason: str) -> None:
        self.fault = reason
        self._remark(f"not gradable: {reason}")

    def _revive(self) -> None:
        """Replaces a kernel that died, and brings it to where the old one was, without the cells that stopped it."""
        assert self.session is not None
        while not self.session.alive and not self.over and not self.fault:
            if self.session.seconds_left <= 0:
                self.over = f"the notebook's time of {self.options.limits.submission_seconds:g} s was up"
            elif self.restarts >= self.options.max_restarts:
                self.over = f"the kernel died {self.restarts + 1} times"
            else:
                self.restarts += 1
                self.session.restart()
                self._replay()
        if self.over:
            self._remark(f"not everything was run: {self.over}")

    def _replay(self) -> None:
        assert self.session is not None
        for place in list(self.done):
            self.progress(f"running cell {cell_name(self.job.notebook, place)} again")
            request = {"kind": "cell", "source": self.job.notebook["cells"][place]["source"], "allowance": 0}
            answer = self.session.ask(request, self.options.limits.cell_seconds)
            if isinstance(answer, End):
                self.done.remove(place)
                name = cell_name(self.job.notebook, place)
                self._remark(f"{STOPPED.get(answer.status, 'stopped')} in cell {name}, run again: {answer.detail}")
            self._note_end()
            if not self.session.alive:
                return

    def _judge(self, exercise: str, points: float) -> None:
        """Gives an exercise its verdict, or leaves it open for a human where it cannot be judged."""
        if self.fault:
            self._leave_open(exercise, self.fault)
        elif self.over:
            reason = f"this exercise was not reached: {self.over}"
            self.bundle = self.bundle.with_verdict(no_points(exercise, points, reason))
        else:
            self.progress(f"examining {exercise}")
            self._examine(exercise)

    def _examine(self, exercise: str) -> None:
        assert self.session is not None
        witness = Witness(self.session.student())
        try:
            verdict = examine(exercise, witness, seed=self.job.seed, devices=self.options.devices)
        except Exception as error:
            # A mistake of ours, or something that nobody has thought of; the others must still be graded.
            self._leave_open(exercise, f"the exam of {exercise} itself failed ({type(error).__name__})")
            return
        end = self.session.end
        if end is not None:
            self._remark(f"{STOPPED.get(end.status, 'stopped')} while {exercise} was examined: {end.detail}")
        self._note_end()
        for remark in verdict.remarks:
            self._remark(f"{exercise}: {remark}")
        reason = self._why_open(exercise, witness) if verdict.points < verdict.max_points else ""
        if reason:
            self._leave_open(exercise, reason)
        else:
            self.bundle = self.bundle.with_verdict(self._explained(verdict, witness))

    def _why_open(self, exercise: str, witness: Witness) -> str:
        """Why lost points may not be the student's doing, or ""."""
        if self.fault or witness.fault:
            return self.fault or witness.fault
        if exercise in self.job.not_taken:
            return self.job.not_taken[exercise]
        failures = self._failures_behind(exercise, witness.missing)
        undefined = witness.undefined | {undefined_name(error, message) for _, error, message in failures}
        for name in sorted(undefined & self.job.lost_names.keys()):
            given = self.job.lost_names[name]
            return f"{name!r} was defined in the given cell {given}, which the course's own text replaced"
        return ""

    def _failures_behind(self, exercise: str, names: Collection[str]) -> list[tuple[str, str, str]]:
        """Cells that should have defined what is missing, with the errors that stopped them, in order."""
        cells = self.job.notebook["cells"]
        return [
            (cell_name(self.job.notebook, place), *failure)
            for place, failure in sorted(self.failed.items())
            if grade_id(cells[place]) == exercise or names_defined(cells[place]["source"]) & set(names)
        ]

    def _explained(self, verdict: Verdict, witness: Witness) -> Verdict:
        """The verdict; where a name is missing, with the first error of the cell that should have defined it."""
        failures = self._failures_behind(verdict.exercise, witness.missing) if witness.missing else []
        if not failures:
            return verdict
        cell, error, message = failures[0]
        missing = ", ".join(f"`{name}`" for name in dict.fromkeys(witness.missing))
        words = (
            f"Your cell {cell} stopped with {error}: {' '.join(message.split())[:300]}. So {missing} is not defined."
        )
        return replace(verdict, diagnosis=words, misconception="cell_failed")

    def _leave_open(self, exercise: str, reason: str) -> None:
        self.bundle = self.bundle.with_ungraded(exercise, reason)
        self._remark(f"{exercise} has no score, a human must look at it: {reason}")

    def _remark(self, remark: str) -> None:
        self.bundle = self.bundle.with_remark(remark)


def disagreement(session: Session) -> str:
    """Why grader and sandbox do not see the same settings, versions and files, or "": asked before anything is run."""
    for hashed in (False, True):  # by place and date first, which costs nothing
        answer = session.ask({"kind": "inventory", "what": "hashed" if hashed else "seen"}, HANDSHAKE_SECONDS)
        if isinstance(answer, End):
            return f"the process that was to run the notebook gave no answer: {answer.detail}"
        found = differences(what_the_grader_sees(hashed=hashed), json.loads(str(answer.get("inventory", "{}"))))
        if not found:
            return ""
    return f"grader and sandbox disagree: {'; '.join(found[:MAX_DIFFERENCES])}"


def _error(result: CellResult) -> tuple[str, str]:
    """Type and message of the error that a cell raised, or of what stopped it."""
    errors = [output for output in result.outputs if output["output_type"] == "error"]
    return (str(errors[-1]["ename"]), str(errors[-1]["evalue"])) if errors else (result.status, result.detail)
