"""Visible checks: run one after answering, and it says in one line that all is good, or what is wrong."""

from pset4.checks.failure import CheckFailed

__all__ = ["CheckFailed"]
