"""The settings of the course, read from `pset4.toml`.

The file stands at the top of the repository; the wheel carries a copy inside the package. `data_folder()` finds the
small files that ship with the course in the same two ways.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Settings:
    """What an instructor may change.

    Attributes:
        repository: `owner/name` of the students' repository on GitHub.
        branch: Its branch that Colab opens.
        ai_on_colab: Whether the released notebooks leave Colab's AI suggestions on.
        n_iter: Iterations of every attack in the notebooks.
        n_iter_while_grading: The same while nbgrader executes a submission.
        two_processes: Whether submissions are graded by the course's own engine instead of nbgrader's kernel.
        unsafe_no_sandbox: Whether that engine may do without its sandbox.
        course_name: What stands on the report that students hand in.
        due: When the assignment is due, with its time zone; None where no date is set.
        tracks: The courses that a student may take it as; the report names one of them.
    """

    repository: str
    branch: str
    ai_on_colab: bool
    n_iter: int
    n_iter_while_grading: int
    two_processes: bool
    unsafe_no_sandbox: bool
    course_name: str
    due: datetime | None
    tracks: tuple[str, ...]


def _beside_or_inside(name: str) -> Path:
    """Path of a file that the wheel carries inside the package and a checkout keeps beside it."""
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name


def data_folder() -> Path:
    """Folder `data/` with the manifest and the weights that ship with the course."""
    return _beside_or_inside("data")


def settings_file() -> Path:
    """The file `pset4.toml` that this package reads."""
    return _beside_or_inside("pset4.toml")


def load_settings(path: Path | None = None) -> Settings:
    """Reads `pset4.toml`.

    Args:
        path: Another file than the course's own.

    Raises:
        ValueError: If a setting is missing, or an iteration count is not a positive integer.
    """
    path = path or settings_file()
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    grading = table.get("grading", {})
    try:
        settings = Settings(
            repository=table["course"]["repository"],
            branch=table["course"]["branch"],
            ai_on_colab=table["course"].get("ai_on_colab", False),
            n_iter=table["attack"]["n_iter"],
            n_iter_while_grading=table["attack"]["n_iter_while_grading"],
            two_processes=grading.get("two_processes", True),
            unsafe_no_sandbox=grading.get("unsafe_no_sandbox", False),
            course_name=_text(path, table["course"], "name", "PSet 4"),
            due=_due(path, table["course"].get("due", "")),
            tracks=_tracks(path, table["course"].get("tracks", [])),
        )
    except KeyError as missing:
        raise ValueError(f"{path} has no setting {missing}; the file that came with the course has it") from None
    for name in ("n_iter", "n_iter_while_grading"):
        value = getattr(settings, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{path}: {name} must be a positive integer, not {value!r}")
    return settings


def _text(path: Path, section: Mapping[str, Any], name: str, default: str) -> str:
    value = section.get(name, default)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{path}: {name} must be a text, not {value!r}")
    return value


def _due(path: Path, value: Any) -> datetime | None:
    if value == "":
        return None
    try:
        due = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        due = None
    if due is None or due.tzinfo is None:
        example = "2026-10-01T23:59:00-04:00"
        raise ValueError(f'{path}: due must be a date and time with its time zone ("{example}"), or "", not {value!r}')
    return due


def _tracks(path: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(track, str) and track for track in value):
        raise ValueError(f'{path}: tracks must be a list of names, such as ["6.819", "6.869"], not {value!r}')
    return tuple(value)


def is_grading() -> bool:
    """Whether nbgrader is executing this notebook (it sets `NBGRADER_EXECUTION` for the kernels that it starts)."""
    return os.environ.get("NBGRADER_EXECUTION") in {"autograde", "validate"}


def n_iter() -> int:
    """Iterations that the notebooks use for every attack: fewer while grading (`pset4.toml`, section `attack`)."""
    settings = load_settings()
    return settings.n_iter_while_grading if is_grading() else settings.n_iter
