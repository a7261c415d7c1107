"""What surrounds every check: its stages, what is still open, and the note of how it ended."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from pset4.checks.failure import CheckFailed
from pset4.checks.stages.drawing import show_failure
from pset4.checks.stages.summary import CHECKED, OPEN, THIS_KERNEL, WRONG
from pset4.checks.stages.words import STAGES, formula, idea
from pset4.settings import is_grading
from pset4.traces import NotAnswered, ShortTrace, is_open

Check = Callable[..., None]


class NoSuchHint(ShortTrace, ValueError):
    """A check was asked for a stage that it does not have."""


def staged(*, given: Mapping[str, str] | None = None) -> Callable[[Callable[..., str]], Check]:
    """Makes a check of a function that returns what is said of a right answer, and raises `CheckFailed` else.

    The check takes one more argument, `hint`. Its name is the exercise's id.

    Args:
        given: What the notebook passes by name, and how it is called there.
    """
    passed = dict(given or {})

    def stage(check: Callable[..., str]) -> Check:
        signature, exercise = inspect.signature(check), check.__name__
        answers = [name for name in signature.parameters if name not in passed]

        @wraps(check)
        def run(*arguments: Any, hint: int = 1, **named: Any) -> None:
            call = _Call(exercise, [*answers, *(f"{name}={value}" for name, value in passed.items())])
            call.demand_stage(hint)
            values = signature.bind(*arguments, **named).arguments
            try:
                unset = [name for name in answers if is_open(values[name])]
                if unset:
                    raise NotAnswered(f"set {' and '.join(f'`{name}`' for name in unset)}")
                detail = check(*arguments, **named)
            except NotAnswered as still:
                call.is_open(str(still), hint)
            except CheckFailed as failure:
                call.is_wrong(failure, hint, values)
            else:
                THIS_KERNEL.note(exercise, CHECKED)
                print(f"{exercise}: all good. {detail}")

        hint = inspect.Parameter("hint", inspect.Parameter.KEYWORD_ONLY, default=1, annotation=int)
        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*signature.parameters.values(), hint], return_annotation=None
        )
        return run

    return stage


class _Call:
    """One call of a check, as a student types it, and how it ends if the answer is not right."""

    def __init__(self, exercise: str, arguments: list[str]) -> None:
        self._exercise, self._arguments = exercise, arguments

    def typed(self, hint: int) -> str:
        """The call that asks for a stage."""
        return f"checks.{self._exercise}({', '.join([*self._arguments, f'hint={hint}'])})"

    def demand_stage(self, hint: Any) -> None:
        """Refuses other stages than there are.

        Raises:
            NoSuchHint: If there is no such stage.
        """
        if type(hint) is not int or hint not in STAGES:
            raise NoSuchHint(f"hint must be 1 (what was seen), 2 (the idea) or 3 (the formula), not {hint!r}.")

    def is_open(self, what: str, hint: int) -> None:
        """Says in one line that the exercise is open, so that the cells below still run.

        Raises:
            CheckFailed: While grading, where an open exercise is an unanswered one.
        """
        THIS_KERNEL.note(self._exercise, OPEN)
        where = " in the cell above" if what.startswith(("write", "set")) else ""
        text = f"{self._exercise} is open: {what}{where}."
        if is_grading():
            raise CheckFailed(text, misconception="not_written") from None
        print("\n".join([text, *self._words(hint)]))

    def is_wrong(self, failure: CheckFailed, hint: int, values: Mapping[str, Any]) -> None:
        """Raises the failure at the stage that was asked for.

        Args:
            failure: What the check found.
            hint: The stage.
            values: The student's functions and variables, by name.

        Raises:
            CheckFailed: Always.
        """
        THIS_KERNEL.note(self._exercise, WRONG)
        if hint == 1 and failure.smallest and not is_grading():
            show_failure(failure.smallest, values[failure.smallest.function.name])
        said = self._words(hint, failure.misconception) or [str(failure)]
        further = [f"Next: {self.typed(hint + 1)}"] if hint < STAGES[-1] else []
        raise CheckFailed(
            "\n".join([*said, *further]),
            misconception=failure.misconception,
            explanation=failure.explanation,
            smallest=failure.smallest,
        ) from None

    def _words(self, hint: int, misconception: str = "") -> list[str]:
        """What the second and the third stage say."""
        return {2: [idea(self._exercise, misconception)], 3: [formula(self._exercise)]}.get(hint, [])
