"""Grades one notebook of a submission: runs its cells in order, and examines each exercise where its test cell stands.

The student's cells run in a session (another process, sandboxed); the exams run here and ask that session to call the
student's functions. What happens in the session decides nothing by itself. Every verdict is stored as it comes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import pset4
from autograder.engine.limits import Limits
from autograder.engine.present import cell_name, displayed, exercise_of
from autograder.engine.sandbox import Namespace
from autograder.engine.session import End, Session, open_session
from autograder.engine.store import Bundle, Key, Store, fingerprint
from autograder.exams import EXAMS, Property, Verdict, available_devices, examine, settle

Json = dict[str, Any]
Arrival = Literal["handed in", "not handed in", "unreadable"]
Progress = Callable[[str], None]

NO_SANDBOX = "run WITHOUT a sandbox, as the course's settings ask: the code could read and change what this account can"
STOPPED = {
    "timeout": "time limit",
    "died": "kernel died",
    "output_limit": "output limit",
    "deadline": "time limit of the whole notebook",
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One notebook to grade.

    Attributes:
        key: Whose notebook it is.
        notebook: The rebuilt notebook.
        remarks: What was repaired.
        seed: Seed of the exams.
        arrival: Whether there was a notebook, and whether it could be read.
        files: Folder of the submission; its regular files are copied into the scratch folder.
    """

    key: Key
    notebook: Json
    remarks: tuple[str, ...] = ()
    seed: int
    arrival: Arrival = "handed in"
    files: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How notebooks are run.

    Attributes:
        limits: Bounds on one notebook.
        sandbox: Whether the student's code is sandboxed.
        devices: Devices on which the exams run.
        max_restarts: How often a kernel that died is replaced within one notebook.
    """

    limits: Limits = field(default_factory=Limits)
    sandbox: bool = True
    devices: tuple[str, ...] = field(default_factory=available_devices)
    max_restarts: int = 8


def grade_notebook(job: Job, *, store: Store, settings: Settings, progress: Progress | None = None) -> Bundle:
    """Grades a notebook, or goes on where an earlier run of the same notebook was interrupted.

    Args:
        job: What to grade.
        store: Where verdicts are kept as they come.
        settings: How it is run.
        progress: Told in a few words what is being done.

    Returns:
        The complete result, which is also stored.

    Raises:
        SandboxUnavailable: If there is no sandbox; the student is then not graded, rather than graded unsafely.
    """
    conditions = {**asdict(settings.limits), "devices": settings.devices, "version": version(), "arrival": job.arrival}
    mark = fingerprint(job.notebook, seed=job.seed, sandboxed=settings.sandbox, conditions=conditions)
    bundle = store.load(job.key, expected=mark)
    if bundle is not None and bundle.complete:
        return bundle
    if bundle is None:
        bundle = Bundle(job.key, mark, job.seed, sandboxed=settings.sandbox)
    for remark in (*job.remarks, *(() if settings.sandbox else (NO_SANDBOX,))):
        bundle = bundle.with_remark(remark)
    store.save(bundle)  # replaces what an earlier version of the submission had earned
    if job.arrival == "handed in":
        bundle = _Run(job, bundle, store, settings, progress or (lambda _words: None)).to_the_end()
        bundle = replace(bundle, status="graded with remarks" if bundle.remarks else "graded")
    else:
        bundle = _nothing_to_run(job, bundle)
    store.save(bundle)
    return bundle


def try_sandbox() -> None:
    """Sets up a sandbox and takes it down again: that bubblewrap is installed does not mean that it may do its work.

    Raises:
        SandboxUnavailable: If there is no sandbox on this machine; the message says why and how to get it.
    """
    Namespace(limits=Limits(), scratch_files=None, readable=(), device="cpu").close()


@functools.cache
def version() -> str:
    """Hash of the exams, the engine and the students' package: a stored verdict stands only for the same version."""
    folders = (Path(__file__).parent, Path(__file__).parent.parent / "exams", Path(pset4.__file__).parent)
    digest = sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _nothing_to_run(job: Job, bundle: Bundle) -> Bundle:
    """Nobody's code is run where nothing could be read: every exercise earns nothing, and says why."""
    reason = job.remarks[0] if job.remarks else f"the notebook was {job.arrival}"
    for cell in job.notebook["cells"]:
        if exercise := exercise_of(cell):
            bundle = bundle.with_verdict(no_points(exercise, _points(cell), reason))
    return replace(bundle, status="unreadable" if job.arrival == "unreadable" else "not handed in")


def _points(cell: Mapping[str, Any]) -> float:
    return float(cell["metadata"]["nbgrader"].get("points", 0))


def no_points(exercise: str, points: float, reason: str) -> Verdict:
    """The verdict on an exercise that could not be examined."""
    exam = EXAMS.get(exercise)
    properties = exam.properties if exam else (Property("all of it", points, reason),)
    return settle(exercise, properties, {}, zeroed=reason)


class _Run:
    """A notebook under way: the session may die and be replaced; what had been run is then run again."""

    def __init__(self, job: Job, bundle: Bundle, store: Store, settings: Settings, progress: Progress) -> None:
        self.job, self.bundle, self.store, self.settings, self.progress = job, bundle, store, settings, progress
        self.outputs: dict[int, list[dict[str, Any]]] = {}
        self.session: Session | None = None
        self.done: list[int] = []  # cells that a new kernel has to run again
        self.restarts = 0
        self.over = ""  # why nothing more is run

    def to_the_end(self) -> Bundle:
        """Runs every cell and examines every exercise that has no verdict yet."""
        device = "cuda" if "cuda" in self.settings.devices else "cpu"
        try:
            with open_session(
                limits=self.settings.limits, scratch_files=self.job.files, device=device, sandbox=self.settings.sandbox
            ) as self.session:
                for place, cell in enumerate(self.job.notebook["cells"]):
                    if cell["cell_type"] == "code" and cell["source"].strip():
                        self._step(place, cell)
        finally:
            self.session = None
        return replace(self.bundle, outputs=self.outputs)

    def _step(self, place: int, cell: Mapping[str, Any]) -> None:
        exercise = exercise_of(cell)
        if exercise in self.bundle.verdicts:
            return
        self._revive()
        if exercise:
            self.progress(f"examining {exercise}")
            verdict = self._examine(exercise, _points(cell))  # may add remarks to the bundle
            self.bundle = self.bundle.with_verdict(verdict)
            self.store.save(self.bundle)
        elif not self.over:
            self.progress(f"running cell {cell_name(self.job.notebook, place)}")
            self._run_cell(place, cell["source"])

    def _run_cell(self, place: int, source: str) -> None:
        assert self.session is not None
        result = self.session.run_cell(source)
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

    def _revive(self) -> None:
        """Replaces a kernel that died, and brings it to where the old one was, without the cells that stopped it."""
        assert self.session is not None
        while not self.session.alive and not self.over:
            if self.session.seconds_left <= 0:
                self.over = f"the notebook's time of {self.settings.limits.submission_seconds:g} s was up"
            elif self.restarts >= self.settings.max_restarts:
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
            answer = self.session.ask(request, self.settings.limits.cell_seconds)
            if isinstance(answer, End):
                self.done.remove(place)
                name = cell_name(self.job.notebook, place)
                self._remark(f"{STOPPED.get(answer.status, 'stopped')} in cell {name}, run again: {answer.detail}")
            if not self.session.alive:
                return

    def _examine(self, exercise: str, points: float) -> Verdict:
        if self.over:
            return no_points(exercise, points, f"this exercise was not reached: {self.over}")
        assert self.session is not None
        try:
            verdict = examine(exercise, self.session.student(), seed=self.job.seed, devices=self.settings.devices)
        except Exception as error:
            # A mistake of ours, or something that nobody has thought of; the others must still be graded.
            self._remark(f"the exam of {exercise} itself failed ({type(error).__name__}): a human must look at it")
            return no_points(exercise, points, "the exam itself failed; please tell your instructor")
        end = self.session.end
        if end is not None:
            self._remark(f"{STOPPED.get(end.status, 'stopped')} while {exercise} was examined: {end.detail}")
        return verdict

    def _remark(self, remark: str) -> None:
        self.bundle = self.bundle.with_remark(remark)
