"""The time limit stops a student's loop wherever it is, and leaves torch as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from pset4.checks.calling.observe import banned_calls
from pset4.checks.calling.time_limit import OutOfTime, Stopwatch, time_limit

LONG = 60.0


def frame_in(*modules: str) -> FrameType:
    """A frame of the last module, called by one of the module before it, and so on."""
    call: Any = sys._getframe
    for module in reversed(modules):
        namespace = {"__name__": module, "call": call}
        exec("def step(): return call()", namespace)
        call = namespace["step"]
    frame: FrameType = call()
    return frame


def modes() -> tuple[int, int]:
    """How many function modes and dispatch modes torch has."""
    return len(_get_current_function_mode_stack()), len(_get_current_dispatch_mode_stack())


def the_alarm_raises(frame: FrameType, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a signal that interrupts this frame ends the block, once its time is up."""
    monkeypatch.setattr(Stopwatch, "look", lambda _watch: 2 * LONG)
    with pytest.raises(OutOfTime), time_limit(LONG):
        stop = signal.getsignal(signal.SIGALRM)
        assert callable(stop)
        try:
            stop(signal.SIGALRM, frame)
        except OutOfTime:
            raised = True
        else:
            raised = False
    return raised


def test_a_loop_is_stopped():
    with pytest.raises(OutOfTime), time_limit(0.05):
        while True:
            pass


def test_a_block_in_time_is_let_alone():
    with time_limit(LONG):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(
    "modules", [("__main__",), ("__main__", "torch.nn.functional"), ("__main__", "pset4.checks.calling.observe")]
)
def test_the_alarm_raises_in_code_that_works_for_the_student(
    modules: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert the_alarm_raises(frame_in(*modules), monkeypatch)


@pytest.mark.parametrize(
    "modules",
    [
        ("__main__", "torch.overrides"),
        ("__main__", "torch.utils._python_dispatch"),
        ("__main__", "contextlib"),
        ("__main__", "torch.overrides", "pset4.checks.calling.observe"),
    ],
)
def test_the_alarm_waits_while_a_mode_is_between_two_places(
    modules: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not the_alarm_raises(frame_in(*modules), monkeypatch)


@pytest.mark.parametrize("swallowed", [OutOfTime, BaseException])
def test_a_block_that_catches_the_end_ends_so_all_the_same(swallowed: type[BaseException]) -> None:
    with pytest.raises(OutOfTime), time_limit(0.05), suppress(swallowed):
        time.sleep(LONG)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("thorough", [False, True])
def test_torch_has_the_modes_that_it_had_before(thorough: bool) -> None:
    """The alarm comes at 100 moments of a loop through functions that take modes off and put them back."""
    x = torch.ones(1, 1, 3, 2)
    before = modes()
    for i in range(100):
        with banned_calls(thorough=thorough):
            inside = modes()
            with pytest.raises(OutOfTime), time_limit(0.002 + 1e-5 * i):
                while True:
                    F.pad(x, (1, 1))
                    F.softmax(x, -1)
            assert modes() == inside
    assert modes() == before


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.wall = self.worked = 0.0

    def stopwatch(self) -> Stopwatch:
        return Stopwatch(lambda: self.wall, lambda: self.worked)

    def move(self, wall: float, worked: float = 0.0) -> None:
        self.wall += wall
        self.worked += worked


def spent(*gaps: tuple[float, float]) -> float:
    """What a stopwatch shows after gaps of so much time, with so much work of the processor in each."""
    hands = Hands()
    watch = hands.stopwatch()
    shown = 0.0
    for gap in gaps:
        hands.move(*gap)
        shown = watch.look()
    return shown


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([(0.05, 0.05)] * 40, 2.0),  # a loop
        ([(0.05, 0.0)] * 2000, 100.0),  # a sleep, through which the alarm ticks
        ([(3.0, 3.0)], 3.0),  # one long product of matrices
        ([(3.0, 11.0)], 3.0),  # the same in four threads
        ([(0.05, 0.05), (3600.0, 0.0), (0.05, 0.05)], 0.4),  # a pause of an hour
        ([(603.0, 3.0)], 3.0),  # a pause of ten minutes within that product
        ([(10.0, 0.0)] * 20, 6.0),  # always a little
    ],
)
def test_pauses_of_the_machine_do_not_count(gaps: list[tuple[float, float]], expected: float) -> None:
    assert spent(*gaps) == pytest.approx(expected)


def test_a_sleep_counts_though_it_uses_no_processor() -> None:
    with pytest.raises(OutOfTime), time_limit(0.3):
        time.sleep(LONG)


def test_a_long_call_into_c_counts() -> None:
    with pytest.raises(OutOfTime), time_limit(0.05):
        sum(range(10**8))


FORGERIES: dict[str, Callable[[], float]] = {"standing": lambda: 0.0, "running backwards": lambda: -time.monotonic()}


@pytest.mark.parametrize("name", FORGERIES)
def test_clocks_that_a_student_replaces_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = time.sleep
    for clock in ("time", "monotonic", "perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, FORGERIES[name])
    with pytest.raises(OutOfTime), time_limit(0.1):
        original(LONG)


PAUSED = """
import sys, time
from pset4.checks.calling.time_limit import OutOfTime, time_limit
try:
    with time_limit(1.0):
        for line in sys.stdin:
            print(line, end="", flush=True)
    print("in time")
except OutOfTime:
    print("late")
"""


def test_a_process_that_is_stopped_and_continued_is_not_late() -> None:
    """It is stopped for more than its limit, seen by a second process that sleeps meanwhile."""
    child = subprocess.Popen([sys.executable, "-c", PAUSED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    with child, child.stdin, child.stdout:
        child.stdin.write("begun\n")
        child.stdin.flush()
        assert child.stdout.readline() == "begun\n"
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        subprocess.run(["sleep", "2"], check=True)
        os.kill(child.pid, signal.SIGCONT)
        child.stdin.close()
        assert child.stdout.read() == "in time\n"
