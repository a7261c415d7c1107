"""A submission in another process, as exams see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from autograder.engine.grader.outputs import clean
from autograder.engine.grader.process import End
from pset4.checks.calling.outcome import USUAL_CALL, CallOptions, Outcome

MAX_MESSAGE = 500
MAX_BANNED = 50
# The time inside the submission's process decides; this much later we no longer believe that it will end a call itself.
# What the limit there does not count, such as building networks and sending the answer, has room in it, too.
ROOM_SHARE, ROOM_SECONDS = 0.25, 1.0
NAME = re.compile(r"[\w.<>]{1,100}", re.ASCII)


class RemoteStudent:
    """Calls a submission's functions over its session's connection.

    The process at the other end stops a call that takes too long by itself, and keeps its state then; if it does not,
    it is interrupted, then killed, and all later calls fail with "Died".
    """

    def __init__(self, ask: Callable[[dict[str, Any], float], dict[str, Any] | End]) -> None:
        """Takes what sends a request and waits some seconds for its answer; use `Session.student`."""
        self._ask = ask

    def call(self, function: str, arguments: Sequence[Any], options: CallOptions = USUAL_CALL) -> Outcome:
        """Calls the student's function of that name; specifications among the arguments are built first."""
        request = {
            "kind": "call",
            "function": function,
            "arguments": list(arguments),
            "from_scratch": options.from_scratch,
            "seconds": float(options.seconds),
            "device": options.device,
        }
        answer = self._ask(request, options.seconds + max(ROOM_SECONDS, ROOM_SHARE * options.seconds))
        return self._read(answer, arguments)

    def value(self, name: str) -> Outcome:
        """The student's variable of that name, as data."""
        return self._read(self._ask({"kind": "value", "name": name}, USUAL_CALL.seconds), ())

    def _read(self, answer: dict[str, Any] | End, arguments: Sequence[Any]) -> Outcome:
        if not isinstance(answer, dict):
            error = "Timeout" if answer.status in ("timeout", "deadline") else "Died"
            return Outcome(error=error, message=answer.detail)
        return outcome_from(answer, arguments)


def outcome_from(answer: dict[str, Any], arguments: Sequence[Any]) -> Outcome:
    """An outcome from what a submission's process says, field by field; whatever is not of its kind is dropped."""
    error = answer.get("error")
    if type(error) is not str or (error and not NAME.fullmatch(error)):
        error = "Unknown"
    message = answer.get("message")
    after = answer.get("arguments_after")
    after = after if type(after) is tuple and len(after) == len(arguments) else ()
    direction = answer.get("first_direction")
    steps = answer.get("steps")
    banned = answer.get("banned")
    banned = banned if type(banned) is tuple else ()
    return Outcome(
        value=None if error else answer.get("value"),
        error=error,
        message=one_line(message)[:MAX_MESSAGE],
        arguments_after=tuple(item if isinstance(item, Tensor) else None for item in after),
        banned=tuple(filter(None, (one_line(name)[:100] for name in banned[:MAX_BANNED]))),
        steps=steps if type(steps) is int and 0 <= steps < 10**9 else 0,
        first_direction=direction if isinstance(direction, Tensor) else None,
        same_direction=answer.get("same_direction") is True,
        requires_grad=answer.get("requires_grad") is True,
        same_object=answer.get("same_object") is True,
    )


def one_line(text: Any) -> str:
    """Text that cannot pretend to be a line of a report."""
    return " ".join(clean(text).split()) if type(text) is str else ""
