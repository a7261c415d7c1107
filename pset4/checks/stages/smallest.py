"""The smallest public input on which a function is wrong in the same way: values are left out and made simpler.

A plain greedy descent: of all inputs that are one step simpler, the first on which the diagnosis is still the same
takes the place of the last. Nothing is random, so a wrong answer always reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic, process_time
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.local import silence
from pset4.checks.calling.outcome import CallOptions
from pset4.checks.failure import SmallFailure
from pset4.checks.judging.backward import TIES, judge_window
from pset4.checks.judging.functions import (
    CONV1D,
    CONV1D_BACKWARD_INPUT,
    CONV1D_BACKWARD_KERNEL,
    CONV1D_MATRIX,
    MAXPOOL1D,
    MAXPOOL1D_BACKWARD,
    OUTPUT2PROB,
    UPDATE_KERNEL,
    AskedFunction,
)
from pset4.checks.judging.inquiry import Finding, Inquiry
from pset4.checks.judging.registry import Misconception, Observation, attempt, recognise, same
from pset4.checks.judging.values import given_as, judge

Arguments = tuple[Any, ...]
Kept = Callable[[Arguments], SmallFailure | None]

MOST_TRIES = 500
# Of the processor, so that a busy machine changes nothing; and of the clock, for functions that sleep.
MOST_WORK, MOST_SECONDS = 1.0, 4.0
# Of a call with a handful of numbers.
CALL = CallOptions(seconds=0.5, thorough=False)
VALUES = ("", "other_direction", "other_length")
"""Names of findings that say no more than that values are wrong."""
FORMS = ("wrong_shape", "crashes")
"""Findings that depend on lengths, hardly on values."""
SIMPLE = (0.0, 1.0, 2.0, 3.0, -1.0, -2.0, -3.0)


def smallest_failure(inquiry: Inquiry, known: Misconception | None, first: Finding) -> SmallFailure | None:
    """The smallest input that shows what is wrong, or None if no input of numbers does.

    Args:
        inquiry: The check, at its end.
        known: The misconception that was recognised.
        first: The first thing that was found to be wrong.
    """
    function = known.function if known else next((f for f in FUNCTIONS if f.exercise == inquiry.exercise), None)
    if function is None or function.name not in SHORTER:
        return None
    starts = list(_starts(inquiry, function, known))
    with silence():
        for kept in _rules(inquiry, function, known, first):
            shown = filter(None, map(kept, starts))
            start = min(shown, key=lambda found: _size(function, found.arguments), default=None)
            if start:
                return _descend(start, kept)
    return None


def _starts(inquiry: Inquiry, function: AskedFunction, known: Misconception | None) -> Iterator[Arguments]:
    """The inputs of the check, first in float32, whose numbers are short."""
    seen = [o.arguments for o in inquiry.observations if o.function == function.name]
    if known and known.example:
        seen.insert(0, known.example)
    for arguments in seen:
        if function.name not in STORED:
            yield tuple(a.float() if isinstance(a, Tensor) else a for a in arguments)
        yield arguments


def _rules(inquiry: Inquiry, function: AskedFunction, known: Misconception | None, first: Finding) -> Iterator[Kept]:
    """What a smaller input must show, from the narrowest to the widest demand."""

    def finds(arguments: Arguments) -> SmallFailure | None:
        finding, seen = None, None
        if not _has_ties(function, arguments):
            finding, seen = _ask(inquiry, function, arguments)
        return _failure(function, seen, finding) if finding and seen and _alike(finding, first) else None

    def shares(arguments: Arguments) -> SmallFailure | None:
        gradient, x, size = arguments
        if size != len(x) or int((x == x.max()).sum()) < 2:
            return None
        again = _again(inquiry)
        judge_window(again, gradient, x)
        same_found = again.found and again.found[0].name == first.name
        return _failure(function, again.observations[-1], again.found[0]) if same_found else None

    def imitated(arguments: Arguments) -> SmallFailure | None:
        assert known is not None
        finding, seen = _ask(inquiry, function, arguments)
        wrong = attempt(known.imitate, arguments)
        as_known = isinstance(wrong, Tensor) and bool(wrong.isfinite().all()) and same(seen.value, wrong)
        return _failure(function, seen, finding) if as_known and finding else None

    def without_ties(arguments: Arguments) -> SmallFailure | None:
        return None if _has_ties(function, arguments) else imitated(arguments)

    def alone(arguments: Arguments) -> SmallFailure | None:
        found = without_ties(arguments)
        seen = [Observation(function.name, arguments, found.value)] if found else []
        return found if recognise(inquiry.exercise, seen) is known else None

    if known is not None:
        yield from (alone, without_ties, imitated)
    elif first.property == TIES:
        yield shares
    elif first.name in (*VALUES, "not_finite", *FORMS):
        yield finds


def _again(inquiry: Inquiry) -> Inquiry:
    return type(inquiry)(inquiry.exercise, inquiry.student, options=CALL)


def _ask(inquiry: Inquiry, function: AskedFunction, arguments: Arguments) -> tuple[Finding | None, Observation]:
    """The first thing that the judge finds wrong with the result for one input."""
    again = _again(inquiry)
    judge(again, function, "", arguments)
    return (again.found[0] if again.found else None), again.observations[-1]


def _alike(finding: Finding, first: Finding) -> bool:
    return finding.name == first.name or {finding.name, first.name} <= set(VALUES)


def _failure(function: AskedFunction, seen: Observation, finding: Finding) -> SmallFailure:
    given = given_as(function, seen.arguments)
    text = finding.text if "x_in = [" in finding.text or given[:-2] in finding.text else f"{given}{finding.text}"
    if any(isinstance(a, Tensor) and a.dtype == torch.float64 for a in seen.arguments):
        text += " This input is float64."  # in float32 nothing was found
    return SmallFailure(function, seen.arguments, seen.value, _right(function, seen), text)


def _right(function: AskedFunction, seen: Observation) -> Tensor:
    right: Tensor = function.right(*seen.arguments)
    return right


def _descend(best: SmallFailure, kept: Kept) -> SmallFailure:
    """Goes on to a simpler input as long as there is one."""
    tries, work, end = 0, process_time() + MOST_WORK, monotonic() + MOST_SECONDS
    better = True
    while better:
        better = False
        for arguments in _simpler(best):
            tries += 1
            if tries > MOST_TRIES or process_time() > work or monotonic() > end:
                return best
            found = kept(arguments)
            if found and _tells_as_much(found, best):
                best, better = found, True
                break
    return best


def _tells_as_much(found: SmallFailure, best: SmallFailure) -> bool:
    """An example whose right result is nothing but zeros shows little of what is right."""
    return bool(found.right.any()) or not bool(best.right.any())


def _simpler(failure: SmallFailure) -> Iterator[Arguments]:
    """Inputs that are one step simpler. Where a shape is wrong, or nothing returned, the values say where each went."""
    name, value = failure.function.name, failure.value
    yield from SHORTER[name](*failure.arguments)
    if name not in STORED and isinstance(value, Tensor) and value.shape == failure.right.shape:
        yield from _simpler_values(failure.arguments)


def _simpler_values(arguments: Arguments) -> Iterator[Arguments]:
    """One value replaced by a simpler one, in each place."""
    for index, tensor in enumerate(arguments):
        if not isinstance(tensor, Tensor):
            continue
        for place, value in enumerate(tensor.tolist()):
            for simple in SIMPLE:
                if _complexity(simple) >= _complexity(value):
                    break
                changed = tensor.clone()
                changed[place] = simple
                yield (*arguments[:index], changed, *arguments[index + 1 :])


def _complexity(value: float) -> float:
    if value in SIMPLE:
        return SIMPLE.index(value)
    return len(SIMPLE) + abs(value) + (100 if value != int(value) else 0)


def _size(function: AskedFunction, arguments: Arguments) -> tuple[bool, float]:
    """What makes an input small: a kernel that fits into the signal, few numbers, and simple ones."""
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    numbers = [value for tensor in tensors for value in tensor.flatten().tolist()]
    return not _fits(function, arguments), sum(1 + _complexity(number) / 10 for number in numbers)


def _fits(function: AskedFunction, arguments: Arguments) -> bool:
    """Whether the kernel is no longer than the signal, as in most examples."""
    kernel, signal = {
        CONV1D: (1, 0), CONV1D_MATRIX: (0, 1), CONV1D_BACKWARD_INPUT: (1, 0), CONV1D_BACKWARD_KERNEL: (2, 1)
    }.get(function, (0, 0))  # fmt: skip
    return _length(arguments[kernel]) <= _length(arguments[signal])


def _length(argument: Any) -> int:
    return len(argument) if isinstance(argument, Tensor) else int(argument)


def _without(x: Tensor) -> Iterator[Tensor]:
    """The signal without one of its values."""
    if len(x) > 1:
        yield from (torch.cat([x[:n], x[n + 1 :]]) for n in reversed(range(len(x))))


def _shorter_kernels(kernel: Tensor) -> Iterator[Tensor]:
    """The kernel with two values less, so that its length stays odd."""
    if len(kernel) > 2:
        yield from (kernel[1:-1], kernel[2:], kernel[:-2])


def _shorter_convolution(x: Tensor, kernel: Tensor) -> Iterator[Arguments]:
    yield from ((x, short) for short in _shorter_kernels(kernel))
    yield from ((short, kernel) for short in _without(x) if len(short) >= min(len(kernel), len(x)))


def _shorter_matrix(kernel: Tensor, n: int) -> Iterator[Arguments]:
    yield from ((short, n) for short in _shorter_kernels(kernel))
    if n - 1 >= min(len(kernel), n):
        yield kernel, n - 1


def _shorter_backward_kernel(grad_out: Tensor, x: Tensor, size: int) -> Iterator[Arguments]:
    if size > 2:
        yield grad_out, x, size - 2
    if len(x) - 1 >= min(size, len(x)):
        yield from ((g, short, size) for g, short in zip(_without(grad_out), _without(x), strict=True))


def _shorter_pooling(x: Tensor, size: int) -> Iterator[Arguments]:
    if size > 1:
        yield x, size - 1
    if len(x) > size:
        yield from ((short, size) for short in _without(x))


def _shorter_pooling_backward(grad_out: Tensor, x: Tensor, size: int) -> Iterator[Arguments]:
    if size > 1:
        yield from ((grad_out, short, size - 1) for short in _without(x))
    if len(grad_out) > 1:
        yield from ((g, short, size) for short in _without(x) for g in _without(grad_out))


def _none_shorter(*_arguments: Any) -> Iterator[Arguments]:
    yield from ()


FUNCTIONS = (
    CONV1D, MAXPOOL1D, OUTPUT2PROB, CONV1D_MATRIX, CONV1D_BACKWARD_INPUT, CONV1D_BACKWARD_KERNEL, UPDATE_KERNEL,
    MAXPOOL1D_BACKWARD,
)  # fmt: skip
STORED = (OUTPUT2PROB.name, UPDATE_KERNEL.name)
"""Functions whose right results are looked up: only the check's own inputs can be shown."""
SHORTER: dict[str, Callable[..., Iterator[Arguments]]] = {
    CONV1D.name: _shorter_convolution,
    MAXPOOL1D.name: _shorter_pooling,
    CONV1D_MATRIX.name: _shorter_matrix,
    CONV1D_BACKWARD_INPUT.name: _shorter_convolution,
    CONV1D_BACKWARD_KERNEL.name: _shorter_backward_kernel,
    MAXPOOL1D_BACKWARD.name: _shorter_pooling_backward,
    OUTPUT2PROB.name: _none_shorter,
    UPDATE_KERNEL.name: _none_shorter,
}


def _has_ties(function: AskedFunction, arguments: Arguments) -> bool:
    """Whether a window of a pooling has two maxima, between which right answers may choose."""
    if function is not MAXPOOL1D_BACKWARD:
        return False
    windows = arguments[1].unfold(0, arguments[2], 1)
    return not bool(((windows == windows.max(1, keepdim=True).values).sum(1) == 1).all())
