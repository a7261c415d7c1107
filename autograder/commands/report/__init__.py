"""`autograder report`: what an instructor wants to know of a graded class, on one page that stands alone."""

from autograder.commands.report.command import report

__all__ = ["report"]
