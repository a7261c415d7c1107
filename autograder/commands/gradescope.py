"""What runs in Gradescope's container: grades the one submission there, and writes `results.json`.

Gradescope's container is root's, and often lets bubblewrap make no namespaces. Then the student's code runs in a
process of its own, but with all rights of the container: it could write `results.json` itself. Every result says so.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autograder.commands.course import NEEDS_A_HUMAN, Course
from autograder.commands.table import Row, read_rows
from autograder.course.folders import ASSIGNMENT
from autograder.engine.grader.run import try_sandbox
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.grader.staging import TIMESTAMP
from autograder.engine.grader.store import Store
from autograder.exports.gradescope import Outcome, results

PLACE = Path("/autograder")
WITHOUT_SANDBOX = "--RunTwoProcesses.unsafe_no_sandbox=True"
NO_SANDBOX = "Graded without a sandbox: the student's code had all rights here, and could have forged this result."


def stage(place: Path, root: Path) -> str:
    """Copies Gradescope's one submission to where nbgrader looks for it.

    Returns:
        The student's id: the e-mail address without the part that nbgrader does not allow.
    """
    about = json.loads((place / "submission_metadata.json").read_text(encoding="utf-8"))
    student = _student(about)
    folder = root / "submitted" / student / ASSIGNMENT
    shutil.copytree(place / "submission", folder, symlinks=True)
    created = datetime.fromisoformat(about["created_at"])
    created = created if created.tzinfo else created.replace(tzinfo=UTC)
    (folder / TIMESTAMP).write_text(f"{created.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC\n", encoding="utf-8")
    return student


def _student(about: Mapping[str, Any]) -> str:
    users = about.get("users") or [{}]
    name = str(users[0].get("email") or about.get("id") or "student")
    return name.replace("/", "-").replace("+", "-").lstrip(".") or "student"


def outcome_of(root: Path, row: Row, *remarks: str) -> Outcome:
    """What Gradescope is told of a graded submission."""
    bundles = [bundle for bundle in Store(root).bundles(ASSIGNMENT) if bundle.key.student == row.student]
    words = row.late.words(row.total) if row.late else ""
    return Outcome(
        score=row.final,
        by_cell=row.by_cell,
        maxima=row.maxima,
        verdicts={name: verdict for bundle in bundles for name, verdict in bundle.verdicts.items()},
        ungraded={name: reason for bundle in bundles for name, reason in bundle.ungraded.items()},
        said=(words,) if words else (),
        remarks=tuple(text for text in (*remarks, row.problem) if text),
    )


def grade(place: Path = PLACE) -> dict[str, Any] | None:
    """Grades the submission; returns what belongs into `results.json`, or None where it could not be graded."""
    with tempfile.TemporaryDirectory() as folder:
        course = Course(Path(folder))
        options, remarks = [], []
        try:
            try_sandbox()
        except SandboxUnavailable as reason:
            options, remarks = [WITHOUT_SANDBOX], [NO_SANDBOX, str(reason)]
        student = stage(place, course.root)
        course.release()  # nbgrader grades what it has released
        status = course.autograde(*options)
        rows = [row for row in read_rows(course.root) if row.student == student and row.graded]
        if status not in (0, NEEDS_A_HUMAN) or not rows:
            print(course.log.read_text(encoding="utf-8") if course.log.exists() else "nbgrader wrote no log")
            return None
        return results(outcome_of(course.root, rows[0], *remarks))


def main(place: Path = PLACE) -> int:
    """Writes `results.json`.

    Returns:
        0; 1 without that file, which Gradescope shows as an autograder that failed, and not as 0 points.
    """
    graded = grade(place)
    if graded is None:
        return 1
    (place / "results").mkdir(parents=True, exist_ok=True)
    (place / "results" / "results.json").write_text(json.dumps(graded, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
