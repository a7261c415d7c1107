"""Where the course's own files lie."""

from __future__ import annotations

from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]
"""The folder that nbgrader's commands are started from."""

REPOSITORY = COURSE.parent
RELEASED = REPOSITORY / "notebooks"
"""What students open; made from the source notebooks."""

ASSIGNMENT = "pset4"
SOURCE = COURSE / "source" / ASSIGNMENT
