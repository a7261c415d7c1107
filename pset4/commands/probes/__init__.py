"""What the doctor looks at. A probe is a function that yields lines; each trouble names its remedy."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

NOTE, TROUBLE, STOP = "note", "trouble", "stop"


@dataclass(frozen=True)
class Line:
    """One line of the doctor's report.

    Attributes:
        text: What was found.
        remedy: The command to type, or the button to click, where that is a trouble.
        weight: "note" for what may well be meant, "trouble" for what should be mended, "stop" for what the notebooks
            cannot run with.
    """

    text: str
    remedy: str | None = None
    weight: str = TROUBLE


def pip_install(what: str) -> str:
    """The command that installs into the environment that the doctor runs in, whatever `pip` means in the terminal."""
    return f"{_pip()} install {what}"


def pip_cache_purge() -> str:
    """The command that frees what pip keeps of earlier downloads: gigabytes, where torch is among them."""
    return f"{_pip()} cache purge"


def _pip() -> str:
    found = shutil.which("pip")
    is_ours = found is not None and Path(found).parent == Path(sys.executable).parent
    return "pip" if is_ours else f'"{sys.executable}" -m pip'


def install_course() -> str:
    """The command that installs the course's package again, from its folder or from where it is published."""
    from pset4.settings import PACKAGE, load_settings

    if (PACKAGE.parent / "pyproject.toml").is_file():
        return pip_install(f'-e "{PACKAGE.parent}[embedded,lab]"')
    settings = load_settings()
    address = f"git+https://github.com/{settings.repository}@{settings.branch}"
    return pip_install(f'--force-reinstall --no-deps "pset4 @ {address}"')


def set_variable(name: str, value: object) -> str:
    """The command that sets an environment variable, for this terminal and what is started in it."""
    return f"set {name}={value}" if os.name == "nt" else f"export {name}={shlex.quote(str(value))}"


def unset_variable(name: str) -> str:
    """The command that removes an environment variable."""
    return f"set {name}=" if os.name == "nt" else f"unset {name}"


def first_line(error: BaseException) -> str:
    """What an error says, without what follows below."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
