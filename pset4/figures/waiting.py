"""What given cells do while an exercise that they need is open: they say so in one line, and the notebook runs on.

What a student's own mistake raises is raised as ever.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Collection
from types import FrameType, TracebackType

from pset4.traces import is_open, open_exercise


def open_names(frame: FrameType) -> list[str]:
    """The variables that the code of a frame uses and that still hold the `...` they were released with."""
    return [name for name in dict.fromkeys(frame.f_code.co_names) if is_open(frame.f_globals.get(name))]


def what_is_open(error: BaseException, names: Collection[str] = ()) -> str:
    """The open exercise, or the open variables, that an error comes from; "" if it is a mistake.

    Args:
        error: What was raised.
        names: Variables that the failed code uses and that are still open.
    """
    if exercise := open_exercise(error):
        function = traceback.extract_tb(error.__traceback__)[-1].name
        return f"`{function}` (exercise {exercise})"
    return " and ".join(f"`{name}`" for name in names)


def when_answered() -> WhenAnswered:
    """Runs the block of a `with` if its exercises are answered, else says in one line what it waits for.

    Example:
        >>> with when_answered():
        ...     raise NotImplementedError("exercise p1a_conv1d is still open")
        This waits for `<module>` (exercise p1a_conv1d).
    """
    return WhenAnswered(sys._getframe(1))


class WhenAnswered:
    """The context manager that `when_answered` returns."""

    def __init__(self, frame: FrameType) -> None:
        """Keeps the frame of the cell, whose variables tell what is open."""
        self._frame = frame

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Says what the block waits for, if that is why it failed."""
        if not isinstance(error, Exception):
            return False
        waiting = what_is_open(error, open_names(self._frame)) or _unset(error, trace)
        if waiting:
            print(f"This waits for {waiting}.")
        return bool(waiting)


def _unset(error: Exception, trace: TracebackType | None) -> str:
    """The variable that a block above has not set; a name that a student's code misses is none."""
    in_the_cell = trace is not None and trace.tb_next is None
    return f"`{error.name}`, which a cell above sets" if isinstance(error, NameError) and in_the_cell else ""
