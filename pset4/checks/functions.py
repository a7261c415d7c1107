"""How the visible checks of problems 1 and 3 try a student's function on small, public inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.observe import banned_calls
from pset4.checks.calling.time_limit import OutOfTime, time_limit
from pset4.checks.failure import CheckFailed
from pset4.checks.misconceptions import Observation, attempt, recognise, show
from pset4.checks.misconceptions.registry import as_double, largest_difference, scale_of
from pset4.checks.misconceptions.symptoms import (
    LOOSE,
    Symptom,
    changed_symptom,
    error_symptom,
    kept_symptom,
    kind_symptom,
    names_one_of,
    place_of_largest_difference,
    precision_symptom,
    shape_symptom,
)

# Of one call. An honest one takes milliseconds; its first import of a library, on a busy machine, some seconds.
SECONDS = 5.0

Accepts = Callable[[Tensor, Sequence[Any]], bool]


@dataclass(frozen=True)
class Probe:
    """One public input.

    Attributes:
        arguments: What the function is given.
        where: The edge case in words, such as "k > N".
        accepts: Decides whether a result is right where the input leaves a choice.
        layout: Whether the input differs from an ordinary one only in how it lies in memory.
    """

    arguments: tuple[Any, ...]
    where: str = ""
    accepts: Accepts | None = None
    layout: bool = False


@dataclass(frozen=True)
class Refusal:
    """An input that must raise a `ValueError`.

    Attributes:
        arguments: What the function is given.
        names: Words for the argument, one of which the message must hold, separated by "|".
        given: Words for what was given, likewise.
        what: The input in words.
    """

    arguments: tuple[Any, ...]
    names: str
    given: str
    what: str


@dataclass(frozen=True)
class FunctionCheck:
    """Everything that the visible check of one function tries.

    Attributes:
        exercise: Its id.
        function: Name of the student's function.
        names: Names of its arguments.
        right: What a right answer returns.
        probes: Public inputs.
        refusals: Inputs that must raise a `ValueError`.
        from_scratch: Whether library convolution, pooling and differentiation are banned.
    """

    exercise: str
    function: str
    names: tuple[str, ...]
    right: Callable[..., Any]
    probes: tuple[Probe, ...]
    refusals: tuple[Refusal, ...] = ()
    from_scratch: bool = True


@dataclass(frozen=True)
class Call:
    """What came of one call."""

    value: Any = None
    error: str = ""
    message: str = ""
    changed: bool = False


def run_check(check: FunctionCheck, student: Any) -> None:
    """Tries a student's function.

    Raises:
        CheckFailed: With a diagnosis, if something is wrong.
    """
    if not callable(student):
        text = f"`{check.function}` must be a function, not {type(student).__name__}."
        raise CheckFailed(text, misconception="missing_function")
    with one_thread():
        calls = _call_all(check, student)
        observations = [
            Observation(check.function, probe.arguments, call.value, call.error, probe.accepts is not None)
            for probe, call in zip(check.probes, calls, strict=True)
        ]
        problems = [_problem(check, probe, call) for probe, call in zip(check.probes, calls, strict=True)]
        wrong = next((p for p in problems if p is not None), None)
        if wrong is not None:
            known = recognise(check.exercise, observations)
            if known is not None:
                raise CheckFailed(known.describe(), misconception=known.name)
            raise CheckFailed(wrong.text, misconception=wrong.name)
        for refusal in check.refusals:
            _check_refusal(check, student, refusal)


def _call_all(check: FunctionCheck, student: Callable[..., Any]) -> list[Call]:
    """All probes in turn; banned calls and the first call that takes too long end the check at once."""
    with banned_calls(enabled=check.from_scratch, thorough=False) as watch:
        calls = [_call(check, student, probe) for probe in check.probes]
    if watch.names:
        named = ", ".join(watch.names)
        raise CheckFailed(
            f"Not from scratch: your code calls {named}, which this exercise does not allow. It may use indexing, "
            "arithmetic, sums and maxima, matrix products, F.pad, unfold and the like.",
            misconception="banned_call",
        )
    return calls


def _call(check: FunctionCheck, student: Callable[..., Any], probe: Probe) -> Call:
    given = [a.clone() if isinstance(a, Tensor) and a.is_contiguous() else a for a in probe.arguments]
    before = [a.clone() if isinstance(a, Tensor) else a for a in given]
    try:
        with time_limit(SECONDS):
            value = student(*given)
    except OutOfTime:
        found = error_symptom(check.function, "Timeout", probe.where)
        raise CheckFailed(found.text, misconception=found.name) from None
    except Exception as error:
        return Call(error=type(error).__name__, message=str(error))
    return Call(
        value, changed=any(isinstance(a, Tensor) and not torch.equal(a, b) for a, b in zip(given, before, strict=True))
    )


def _problem(check: FunctionCheck, probe: Probe, call: Call) -> Symptom | None:
    """What is wrong with one result; a symptom without a name if its values are, for no known reason."""
    found = _wrong_result(check, probe, call)
    if found and probe.layout:
        text = f"`{check.function}` gives another result for {probe.where} than for a contiguous copy of it."
        return Symptom("needs_contiguous", text)
    return found


def _wrong_result(check: FunctionCheck, probe: Probe, call: Call) -> Symptom | None:
    function = check.function
    if call.error:
        found = error_symptom(function, call.error, probe.where)
        detail = f" The error says: {call.message}" if call.message and found.name == "crashes" else ""
        return Symptom(found.name, f"With {given_as(check, probe)}: {found.text}{detail}")
    right = attempt(check.right, probe.arguments)
    if not isinstance(right, Tensor):
        return _number_problem(check, probe, call.value, right)
    not_a_tensor = kind_symptom(function, call.value)
    if not_a_tensor:
        return not_a_tensor
    wrong_shape = shape_symptom(function, call.value, right, probe.where)
    if wrong_shape:
        return wrong_shape
    if not _values_right(probe, call.value, right):
        if call.changed:
            return changed_symptom(function)
        place = place_of_largest_difference(call.value, right)
        return Symptom(
            "",
            f"With {given_as(check, probe)} your `{function}` returns {show(call.value)} instead of {show(right)}; "
            f"it is furthest off at {place}.",
        )
    return _form_problem(check, probe, call, right)


def _values_right(probe: Probe, value: Tensor, right: Tensor) -> bool:
    if probe.accepts is not None:
        return probe.accepts(value, probe.arguments)
    return largest_difference(value, right) <= LOOSE * scale_of(right)


def _form_problem(check: FunctionCheck, probe: Probe, call: Call, right: Tensor) -> Symptom | None:
    """Right values in the wrong dtype, with too little precision, or at the input's expense."""
    if call.changed:
        return changed_symptom(check.function)
    given = next(a for a in probe.arguments if isinstance(a, Tensor))
    wrong = kept_symptom(check.function, call.value, given)
    if wrong or probe.accepts is not None:
        return wrong
    return precision_symptom(check.function, call.value, as_double(right))


def _number_problem(check: FunctionCheck, probe: Probe, value: Any, right: Any) -> Symptom | None:
    if type(value) is not type(right):
        kind = type(value).__name__
        return Symptom("not_an_integer", f"`{check.function}` returns an object of type {kind}, not an int.")
    if value != right:
        text = f"With {given_as(check, probe)} your `{check.function}` returns {value} instead of {right}."
        return Symptom("", text)
    return None


def _check_refusal(check: FunctionCheck, student: Callable[..., Any], refusal: Refusal) -> None:
    try:
        with time_limit(SECONDS):
            student(*refusal.arguments)
    except ValueError as error:
        if not (names_one_of(str(error), refusal.names) and names_one_of(str(error), refusal.given)):
            raise CheckFailed(
                f"The ValueError of `{check.function}` for {refusal.what} must name the argument "
                f"({refusal.names.replace('|', ' or ')}) and what was given. It says: {error}",
                misconception="unclear_value_error",
            ) from None
    except (Exception, OutOfTime) as error:
        raise CheckFailed(
            f"`{check.function}` must raise a ValueError for {refusal.what}, not {type(error).__name__}.",
            misconception="no_value_error",
        ) from None
    else:
        raise CheckFailed(
            f"`{check.function}` must raise a ValueError for {refusal.what}; it returns a result.",
            misconception="no_value_error",
        )


def given_as(check: FunctionCheck, probe: Probe) -> str:
    """The arguments of a probe as a student would write them."""
    return " and ".join(f"{n} = {show(a)}" for n, a in zip(check.names, probe.arguments, strict=True))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: with more, small inputs take longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
