"""Runs nbgrader's own commands over a course, one after the other, as an instructor types them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from autograder.course.agreement import refuse_disagreements
from autograder.course.folders import ASSIGNMENT, COURSE, SOURCE
from autograder.course.release import environment


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

    def nbgrader(self, *arguments: str) -> int:
        """Runs an nbgrader command and returns its exit status; 1 means that some submissions failed.

        What nbgrader prints is appended to `nbgrader.log` in the course's root.

        Args:
            *arguments: The command and its options.
        """
        options = [f"--CourseDirectory.root={self.root}", f"--CourseDirectory.source_directory={COURSE / 'source'}"]
        command = [sys.executable, "-m", "nbgrader", *arguments, *options]
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "nbgrader.log").open("a", encoding="utf-8") as log:
            running = subprocess.Popen(command, cwd=COURSE, env=environment(), stdout=log, stderr=log)
            try:
                return running.wait()
            except KeyboardInterrupt:
                # Ctrl-C reaches the command, too: it ends in good order, by itself.
                return running.wait()

    def release(self) -> None:
        """`nbgrader generate_assignment`.

        Raises:
            Disagreement: If a source notebook, the exams and the contract do not agree.
            RuntimeError: If nbgrader refuses a source notebook.
        """
        refuse_disagreements(SOURCE)
        if self.nbgrader("generate_assignment", ASSIGNMENT, "--force"):
            raise RuntimeError(f"nbgrader generate_assignment failed; its log is {self.root / 'nbgrader.log'}")

    def autograde(self, *options: str) -> int:
        """`nbgrader autograde`; submissions that cannot be graded leave exit status 1 and do not stop the others."""
        return self.nbgrader("autograde", ASSIGNMENT, *options)

    def feedback(self) -> int:
        """`nbgrader generate_feedback`."""
        return self.nbgrader("generate_feedback", ASSIGNMENT)
