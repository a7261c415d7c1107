"""Addresses on GitHub: where students find the course, which the released notebooks' badge and installation name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from autograder.course.folders import REPOSITORY
from pset4.settings import Settings

UNKNOWN = "OWNER/"
"""How the address begins that `pset4.toml` comes with."""
_GITHUB = re.compile(
    r"(?:https://(?:[^@/\s]+@)?|ssh://git@|git@)github\.com[/:](?P<repository>[\w.-]+/[\w.-]+?)(?:\.git)?/?"
)


def course_repository(settings: Settings, checkout: Path = REPOSITORY) -> str:
    """The course's `owner/name`: from the settings, else from the checkout's `origin`, else as the settings have it.

    `origin` serves a course that is tried out as it is; `publish` wants the students' repository in the settings.

    Args:
        settings: Of `pset4.toml`.
        checkout: A folder of the repository.
    """
    if not settings.repository.startswith(UNKNOWN):
        return settings.repository
    return on_github(origin(checkout)) or settings.repository


def on_github(address: str) -> str:
    """`owner/name` of a remote's address, without what gives access; "" where it is not on GitHub."""
    found = _GITHUB.fullmatch(address.strip())
    return found["repository"] if found else ""


def origin(checkout: Path) -> str:
    """The address that a repository is pushed to; "" where there is none."""
    command = ["git", "-C", str(checkout), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ""  # no git, no repository, or no origin
