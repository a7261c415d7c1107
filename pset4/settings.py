"""The settings of the course, read from `pset4.toml`.

The file stands at the top of the repository; the wheel carries a copy inside the package. `data_folder()` finds the
small files that ship with the course in the same two ways.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
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


class SettingsError(ValueError):
    """The settings cannot be read as they are meant; the message names the file, the section and the setting."""


def load_settings(path: Path | None = None) -> Settings:
    """Reads `pset4.toml`.

    Args:
        path: Another file than the course's own.

    Raises:
        SettingsError: If the file cannot be read, or a setting is missing, is not known or is not what it must be.
    """
    path = path or settings_file()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    _refuse_unknown(path, table)
    return Settings(**{setting.field or name: _value(path, table, name) for name, setting in _SETTINGS.items()})


def _refuse_unknown(path: Path, table: Mapping[str, Any]) -> None:
    """Refuses names that nothing reads: whoever mistyped one would believe it set."""
    sections = {setting.section for setting in _SETTINGS.values()}
    for section, content in table.items():
        if section not in sections:
            raise SettingsError(f"{path}: there is no section [{section}]{_nearest(section, sections, '[{}]')}")
        if not isinstance(content, Mapping):
            raise SettingsError(f"{path}: [{section}] must be a section, not {content!r}")
        names = {name for name, setting in _SETTINGS.items() if setting.section == section}
        for name in content:
            if name not in names:
                raise SettingsError(f"{path}, [{section}]: there is no setting {name}{_nearest(name, names, '{}')}")


def _nearest(name: str, names: set[str], form: str) -> str:
    if near := get_close_matches(name, names, n=1):
        return f"; did you mean {form.format(near[0])}?"
    return f"; there is {', '.join(map(form.format, sorted(names)))}"


def _value(path: Path, table: Mapping[str, Any], name: str) -> Any:
    setting = _SETTINGS[name]
    given = table.get(setting.section, {}).get(name, setting.default)
    if given is _REQUIRED:
        raise SettingsError(f"{path}, [{setting.section}]: the setting {name} is missing; it is {setting.expected}")
    value = setting.read(given)
    if value is _REFUSED:
        raise SettingsError(f"{path}, [{setting.section}]: {name} must be {setting.expected}, not {given!r}")
    return value


_REQUIRED, _REFUSED = object(), object()
_ADDRESS = re.compile(
    r"(?:(?:https?://)?(?:www\.)?github\.com/|git@github\.com:)?([\w-]+/[\w-][\w.-]*?)(?:\.git)?/?", re.ASCII
)


def _repository(value: Any) -> Any:
    found = _ADDRESS.fullmatch(value.strip()) if isinstance(value, str) else None
    return found[1] if found else _REFUSED


def _text(value: Any) -> Any:
    return value if isinstance(value, str) and value.strip() else _REFUSED


def _word(value: Any) -> Any:
    return value if isinstance(value, str) and value.split() == [value] else _REFUSED


def _truth(value: Any) -> Any:
    return value if isinstance(value, bool) else _REFUSED


def _count(value: Any) -> Any:
    return value if type(value) is int and value >= 1 else _REFUSED


def _due(value: Any) -> Any:
    if value == "":
        return None
    try:
        due = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return _REFUSED
    return due if due.tzinfo else _REFUSED


def _tracks(value: Any) -> Any:
    fits = isinstance(value, list) and all(isinstance(track, str) and track for track in value)
    return tuple(value) if fits else _REFUSED


@dataclass(frozen=True)
class _Setting:
    """Where a setting stands, what makes its value (or `_REFUSED`), and that in words."""

    section: str
    read: Callable[[Any], Any]
    expected: str
    default: Any = _REQUIRED
    field: str = ""


_TRUTH, _COUNT = "true or false, without quotes", "a positive integer"
_SETTINGS = {
    "repository": _Setting("course", _repository, '"owner/name" of a repository on GitHub'),
    "branch": _Setting("course", _word, 'the name of a branch, such as "main"'),
    "ai_on_colab": _Setting("course", _truth, _TRUTH, False),
    "name": _Setting("course", _text, 'a text, such as "PSet 4"', "PSet 4", field="course_name"),
    "due": _Setting(
        "course", _due, 'a date and time with its time zone, such as "2026-10-01T23:59:00-04:00", or ""', ""
    ),
    "tracks": _Setting("course", _tracks, 'a list of names, such as ["6.819", "6.869"]', []),
    "n_iter": _Setting("attack", _count, _COUNT),
    "n_iter_while_grading": _Setting("attack", _count, _COUNT),
    "two_processes": _Setting("grading", _truth, _TRUTH, True),
    "unsafe_no_sandbox": _Setting("grading", _truth, _TRUTH, False),
}


def is_grading() -> bool:
    """Whether nbgrader is executing this notebook (it sets `NBGRADER_EXECUTION` for the kernels that it starts)."""
    return os.environ.get("NBGRADER_EXECUTION") in {"autograde", "validate"}


def n_iter() -> int:
    """Iterations that the notebooks use for every attack: fewer while grading (`pset4.toml`, section `attack`)."""
    settings = load_settings()
    return settings.n_iter_while_grading if is_grading() else settings.n_iter
