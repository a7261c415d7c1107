"""A time limit for a block of code that may never end by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, process_time
from types import FrameType

# Between two of their lines, these modules hold half a change: a mode that is taken off torch's stack and not yet put
# back, a gradient switch, the timer itself. An exception there would leave it at that.
_BOOKKEEPING = frozenset(
    {
        __name__,
        "contextlib",
        "torch.autograd.grad_mode",
        "torch.overrides",
        "torch.utils._contextlib",
        "torch.utils._python_dispatch",
    }
)
_OBSERVER = "pset4.checks.calling.observe"
# The alarm comes again and again: one that fell into bookkeeping, or into a bare `except:`, only delays the end.
_TICK_SECONDS = 0.05
_LONGEST_SECONDS = 0.3


class OutOfTime(BaseException):
    """Raised inside the block; no `except Exception` in the block catches it."""


class Stopwatch:
    """Seconds in which this process was running, or waited by its own wish.

    Between two looks that lie close together, all time counts: so it is while Python runs or sleeps, since the alarm
    looks at every tick. A longer gap is either one long call into C code, which uses the processor, or a pause of the
    process or its machine (`kill -STOP`, a virtual machine that is paused), which does not. Of such a gap counts what
    the processor worked, and a little in any case.

    Args:
        wall: Where seconds come from.
        processor: Seconds that this process has used.
    """

    def __init__(self, wall: Callable[[], float] = monotonic, processor: Callable[[], float] = process_time) -> None:
        self._wall, self._processor = wall, processor
        self._seen, self._worked = wall(), processor()
        self._spent = 0.0

    def look(self) -> float:
        """Seconds so far."""
        seen, worked = self._wall(), self._processor()
        gap, work = seen - self._seen, worked - self._worked
        self._spent += min(gap, max(work, _LONGEST_SECONDS))
        self._seen, self._worked = seen, worked
        return self._spent


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` inside the block when the time is up, or at its end if the block caught that.

    It needs a Unix process and its main thread; elsewhere there is no limit. A single long call into C code is
    stopped when that call returns. Time in which the process or its machine was paused does not count.

    Args:
        seconds: Time on a `Stopwatch`.

    Raises:
        OutOfTime: The block took longer.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    expired = False
    watch = Stopwatch()

    def tick(_number: int, frame: FrameType | None) -> None:
        nonlocal expired
        expired = expired or watch.look() >= seconds
        if expired and not _keeps_books(frame):
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, _TICK_SECONDS), _TICK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if expired:
            raise OutOfTime


def _keeps_books(frame: FrameType | None) -> bool:
    """Whether an exception that is raised in this frame could leave half a change behind."""
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module != _OBSERVER:
            return module in _BOOKKEEPING
        frame = frame.f_back  # a profile hook runs on behalf of the code that it watches, and raises into it
    return False
