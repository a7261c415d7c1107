"""A visible check under way: the judges' findings on public inputs, of which the student reads the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pset4.checks.calling.local import LocalStudent
from pset4.checks.calling.outcome import CallOptions, Outcome
from pset4.checks.calling.torch_state import neutral_torch, one_thread
from pset4.checks.failure import CheckFailed
from pset4.checks.judging.functions import AskedFunction
from pset4.checks.judging.inquiry import Inquiry
from pset4.checks.judging.registry import recognise
from pset4.checks.judging.values import Refusal, judge, judge_layouts, judge_refusals
from pset4.checks.stages.smallest import smallest_failure
from pset4.settings import is_grading
from pset4.traces import NotAnswered

Case = tuple[tuple[Any, ...], str]
"""Arguments, and the edge case in words."""
VALUES, ERRORS = "values", "errors"
"""A check has no points: its properties are but these, and those that every function has."""
# Of one call. An honest one takes milliseconds; its first import of a library, on a busy machine, some seconds.
SECONDS = 5.0


class PublicInquiry(Inquiry):
    """What a visible check asks; the first call that takes too long ends it."""

    public = True
    max_timeouts = 1

    def ask(
        self, function: str, *arguments: Any, valid: bool = True, special: bool = False, device: str = "cpu"
    ) -> Outcome:
        """Calls the student's function.

        Raises:
            NotAnswered: If it is still open, or calls one that is. A notebook that is graded has no open exercises,
                but unanswered ones.
        """
        outcome = super().ask(function, *arguments, valid=valid, special=special, device=device)
        if outcome.error == "NotImplementedError" and not is_grading():
            inside = outcome.line and "NotImplementedError" not in outcome.line
            raise NotAnswered(
                f"`{function}` calls what is open itself, in {outcome.line}" if inside else f"write `{function}`"
            )
        return outcome

    def demand(self) -> None:
        """Ends the check if anything is wrong.

        Raises:
            CheckFailed: With a diagnosis where one is known.
        """
        late = next((finding for finding in self.found if finding.name == "too_slow"), None)
        if late:
            raise CheckFailed(late.text, misconception=late.name)
        if self.banned:
            raise CheckFailed(
                f"Not from scratch: your code calls {', '.join(self.banned)}, which this exercise does not allow. "
                "It may use indexing, arithmetic, sums and maxima, matrix products, F.pad, unfold and the like.",
                misconception="banned_call",
            )
        if self.found:
            raise self.first_failure()

    def first_failure(self) -> CheckFailed:
        """The diagnosis if there is one, else the first thing that is wrong, on the smallest input that shows it."""
        first = self.found[0]
        if self.diagnosed:
            name, text = self.recognised()
            return CheckFailed(f"{text}\n{first.text}", misconception=name, explanation=text)
        known = recognise(self.exercise, self.observations)
        smallest = smallest_failure(self, known, first)
        if known is None:
            return CheckFailed(smallest.text if smallest else first.text, misconception=first.name, smallest=smallest)
        shown = replace(known, example=smallest.arguments) if smallest else known
        return CheckFailed(shown.describe(), misconception=known.name, explanation=known.explanation, smallest=smallest)


@contextmanager
def visible_check(exercise: str, *, from_scratch: bool = False, **given: Any) -> Iterator[PublicInquiry]:
    """Judges what a notebook hands to a check.

    Args:
        exercise: Its id in the contract.
        from_scratch: Whether library convolution, pooling and differentiation are banned.
        given: The student's functions and variables by name.

    Raises:
        CheckFailed: At the end of the block, if anything is wrong.
    """
    with one_thread(), LocalStudent(given, quiet=False) as student, neutral_torch():
        options = CallOptions(from_scratch=from_scratch, seconds=SECONDS, thorough=False)
        inquiry = PublicInquiry(exercise, student, options=options)
        yield inquiry
        inquiry.demand()


def demand_functions(**functions: Any) -> None:
    """Refuses what is no function.

    Raises:
        CheckFailed: If one of them cannot be called.
    """
    for name, function in functions.items():
        if not callable(function):
            text = f"`{name}` must be a function, not {type(function).__name__}."
            raise CheckFailed(text, misconception="missing_function")


def judge_cases(
    inquiry: Inquiry,
    function: AskedFunction,
    cases: Sequence[Case],
    layouts: Sequence[Case] = (),
    refusals: Sequence[Refusal] = (),
) -> None:
    """Judges a function on public inputs; what it must refuse is tried once all of its values are right."""
    for arguments, where in cases:
        judge(inquiry, function, VALUES, arguments, where=where)
    if layouts:
        judge_layouts(inquiry, function, layouts)
    if refusals and not inquiry.found:
        judge_refusals(inquiry, function, ERRORS, refusals)
