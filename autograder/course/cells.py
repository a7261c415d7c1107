"""What nbgrader's marks, and the engine's, say of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHECK, TEST = "_check", "_test"
"""Endings of the ids of an exercise's visible check and of its hidden test."""


def marks(cell: Mapping[str, Any]) -> dict[str, Any]:
    """nbgrader's marks on a cell; empty where it has none."""
    found: dict[str, Any] = cell.get("metadata", {}).get("nbgrader", {})
    return found


def grade_id(cell: Mapping[str, Any]) -> str:
    """The cell's nbgrader id, or ""."""
    return str(marks(cell).get("grade_id", ""))


def exercise_of(cell: Mapping[str, Any]) -> str:
    """The exercise that a hidden test cell examines, or "" for every other cell."""
    name = grade_id(cell)
    return name.removesuffix(TEST) if cell["cell_type"] == "code" and judges(cell) and name.endswith(TEST) else ""


def judges(cell: Mapping[str, Any]) -> bool:
    """Whether a cell is a check or a test."""
    return bool(marks(cell).get("grade")) and not marks(cell).get("solution")


def is_written(cell: Mapping[str, Any]) -> bool:
    """Whether a cell is an answer in words, which a human grades."""
    return bool(marks(cell).get("grade") and marks(cell).get("solution"))


def is_students(cell: Mapping[str, Any]) -> bool:
    """Whether a cell is the student's own, or the place of an answer, even where none was given."""
    return bool(marks(cell).get("solution")) or cell.get("metadata", {}).get("pset4", {}).get("origin") == "student"


def cell_name(notebook: Mapping[str, Any], place: int) -> str:
    """How a cell is called in remarks: by its id, or by its number counting from 1."""
    return grade_id(notebook["cells"][place]) or f"number {place + 1}"


def points_of(cell: Mapping[str, Any]) -> float:
    """What a cell is worth."""
    return float(marks(cell).get("points", 0))
