"""How the visible checks of problem 4 try an attack: a few calls on small networks, and a look at what came back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import pset4.checks.calling.small_networks  # noqa: F401  (registers the networks)
from pset4.checks.calling import specs
from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, RecordingStep, StepSpec
from pset4.checks.calling.time_limit import OutOfTime, time_limit
from pset4.checks.failure import CheckFailed
from pset4.checks.functions import SECONDS, one_thread
from pset4.checks.judging import trials
from pset4.checks.judging.trials import Trial
from pset4.checks.misconceptions.signs import read_trials


@dataclass(frozen=True)
class Call:
    """What came of one call of a student's attack."""

    value: Any = None
    error: str = ""
    message: str = ""
    arguments_after: tuple[Any, ...] = ()
    steps: int = 0
    first_direction: Any = None
    requires_grad: bool = False
    same_object: bool = False


@dataclass
class Tries:
    """The calls of one student's function.

    Attributes:
        exercise: Its id.
        function: Name of the student's function.
        student: The function.
        goal_first: Whether the goal stands before x among the arguments.
        has_goal: Whether there is a goal at all.
        kept: What came of them.
    """

    exercise: str
    function: str
    student: Callable[..., Any]
    goal_first: bool = False
    has_goal: bool = True
    kept: dict[str, Trial] = field(default_factory=dict)

    def __call__(
        self, label: str, spec: NetworkSpec | FeaturesSpec, x: Tensor, goal: Any, step: StepSpec, n_iter: int
    ) -> None:
        """One call."""
        pair = [goal] if self.has_goal else []
        arguments = [spec, *((*pair, x) if self.goal_first else (x, *pair)), step, n_iter]
        position = 2 if self.goal_first else 1
        self.kept[label] = Trial(spec, x, goal, step, n_iter, call(self.student, arguments), position)

    def demand(self, judge: Callable[[Trial], str], labels: Sequence[str], where: str) -> None:
        """Raises with a diagnosis if a labelled trial is wrong.

        Raises:
            CheckFailed: With the misconception that the trials show, or else with what the judge says.
        """
        for label in labels:
            if reason := judge(self.kept[label]):
                sign = read_trials(self.exercise, self.kept)
                found = f"{where}: {reason}." if reason else ""
                text = f"{sign.explanation}\n{found}" if sign else f"Something is wrong with `{self.function}`. {found}"
                raise CheckFailed(text, misconception=sign.name if sign else "")

    def demand_usual(self) -> None:
        """What every attack keeps: it moves by the step, counts, and leaves its arguments alone."""
        stepping = [label for label, trial in self.kept.items() if trial.allowed > 0]
        self.demand(trials.moves_otherwise, stepping, "On a small network")
        self.demand(trials.leaves_budget, stepping, "On a small network")
        self.demand(trials.too_many_steps, list(self.kept), "On a small network")
        self.demand(trials.not_a_copy, ["copy"], "On a small network")
        self.demand(trials.changed_input, list(self.kept), "On a small network")
        self.demand(trials.wrong_form, list(self.kept), "On a small network")


def call(student: Callable[..., Any], arguments: Sequence[Any]) -> Call:
    """Calls a student's function with built specifications and clones of the tensors."""
    given = [
        specs.build(a) if isinstance(a, specs.Spec) else a.clone() if isinstance(a, Tensor) else a for a in arguments
    ]
    recorded = next(a for a in given if isinstance(a, RecordingStep))
    value: Any = None
    error, message = "", ""
    try:
        with one_thread(), time_limit(SECONDS), torch.enable_grad():
            value = student(*given)
    except OutOfTime:
        error, message = "Timeout", f"a call on images of 8 x 8 pixels took longer than {SECONDS:g} s"
    except Exception as raised:
        error, message = type(raised).__name__, str(raised)[:500]
    is_tensor = isinstance(value, Tensor)
    return Call(
        value.detach().clone() if is_tensor else value,
        error,
        message,
        tuple(a if isinstance(a, Tensor) else None for a in given),
        recorded.calls,
        recorded.first_direction,
        is_tensor and bool(value.requires_grad),
        is_tensor and any(isinstance(a, Tensor) and value.data_ptr() == a.data_ptr() for a in given),
    )


def images(seed: int, batch: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Public images (B, 3, 8, 8)."""
    random = torch.Generator().manual_seed(seed)
    return (0.2 + 0.6 * torch.rand(batch, 3, 8, 8, generator=random)).to(dtype)


def uneven(x: Tensor) -> Tensor:
    """The images with bright and dark corners: there, a norm for each position is not one of all features."""
    brightness = torch.tensor([[1.0, 0.1], [0.4, 0.1]], dtype=x.dtype)
    return x * brightness.repeat_interleave(4, 0).repeat_interleave(4, 1)
