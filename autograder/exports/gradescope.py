"""Gradescope: the zip with the autograder, and `results.json` in the form that it reads."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from autograder.course.cells import TEST
from autograder.course.contract import EXERCISES, Exercise
from autograder.exams.verdict import Verdict

Visibility = Literal["hidden", "after_due_date", "after_published", "visible"]

# What grading needs, and nothing that a course writes while it is taught.
PACKAGES = ("autograder", "pset4")
SUFFIXES = frozenset({".py", ".ipynb", ".md", ".toml", ".json", ".css", ".js", ".j2", ".lua", ".typ"})
FILES = ("pset4.toml", "pyproject.toml", "constraints.txt", "README.md", "LICENSE")

SETUP = """#!/bin/sh
# Gradescope runs this once, as root, when the machine's image is built.
set -e
cd /autograder/source
apt-get update
apt-get install -y bubblewrap libseccomp2 python3-venv
apt-get install -y python3.11 python3.11-venv || true  # where the system's own Python is older
python=$(command -v python3.11 || command -v python3)
"$python" -m venv /autograder/environment
/autograder/environment/bin/pip install --editable '.[embedded,grading]'
/autograder/environment/bin/pset4 fetch || echo "graded with the networks that come with the course"
"""
RUN = """#!/bin/sh
# Gradescope runs this for each submission.
cd /autograder/source && exec /autograder/environment/bin/python -m autograder.commands.gradescope
"""


@dataclass(frozen=True)
class Outcome:
    """What is known about one submission.

    Attributes:
        score: Points in the end.
        by_cell: Points of each graded cell, by its id; what waits for a human is missing.
        maxima: What each is worth.
        verdicts: Of each exercise that was examined.
        ungraded: Exercises that could not be judged, with the reason.
        said: Lines for the student, such as the sum for late work.
        remarks: Lines for the instructor.
    """

    score: float
    by_cell: Mapping[str, float]
    maxima: Mapping[str, float]
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    ungraded: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def results(outcome: Outcome, visibility: Visibility = "visible") -> dict[str, Any]:
    """The content of `results.json`: one test for each exercise; those that wait for a human have no score.

    Args:
        outcome: Of the submission.
        visibility: When students see the tests.
    """
    tests = [test for exercise in EXERCISES if (test := _test(exercise, outcome, visibility))]
    if outcome.remarks:
        name, said = "For the instructor", "\n".join(outcome.remarks)
        tests.append({"name": name, "output": said, "output_format": "text", "visibility": "hidden"})
    return {
        "score": outcome.score,
        "output": "\n".join(outcome.said),
        "output_format": "text",
        "visibility": "hidden" if outcome.ungraded else visibility,  # such a score is nobody's yet
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def _test(exercise: Exercise, outcome: Outcome, visibility: Visibility) -> dict[str, Any] | None:
    cell = exercise.id + TEST * (exercise.form == "code")
    most = outcome.maxima.get(cell, 0.0)
    if not most:
        return None
    test: dict[str, Any] = {"name": exercise.id, "number": f"{EXERCISES.index(exercise) + 1}", "visibility": visibility}
    test |= {"output_format": "text", "tags": ["bonus"] if exercise.bonus else []}
    if exercise.id in outcome.ungraded:
        return test | {"output": f"awaiting a human: {outcome.ungraded[exercise.id]}"}
    points = outcome.by_cell.get(cell)
    if points is None:
        return test | {"output": f"awaiting a human: {most:g} points"}
    verdict = outcome.verdicts.get(exercise.id)
    status = "passed" if points >= most else "failed"
    return test | {
        "score": points,
        "max_score": most,
        "status": status,
        "output": verdict.report() if verdict else f"{points:g} of {most:g} points",
    }


def write_autograder(target: Path, repository: Path) -> int:
    """Writes the zip that is uploaded as an assignment's autograder; it holds the exams and the answers.

    Args:
        target: Where.
        repository: The course's.

    Returns:
        How many files are in it.
    """
    files = sorted(set(_files(repository)))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, str(path.relative_to(repository)))
        for name, text in (("setup.sh", SETUP), ("run_autograder", RUN)):
            script = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            script.external_attr = (stat.S_IFREG | 0o755) << 16
            archive.writestr(script, text)
    return len(files) + 2


def _files(repository: Path) -> Iterator[Path]:
    yield from (path for name in FILES if (path := repository / name).is_file())
    yield from (path for path in (repository / "data").rglob("*") if _belongs(path))
    for package in PACKAGES:
        for path in (repository / package).iterdir():
            # a folder without __init__.py is no package: submitted/, feedback/ and the like
            kept = path.name == "source" or (path / "__init__.py").exists()
            inside = path.rglob("*") if kept else [path]
            yield from (one for one in inside if one.suffix in SUFFIXES and _belongs(one))


def _belongs(path: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts[-4:])
    return path.is_file() and not path.is_symlink() and not hidden
