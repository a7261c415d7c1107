"""An explorer: a picture that follows what a student drags, drawn from what the student's own function answers.

What is displayed is one output: a still picture with a text alternative and, below it in the same HTML, a script that
puts controls in the still's place. Dragging asks the kernel through a widget model without a view (`Link`), so that a
notebook which is opened again without its kernel shows the still, or the positions that were computed in advance, and
never an error box. GitHub, nbconvert, feedback pages and graders keep the still.
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from matplotlib.figure import Figure

from pset4.explore.assemble import assemble
from pset4.figures.display import NoFigure, encoded
from pset4.settings import is_grading
from pset4.traces import in_short

State = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Control:
    """One thing to drag, switch, choose or press; the explorer's state holds its value under its name.

    Attributes:
        name: Key in the state.
        kind: "slider", "switch", "choice", "values" (bars that the drawing places), "button" (its value counts how
            often it was pressed), or "file" (its value is a data URL of a square PNG).
        label: What a reader sees, or hears.
        min: Smallest value of a slider or of each bar.
        max: Largest one.
        step: Distance of neighbouring values.
        options: What there is to choose from.
        texts: Words for the values of a slider that counts from `min` in steps of 1, such as budgets.
        framed: Whether every value of it was computed in advance, so that it moves without the kernel, too.
        local: Whether only the drawing depends on it and no answer does (one control at most); the answer's "words" may
            then hold a sentence for each of its values.
        side: Pixels of a photo's side.
    """

    name: str
    kind: str
    label: str
    min: float = 0
    max: float = 1
    step: float = 1
    options: Sequence[str] = ()
    texts: Sequence[str] = ()
    framed: bool = False
    local: bool = False
    side: int = 224


@dataclass(frozen=True)
class Explorer:
    """What an explorer shows, and how it answers.

    Attributes:
        kind: Name of the drawing: `page/<kind>.js`.
        title: Heading.
        controls: In the order in which they are shown.
        state: Where it starts: a value for each control.
        answer: What the picture needs of a state: JSON values, with a sentence for the reader under "words". It calls
            the student's function.
        still: The picture where nothing can be dragged; its label is the text alternative.
        frames: States whose answers are computed in advance, besides the first.
        constants: What the drawing needs besides, the same in every state.
    """

    kind: str
    title: str
    controls: Sequence[Control]
    state: State
    answer: Callable[[State], Answer]
    still: Callable[[], Figure]
    frames: Iterable[State] = ()
    constants: dict[str, Any] = field(default_factory=dict)


def show(explorer: Explorer, *, function: str) -> None:
    """Displays an explorer; while grading, its still.

    Args:
        explorer: What to show.
        function: Name of the call that asked for it, for messages.

    Raises:
        NoFigure: If the student's function raises an error at the first state.
    """
    from IPython.display import display

    try:
        figure = explorer.still()
        frames = [] if is_grading() else _frames(explorer)
    except NotImplementedError:
        raise
    except Exception as error:
        raise NoFigure(in_short(f"`{function}` draws nothing", error)) from None
    drawn, kind = encoded(figure)
    picture, alt, form = base64.b64encode(drawn).decode(), str(figure.get_label()), f"image/{kind}"
    metadata = {form: {"alt": alt}}
    if is_grading():
        display({form: picture, "text/plain": alt}, metadata=metadata, raw=True)
        return
    explorer_id = f"pset4-{explorer.kind}-{uuid.uuid4().hex[:8]}"  # two notebooks may share a page
    _listen(explorer_id, explorer)
    data = {
        "id": explorer_id,
        "controls": [asdict(control) for control in explorer.controls],
        "state": explorer.state,
        "frames": frames,
        "constants": jsonable(explorer.constants),
    }
    page = assemble(explorer.kind, explorer.title, data, f"data:{form};base64,{picture}", alt)
    display({"text/html": page, form: picture, "text/plain": alt}, metadata=metadata, raw=True)


def _frames(explorer: Explorer) -> list[tuple[State, Answer]]:
    """The first state with its answer, and each other one in which the student's function raises no error."""
    frames = [(explorer.state, jsonable(explorer.answer(explorer.state)))]
    for state in explorer.frames:
        if state != explorer.state and "answer" in (replied := reply(explorer, state)):
            frames.append((state, replied["answer"]))
    return frames


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: tensors as lists, and what is no finite number as a word."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: jsonable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(entry) for entry in value]
    return jsonable(value.tolist()) if hasattr(value, "tolist") else value


def reply(explorer: Explorer, state: State) -> dict[str, Any]:
    """The answer to a state, or in one sentence why there is none; what the student's code prints stays out of it."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return {"answer": jsonable(explorer.answer(state))}
    except (Exception, KeyboardInterrupt) as error:
        return {"error": in_short("Nothing to show here", error)}


def _listen(explorer_id: str, explorer: Explorer) -> None:
    """Answers what the page asks, for as long as the kernel lives."""
    if "google.colab" in sys.modules:
        from google.colab import output
        from IPython.display import JSON

        output.register_callback(
            f"pset4.explore.{explorer_id}", lambda request: JSON(reply(explorer, request["state"]))
        )
        return
    from pset4.explore.link import Link

    link = Link(explorer=explorer_id)
    link.on_msg(lambda _, request, buffers: link.send(reply(explorer, request["state"])))
