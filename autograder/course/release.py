"""Makes the students' `notebooks/` from `autograder/source/`, with nbgrader's own `generate_assignment`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from autograder.course.agreement import refuse_disagreements
from autograder.course.folders import ASSIGNMENT, COURSE, NOTEBOOKS, SOURCE


def environment() -> dict[str, str]:
    """This process's environment with this Python's folder first: nbgrader starts `alembic` by its name alone."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def nbgrader(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs an nbgrader command in the course folder, as an instructor would."""
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(command, cwd=COURSE, env=environment(), text=True, capture_output=True, check=False)


def generate(into: Path) -> list[Path]:
    """Writes the released notebooks into a folder.

    Args:
        into: The folder; notebooks of the same name are replaced.

    Returns:
        The files that were written.

    Raises:
        Disagreement: If a source notebook, the exams and the contract do not agree.
        RuntimeError: If nbgrader refuses a source notebook; its own words are in the message.
    """
    refuse_disagreements(SOURCE)
    with tempfile.TemporaryDirectory() as folder:
        done = nbgrader(
            "generate_assignment", ASSIGNMENT, "--no-db", "--force", f"--CourseDirectory.release_directory={folder}"
        )
        if done.returncode:
            raise RuntimeError(f"nbgrader generate_assignment failed:\n{done.stderr[-4000:]}")
        into.mkdir(parents=True, exist_ok=True)
        released = sorted(Path(folder, ASSIGNMENT).glob("*.ipynb"))
        return [Path(shutil.copy(notebook, into / notebook.name)) for notebook in released]


def stale(against: Path = NOTEBOOKS) -> list[str]:
    """Names of the released notebooks that no longer agree with their source."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = {path.name: path.read_bytes() for path in generate(Path(folder))}
    there = {path.name: path.read_bytes() for path in against.glob("*.ipynb")}
    return sorted(name for name in fresh.keys() | there.keys() if fresh.get(name) != there.get(name))
