"""A time limit for a block of code that may never end by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
_OBSERVER = "pset4.observe"
_AGAIN_SECONDS = 0.05


class OutOfTime(BaseException):
    """Raised inside the block; no `except Exception` in the block catches it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` inside the block when the time is up, or at its end if the block caught that.

    It needs a Unix process and its main thread; elsewhere there is no limit. A single long call into C code is
    stopped when that call returns.

    Args:
        seconds: Wall-clock time.

    Raises:
        OutOfTime: The block took longer.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    expired = False

    def stop(_number: int, frame: FrameType | None) -> None:
        nonlocal expired
        expired = True
        if not _keeps_books(frame):
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    # The signal comes again and again: one that fell into bookkeeping, or into a bare `except:`, only delays the end.
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
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
