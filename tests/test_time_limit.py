"""The time limit stops a student's loop wherever it is, and leaves torch as it was."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from pset4.observe import banned_calls
from pset4.time_limit import OutOfTime, time_limit

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


def the_alarm_raises(frame: FrameType) -> bool:
    """Whether a signal that interrupts this frame ends the block."""
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


@pytest.mark.parametrize("modules", [("__main__",), ("__main__", "torch.nn.functional"), ("__main__", "pset4.observe")])
def test_the_alarm_raises_in_code_that_works_for_the_student(modules: tuple[str, ...]) -> None:
    assert the_alarm_raises(frame_in(*modules))


@pytest.mark.parametrize(
    "modules",
    [
        ("__main__", "torch.overrides"),
        ("__main__", "torch.utils._python_dispatch"),
        ("__main__", "contextlib"),
        ("__main__", "torch.overrides", "pset4.observe"),
    ],
)
def test_the_alarm_waits_while_a_mode_is_between_two_places(modules: tuple[str, ...]) -> None:
    assert not the_alarm_raises(frame_in(*modules))


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
