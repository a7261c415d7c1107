"""A clock that counts only the time in which the grader itself was running, and waiting by it."""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Callable, Sequence

SLICE = 0.1
LONGEST = 0.5


class Clock:
    """Seconds in which somebody could look at this clock; threads may share it.

    Whoever waits looks again after `SLICE` seconds. A much longer gap between two looks means that nobody could: the
    grader was stopped (Ctrl-Z, `kill -STOP`), its machine was paused, or it was busy with work of its own. None of this
    is a student's time, so that of a gap only `LONGEST` counts. So much always counts: a busy machine, or a student who
    keeps us busy, slows this clock and never makes it stand still.

    It begins at its source's time and never runs ahead of it.

    Args:
        source: Where seconds come from.
    """

    def __init__(self, source: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._seen = self._now = source()

    def now(self) -> float:
        """The time. It is this look that counts: whichever thread sees a gap first, it is shortened once."""
        with self._lock:
            seen = self._source()
            self._now += min(seen - self._seen, LONGEST)
            self._seen = seen
            return self._now

    def wait(self, descriptors: Sequence[int], until: float | None, *, writing: bool = False) -> list[int]:
        """Waits until a descriptor is ready, or closed by the other side; looks at least once, however late it is.

        Args:
            descriptors: What is waited for.
            until: The latest time, on this clock; None waits for ever.
            writing: Ready to be written to, not to be read.

        Returns:
            Those that are ready; none if the time came first.
        """
        if until is None:
            return poll(descriptors, None, writing=writing)
        while True:
            left = max(0.0, until - self.now())
            ready = poll(descriptors, min(left, SLICE), writing=writing)
            if ready or not left:
                return ready


def poll(descriptors: Sequence[int], seconds: float | None, *, writing: bool = False) -> list[int]:
    """The descriptors that are ready within some seconds. `select` would refuse numbers from 1024 on."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLOUT if writing else select.POLLIN)
    return [number for number, _ in poller.poll(None if seconds is None else math.ceil(1000 * seconds))]
