"""Addresses on GitHub. The students' repository is named by `pset4.toml` alone; `origin` is only held against it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

UNKNOWN = "OWNER/"
"""How the address begins that `pset4.toml` comes with."""
_GITHUB = re.compile(
    r"(?:https://(?:[^@/\s]+@)?|ssh://git@|git@)github\.com[/:](?P<repository>[\w.-]+/[\w.-]+?)(?:\.git)?/?"
)


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
