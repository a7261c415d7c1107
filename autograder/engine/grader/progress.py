"""How far a grading run is, and why it ended: in nbgrader's log, or on a bar in the terminal."""

from __future__ import annotations

import logging
from types import TracebackType

from nbgrader.converters import NbGraderException
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

INTERRUPTED = 130
"""The exit status after Ctrl-C."""
GO_ON = ("Interrupted: every grade that was stored stands", "Run the same command again to go on")


class LogLines:
    """What `nbgrader autograde` shows: a line a submission.

    Args:
        log: nbgrader's log.
    """

    def __init__(self, log: logging.Logger) -> None:
        self.log = log

    def __enter__(self) -> LogLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The reason why a run ends early is in the log already."""

    def begin(self, notebooks: int) -> None:
        """Says how many notebooks there are."""

    def submission(self, student: str) -> None:
        """Says whose submission is graded now."""
        self.log.info("Grading %s", student)

    def say(self, student: str, notebook: str, words: str) -> None:
        """Says what is being done, and to which notebook, if to one."""
        self.log.debug("%s, %s: %s", student, notebook, words)

    def advance(self, notebooks: int) -> None:
        """So many notebooks more are done."""


class ProgressBar(LogLines):
    """What `autograder grade` shows: a bar while it runs, and at the end why somebody has no grade."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__(log)
        columns = (SpinnerColumn(), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("{task.description}"), console=Console(), transient=True)
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> LogLines:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Prints the reason why a run ended early."""
        self._bar.stop()
        if isinstance(error, NbGraderException):
            self._bar.console.print(str(error), markup=False, soft_wrap=True)
        elif isinstance(error, SystemExit):
            self._bar.console.print("\n".join(GO_ON))

    def begin(self, notebooks: int) -> None:
        """Says how many notebooks there are."""
        self._bar.update(self._task, total=notebooks)

    def say(self, student: str, notebook: str, words: str) -> None:
        """Says what is being done, and to which notebook, if to one."""
        place = f"{student}, {notebook}: " if student else ""
        self._bar.update(self._task, description=escape(place + words))

    def advance(self, notebooks: int) -> None:
        """So many notebooks more are done."""
        self._bar.advance(self._task, notebooks)
