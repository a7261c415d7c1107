"""Where in a student's code an error was raised, without the stack of ours round it, and what is still open."""

from __future__ import annotations

import re
import textwrap
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
WIDTH = 80
"""Characters in a line of a message: `nbgrader validate` cuts lines off after 83, a narrow window breaks words."""
_PACKAGE = str(Path(__file__).parent)
_LIBRARIES = str(Path(traceback.__file__).parent)


class NotAnswered(NotImplementedError):
    """An exercise is still open: its function or variable is the one that the notebook came with."""


def is_open(value: Any) -> bool:
    """Whether a variable still holds the `...` that the notebook came with, itself or as an entry of a collection."""
    if isinstance(value, Mapping):
        return any(entry is Ellipsis for entry in value.values())
    return value is Ellipsis or (isinstance(value, list | tuple) and any(entry is Ellipsis for entry in value))


def open_exercise(error: BaseException) -> str:
    """The exercise of which the released function raised this error, "" if something else did.

    Every released function ends in `raise NotImplementedError("exercise <id> is still open")`.
    """
    found = re.fullmatch(r"exercise (\w+) is still open", str(error))
    return found.group(1) if found and isinstance(error, NotImplementedError) else ""


def last_line(error: BaseException, files: Collection[str] | None = None) -> str:
    """The last line of a student's code that an error passed through: "line 3: `x = y`", or "".

    Args:
        error: The error, with its trace.
        files: Names of the files or cells that hold the code; by default all but the course's and the libraries'.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.line]
    if files is None:
        foreign = (_PACKAGE, _LIBRARIES)
        frames = [f for f in frames if not f.filename.startswith(foreign) and "site-packages" not in f.filename]
    else:
        frames = [f for f in frames if f.filename in files]
    return f"line {frames[-1].lineno}: `{frames[-1].line}`" if frames else ""


def in_short(effect: str, error: BaseException) -> str:
    """What came of an error, the line of the student's code that raised it, if one did, and what it says."""
    at, what = last_line(error), f"{type(error).__name__}: {error}"
    return f"{effect}: your code stops in {at}\n{what}" if at else f"{effect}. {what}"


class ShortTrace(Exception):
    """An error whose message says all: notebooks show it alone, since a stack through our code would hide it."""

    def _render_traceback_(self) -> list[str]:
        """IPython prints these lines instead of a stack trace."""
        paragraphs = f"{type(self).__name__}: {self}".splitlines()
        return [
            line for paragraph in paragraphs for line in textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False) or [""]
        ]


class CodeStopped(ShortTrace):
    """A student's function raised an error where it was called for a figure or a table."""


def stops_shortly(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Says in two lines where a student's code stopped that `function` calls; its own errors are raised as they are."""

    @wraps(function)
    def call(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        try:
            return function(*arguments, **options)
        except Exception as error:
            if open_exercise(error) or not last_line(error):
                raise
            raise CodeStopped(in_short(f"`{function.__name__}` shows nothing", error)) from None

    return call
