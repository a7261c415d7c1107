"""Runs nbgrader's own commands over a course, one after the other, as an instructor types them."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from nbgrader.apps.nbgraderapp import NbGraderApp
from sqlalchemy.exc import SAWarning

from autograder.course.agreement import refuse_disagreements
from autograder.course.environment import environment
from autograder.course.folders import ASSIGNMENT, COURSE, SOURCE
from autograder.engine.grader.converter import HumanNeeded

NEEDS_A_HUMAN = 3
MAX_LOG_SHOWN = 4_000


@dataclass(frozen=True)
class Course:
    """An nbgrader course with this course's configuration and source notebooks.

    Attributes:
        root: Where its database, submissions and results stand. By default that is `autograder/` itself; the sample
            class has a folder of its own, so that it never mixes with a real class.
    """

    root: Path = COURSE

    @property
    def submitted(self) -> Path:
        """Folder of the submissions."""
        return self.root / "submitted"

    @property
    def released(self) -> Path:
        """Folder of the released notebooks."""
        return self.root / "release" / ASSIGNMENT

    @property
    def log(self) -> Path:
        """File to which nbgrader's log is appended."""
        return self.root / "nbgrader.log"

    def nbgrader(self, command: str, *arguments: str) -> int:
        """Runs an nbgrader command in this process, as if typed in `autograder/`; what it logs goes to `log` alone.

        Args:
            command: Its name.
            *arguments: Its arguments and options.

        Returns:
            Its exit status; in the place of nbgrader's 1, 3 where everybody is graded as far as this machine can, and
            somebody waits for a human.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        options = [
            f"--CourseDirectory.root={self.root.resolve()}",
            f"--CourseDirectory.source_directory={COURSE / 'source'}",
            f"--NbGrader.logfile={self.log.resolve()}",
        ]
        # nbgrader starts `alembic` by its name alone; it stands beside this Python.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        app = NbGraderApp()
        with environment({"PATH": path}), contextlib.chdir(COURSE), warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's own way with its database; nobody can act on it
            try:
                app.initialize([command, *options, *arguments])
                app.subapp.log.handlers[0].setLevel(logging.CRITICAL + 1)  # the terminal
                app.subapp.start()
            except SystemExit as ended:
                # nbgrader's commands make status 1 of whatever their converter raises.
                return NEEDS_A_HUMAN if isinstance(ended.__context__, HumanNeeded) else int(ended.code or 0)
            finally:
                app.reset()
        return 0

    def release(self) -> None:
        """`nbgrader generate_assignment`.

        Raises:
            Disagreement: If a source notebook, the exams and the contract do not agree.
            RuntimeError: If nbgrader refuses a source notebook; its own words are in the message.
        """
        refuse_disagreements(SOURCE)
        if self.nbgrader("generate_assignment", ASSIGNMENT, "--force"):
            said = self.log.read_text(encoding="utf-8")[-MAX_LOG_SHOWN:]
            raise RuntimeError(f"nbgrader generate_assignment failed:\n{said}")

    def autograde(self, *options: str) -> int:
        """`nbgrader autograde`: 0 if everybody is graded, 3 if somebody needs a human, 1 if grading refused."""
        return self.nbgrader("autograde", ASSIGNMENT, *options)

    def feedback(self) -> int:
        """`nbgrader generate_feedback`."""
        return self.nbgrader("generate_feedback", ASSIGNMENT)


def release_into(folder: Path) -> list[Path]:
    """Writes the students' notebooks, made from `autograder/source/`, into a folder.

    Args:
        folder: Notebooks of the same name are replaced there.

    Returns:
        The files that were written.

    Raises:
        Disagreement: If a source notebook, the exams and the contract do not agree.
        RuntimeError: If nbgrader refuses a source notebook; its own words are in the message.
    """
    with tempfile.TemporaryDirectory() as root:
        course = Course(Path(root))
        course.release()
        folder.mkdir(parents=True, exist_ok=True)
        released = sorted(course.released.glob("*.ipynb"))
        return [Path(shutil.copy(notebook, folder / notebook.name)) for notebook in released]
