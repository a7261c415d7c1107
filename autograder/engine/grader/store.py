"""Results of a course, in one SQLite file: what was found out about each notebook, and which of it nbgrader holds.

Every notebook has at most two bundles. The *draft* grows while the notebook is graded, verdict by verdict, so that an
interrupted run goes on where it stopped. The *stored* one is what nbgrader's database was told last. A draft takes the
place of the stored bundle in one transaction, once nbgrader holds all of the submission; until then the old result
stands.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from autograder.course.cells import grade_id
from autograder.exams.verdict import PropertyResult, Verdict

FORMAT = 2
"""Of a bundle. Those of another version count as absent."""
VERSION = 3
"""Of the tables. A file of another version is nobody's results."""
FOLDER = "results"
DATABASE = "results.db"
MAX_BUNDLE = 40_000_000
MAX_REMARKS = 60
MAX_REMARK = 500
WAIT_SECONDS = 30.0

Status = Literal["running", "graded", "graded with remarks", "not gradable", "unreadable", "not handed in"]
Output = dict[str, Any]

SCHEMA = f"""
BEGIN;
CREATE TABLE IF NOT EXISTS bundle (
    assignment TEXT, student TEXT, notebook TEXT, state TEXT CHECK (state IN ('draft', 'stored')),
    fingerprint TEXT, body TEXT,
    PRIMARY KEY (assignment, student, notebook, state)
);
CREATE TABLE IF NOT EXISTS grade (
    assignment TEXT, student TEXT, mark TEXT, pending INTEGER DEFAULT 0,
    PRIMARY KEY (assignment, student)
);
PRAGMA user_version = {VERSION};
COMMIT;
"""


class CannotStore(Exception):
    """Results cannot be written or read; the message says why and what to do."""


@dataclass(frozen=True)
class Key:
    """Which notebook of which submission."""

    student: str
    assignment: str
    notebook: str


@dataclass(frozen=True)
class Bundle:
    """What is known about one notebook of a submission.

    Attributes:
        key: Whose notebook it is.
        fingerprint: Hash of all that decides its result; see `fingerprint`.
        seed: Seed of the exams, kept with the grade.
        sandboxed: Whether the student's code ran in the sandbox.
        status: How it ended; "running" until it has.
        remarks: What a grader should know, in words.
        verdicts: The verdict on each exercise that was examined, by its id.
        ungraded: Exercises that could not be judged through no proven fault of the student's, by id, each with the
            reason. They have no score until a human gives one, or a later run can judge them.
        outputs: Outputs of the executed cells, by the cell's place; in nbformat's form.
        seconds: How long its last run took; 0 if nothing was run. Two bundles that differ in it alone are equal.
    """

    key: Key
    fingerprint: str
    seed: int
    sandboxed: bool = True
    status: Status = "running"
    remarks: tuple[str, ...] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    ungraded: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[int, Sequence[Output]] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)

    @property
    def complete(self) -> bool:
        """Whether the run came to its end, with a verdict on everything."""
        return self.status not in ("running", "not gradable")

    def with_verdict(self, verdict: Verdict) -> Bundle:
        """The bundle with one more verdict."""
        return replace(self, verdicts={**self.verdicts, verdict.exercise: verdict})

    def with_ungraded(self, exercise: str, reason: str) -> Bundle:
        """The bundle with one more exercise that could not be judged."""
        return replace(self, ungraded={**self.ungraded, exercise: reason})

    def with_remark(self, remark: str) -> Bundle:
        """The bundle with one more remark; doubles are dropped."""
        # Remarks are printed, and may quote a file's name: control codes would reach the grader's terminal.
        remark = "".join(sign if sign.isprintable() else " " for sign in remark)[:MAX_REMARK]
        if remark in self.remarks or len(self.remarks) >= MAX_REMARKS:
            return self
        return replace(self, remarks=(*self.remarks, remark))


def fingerprint(notebook: Mapping[str, Any], *, seed: int, sandboxed: bool, conditions: Mapping[str, Any]) -> str:
    """Hash of what decides a result: the cells, the seed, and the conditions (files, limits, assets, versions).

    Args:
        notebook: The rebuilt notebook.
        seed: The exams' seed.
        sandboxed: Whether its code runs in the sandbox.
        conditions: Whatever else must be the same for a stored result to stand.
    """
    cells = [[cell["cell_type"], cell["source"], grade_id(cell)] for cell in notebook["cells"]]
    text = json.dumps([FORMAT, cells, seed, sandboxed, dict(conditions)], sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """The bundles of a course, in `results/results.db` of its folder.

    Args:
        course: The course's folder.
    """

    def __init__(self, course: Path) -> None:
        self.folder = Path(course) / FOLDER
        self.path = self.folder / DATABASE

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are written together at the end, or not at all."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS)) as connection:
                self._make_tables(connection)
                with connection:
                    yield connection
        except (sqlite3.Error, OSError) as error:
            raise CannotStore(
                f"the results in {self.path} cannot be read or written ({error}): look at the disk's free space and "
                "the file's permissions, then run the same command again"
            ) from error

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        """Makes the tables of an empty file; refuses a file with others."""
        version = "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
        if connection.execute(version).fetchone() == (0, 0):
            connection.executescript(SCHEMA)
        found = connection.execute(version).fetchone()[0]
        if found != VERSION:
            raise CannotStore(
                f"the results in {self.path} are of another version of this program (tables of version {found}, "
                f"expected {VERSION}): move the file away, and grade again"
            )

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """What a query finds; nothing, and no file is made, where nothing was ever stored."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            return connection.execute(query, values).fetchall()

    def save(self, bundle: Bundle) -> None:
        """Writes a draft; what stood there before is replaced only once the new one is on the disk.

        Raises:
            CannotStore: If the disk is full, or the file is damaged or not ours to write.
            ValueError: If a score is not a finite number.
        """
        key = bundle.key
        row = (key.assignment, key.student, key.notebook, "draft", bundle.fingerprint, _to_json(fitted(bundle)))
        with self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO bundle VALUES (?, ?, ?, ?, ?, ?)", row)

    def load(self, key: Key, *, expected: str = "") -> Bundle | None:
        """The newest bundle of a notebook, or None where there is none that this version can read.

        Args:
            key: Whose notebook.
            expected: If not empty, a bundle with another fingerprint counts as absent.
        """
        query = "SELECT body FROM bundle WHERE assignment = ? AND student = ? AND notebook = ? ORDER BY state"
        found = _bundles(self._rows(query, key.assignment, key.student, key.notebook))
        return next((bundle for bundle in found if expected in ("", bundle.fingerprint)), None)

    def bundles(self, assignment: str) -> list[Bundle]:
        """What nbgrader holds of an assignment, by student and notebook; drafts are not among it."""
        query = "SELECT body FROM bundle WHERE assignment = ? AND state = 'stored' ORDER BY student, notebook"
        return _bundles(self._rows(query, assignment))

    def begin(self, student: str, assignment: str) -> None:
        """Notes that nbgrader is about to be told a grade; until `finish`, what it holds is nobody's grade."""
        with self._open() as connection:
            connection.execute(
                "INSERT INTO grade VALUES (?, ?, '', 1) ON CONFLICT DO UPDATE SET pending = 1, mark = ''",
                (assignment, student),
            )

    def finish(self, student: str, assignment: str, *, mark: str = "") -> None:
        """Notes that nbgrader holds the whole grade: drafts become what is stored.

        Args:
            student: Whose submission.
            assignment: Of which assignment.
            mark: What the grade hangs on; see `mark`.
        """
        with self._open() as connection:
            replace_stored = "UPDATE OR REPLACE bundle SET state = 'stored' WHERE state = 'draft'"
            connection.execute(f"{replace_stored} AND assignment = ? AND student = ?", (assignment, student))
            connection.execute(
                "INSERT INTO grade VALUES (?, ?, ?, 0) ON CONFLICT DO UPDATE SET pending = 0, mark = excluded.mark",
                (assignment, student, mark),
            )

    def pending(self, student: str, assignment: str) -> bool:
        """Whether nbgrader was being told a grade and did not learn all of it."""
        return bool(self._grade(student, assignment)[1])

    def mark(self, student: str, assignment: str) -> str:
        """What the grade that nbgrader holds hangs on, as `finish` was told, or "" where it holds none."""
        return self._grade(student, assignment)[0]

    def _grade(self, student: str, assignment: str) -> tuple[str, int]:
        rows = self._rows("SELECT mark, pending FROM grade WHERE assignment = ? AND student = ?", assignment, student)
        return (str(rows[0][0]), rows[0][1]) if rows else ("", 0)

    def known(self, assignment: str) -> dict[str, bool]:
        """Students with a grade that is stored or being stored: whether it is still being stored."""
        query = "SELECT student, pending FROM grade WHERE assignment = ? ORDER BY student"
        return {student: bool(pending) for student, pending in self._rows(query, assignment)}


def fitted(bundle: Bundle) -> Bundle:
    """The bundle within its largest size: the largest outputs are left out, with a remark, before a verdict is."""
    outputs = dict(bundle.outputs)
    sizes = {place: len(_dumps(value)) for place, value in outputs.items()}
    too_much = len(_dumps(_fields(bundle))) - MAX_BUNDLE
    for place in sorted(sizes, key=lambda place: -sizes[place]):
        if too_much <= 0:
            break
        del outputs[place]
        too_much -= sizes[place]
    if len(outputs) == len(bundle.outputs):
        return bundle
    left_out = len(bundle.outputs) - len(outputs)
    return replace(bundle, outputs=outputs).with_remark(f"output limit: the outputs of {left_out} cells are not kept")


def _fields(bundle: Bundle) -> dict[str, Any]:
    fields = asdict(bundle)
    fields["outputs"] = {str(place): outputs for place, outputs in bundle.outputs.items()}
    return {"format": FORMAT, **fields}


def _dumps(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")


def _to_json(bundle: Bundle) -> str:
    return _dumps(_fields(bundle)).decode()


def _bundles(rows: Sequence[tuple[str]]) -> list[Bundle]:
    """The bundles in the rows that this version can read."""
    return [bundle for (body,) in rows if (bundle := _from_json(body)) is not None]


def _from_json(body: str) -> Bundle | None:
    """The bundle, or None for one that another version wrote."""
    try:
        fields = json.loads(body)
        if fields.pop("format") != FORMAT:
            return None
        return Bundle(
            key=Key(**fields.pop("key")),
            remarks=tuple(fields.pop("remarks")),
            verdicts={name: _verdict(one) for name, one in fields.pop("verdicts").items()},
            outputs={int(place): outputs for place, outputs in fields.pop("outputs").items()},
            **fields,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _verdict(fields: dict[str, Any]) -> Verdict:
    results = tuple(PropertyResult(**result) for result in fields.pop("results"))
    if not all(math.isfinite(result.points) for result in results):
        raise ValueError("points that are not finite")
    return Verdict(results=results, remarks=tuple(fields.pop("remarks")), **fields)
