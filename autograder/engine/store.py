"""Results on disk: one bundle for each notebook of a submission, written as its verdicts come.

A bundle is JSON of bounded size with a keyed hash over it. It appears complete or not at all: written beside its place,
flushed to the disk, then renamed. A run that was interrupted finds what it had stored; a bundle that is damaged, that
somebody else wrote, or that belongs to another version of the submission counts as absent.
"""

from __future__ import annotations

import hmac
import json
import math
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from autograder.engine.seeds import course_secret
from autograder.exams.verdict import PropertyResult, Verdict

FORMAT = 1
FOLDER = "results"
MAX_BUNDLE = 4_000_000
MAX_REMARKS = 60
MAX_REMARK = 500

Status = Literal["running", "graded", "graded with remarks", "unreadable", "not handed in"]
Output = dict[str, Any]


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
        verdicts: The verdict on each exercise that is examined, by its id.
        outputs: Outputs of the executed cells, by the cell's place; in nbformat's form.
    """

    key: Key
    fingerprint: str
    seed: int
    sandboxed: bool = True
    status: Status = "running"
    remarks: tuple[str, ...] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    outputs: Mapping[int, Sequence[Output]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.status != "running"

    def with_verdict(self, verdict: Verdict) -> Bundle:
        """The bundle with one more verdict."""
        return replace(self, verdicts={**self.verdicts, verdict.exercise: verdict})

    def with_remark(self, remark: str) -> Bundle:
        """The bundle with one more remark; doubles are dropped."""
        # Remarks are printed, and may quote a file's name: control codes would reach the grader's terminal.
        remark = "".join(sign if sign.isprintable() else " " for sign in remark)[:MAX_REMARK]
        if remark in self.remarks or len(self.remarks) >= MAX_REMARKS:
            return self
        return replace(self, remarks=(*self.remarks, remark))


def fingerprint(notebook: Mapping[str, Any], *, seed: int, sandboxed: bool, conditions: Mapping[str, Any]) -> str:
    """Hash of what decides a result: the cells, the seed, and the conditions (limits, devices).

    Args:
        notebook: The rebuilt notebook.
        seed: The exams' seed.
        sandboxed: Whether its code runs in the sandbox.
        conditions: Whatever else must be the same for a stored result to stand.
    """
    cells = [[cell["cell_type"], cell["source"], _grade_id(cell)] for cell in notebook["cells"]]
    text = json.dumps([FORMAT, cells, seed, sandboxed, dict(conditions)], sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _grade_id(cell: Mapping[str, Any]) -> str:
    return str(cell.get("metadata", {}).get("nbgrader", {}).get("grade_id", ""))


class Store:
    """The bundles of a course, below `results/` in its folder.

    Args:
        course: The course's folder, where its secret stands too.
    """

    def __init__(self, course: Path) -> None:
        self.folder = Path(course) / FOLDER
        self._secret = course_secret(Path(course))

    def path(self, key: Key) -> Path:
        """Where a notebook's bundle stands."""
        return self.folder.joinpath(*map(_safe, (key.assignment, key.student))) / f"{_safe(key.notebook)}.json"

    def save(self, bundle: Bundle) -> None:
        """Writes a bundle; what stood there before is replaced only once the new one is on the disk.

        Raises:
            ValueError: If the bundle is larger than a bundle may be.
        """
        body = _to_json(bundle)
        if len(body) > MAX_BUNDLE:
            raise ValueError(f"the bundle of {bundle.key} has {len(body)} bytes, at most {MAX_BUNDLE} are stored")
        path = self.path(bundle.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self._sign(body).encode() + b"\n" + body)

    def load(self, key: Key, *, expected: str = "") -> Bundle | None:
        """The stored bundle, or None where there is none that can be trusted.

        Args:
            key: Whose notebook.
            expected: If not empty, a bundle with another fingerprint counts as absent.
        """
        try:
            path = self.path(key)
            content = b"" if path.is_symlink() or path.stat().st_size > 2 * MAX_BUNDLE else path.read_bytes()
        except OSError:
            return None
        signature, _, body = content.partition(b"\n")
        if not hmac.compare_digest(signature, self._sign(body).encode()):
            return None
        try:
            bundle = _from_json(body)
        except (ValueError, KeyError, TypeError):
            return None
        return bundle if bundle.key == key and expected in ("", bundle.fingerprint) else None

    def clear(self, student: str, assignment: str, notebook: str | None = None) -> None:
        """Forgets what is stored of a submission, or of one of its notebooks."""
        if notebook is not None:
            self.path(Key(student, assignment, notebook)).unlink(missing_ok=True)
            return
        folder = self.folder / _safe(assignment) / _safe(student)
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)

    def bundles(self, assignment: str) -> list[Bundle]:
        """All bundles of an assignment that can be trusted, by student and notebook."""
        found = []
        for path in sorted((self.folder / _safe(assignment)).glob("*/*.json")):
            signature, _, body = path.read_bytes().partition(b"\n")
            if hmac.compare_digest(signature, self._sign(body).encode()):
                found.append(_from_json(body))
        return sorted(found, key=lambda bundle: (bundle.key.student, bundle.key.notebook))

    def begin(self, student: str, assignment: str) -> None:
        """Notes that a submission is about to be graded; until `finish`, what nbgrader holds of it is not its grade."""
        marker = self._marker(student, assignment)
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(marker, b"")

    def finish(self, student: str, assignment: str) -> None:
        """Notes that nbgrader holds the whole grade."""
        self._marker(student, assignment).unlink(missing_ok=True)

    def pending(self, student: str, assignment: str) -> bool:
        """Whether the submission's grading began and did not come to its end."""
        return self._marker(student, assignment).exists()

    def _marker(self, student: str, assignment: str) -> Path:
        return self.path(Key(student, assignment, "x")).parent / "pending"

    def _sign(self, body: bytes) -> str:
        return hmac.new(self._secret, b"bundle:" + body, sha256).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file that survives a crash at any moment either in its old state or in its new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _safe(name: str) -> str:
    """A name that is one plain component of a path, whatever it was, and short enough for every file system."""
    quoted = quote(name.encode("utf-8", "surrogatepass"), safe=" ")
    quoted = quoted.replace(".", "%2E") if quoted.startswith(".") or not quoted else quoted
    return quoted if 0 < len(quoted) <= 120 else sha256(quoted.encode()).hexdigest()


def _to_json(bundle: Bundle) -> bytes:
    fields = asdict(bundle)
    fields["verdicts"] = {name: asdict(verdict) for name, verdict in bundle.verdicts.items()}
    fields["outputs"] = {str(place): outputs for place, outputs in bundle.outputs.items()}
    return json.dumps({"format": FORMAT, **fields}, sort_keys=True, allow_nan=False).encode()


def _from_json(body: bytes) -> Bundle:
    fields = json.loads(body)
    if fields.pop("format") != FORMAT:
        raise ValueError("another format")
    return Bundle(
        key=Key(**fields.pop("key")),
        remarks=tuple(fields.pop("remarks")),
        verdicts={name: _verdict(one) for name, one in fields.pop("verdicts").items()},
        outputs={int(place): outputs for place, outputs in fields.pop("outputs").items()},
        **fields,
    )


def _verdict(fields: dict[str, Any]) -> Verdict:
    results = tuple(PropertyResult(**result) for result in fields.pop("results"))
    if not all(math.isfinite(result.points) for result in results):
        raise ValueError("points that are not finite")
    return Verdict(results=results, remarks=tuple(fields.pop("remarks")), **fields)
