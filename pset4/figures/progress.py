"""Long work shows itself: tqdm's bar as one line of text, which stays readable in a notebook that is opened again.

tqdm's own bar for notebooks is a widget, and a widget without its kernel is an error box.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.std import tqdm

from pset4.networks.imagenet import class_name
from pset4.settings import is_grading
from pset4.steps import L2Step, l2_norms

Words = Callable[[Tensor], str]
DELAY = 1.0  # seconds of work that need no bar
SECONDS_BETWEEN = 0.25  # two drawings: each costs a message to the browser
FORM = "{desc}{n_fmt}/{total_fmt} |{bar:24}| {elapsed}<{remaining}{postfix}"


def notebook() -> Any:
    """The running notebook's shell; None in a script, and while a submission is graded."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if hasattr(shell, "kernel") and not is_grading() else None


class Bar(tqdm):  # type: ignore[type-arg]
    """tqdm's bar, shown in a notebook after a second of work, and nowhere else.

    Example:
        for eps in (bar := Bar([1, 2, 4], desc="budgets")):
            bar.set_postfix_str(f"eps {eps}", refresh=False)
    """

    monitor_interval = 0  # no thread beside the student's

    def __init__(self, iterable: Any = None, *, words: Callable[[], str] | None = None, **options: Any) -> None:
        """As tqdm's; `words` are asked for what stands behind the bar whenever it is drawn."""
        self._line: Any = None
        self._words = words
        fixed: dict[str, Any] = {
            "file": io.StringIO(),
            "delay": DELAY,
            "mininterval": SECONDS_BETWEEN,
            "miniters": 1,
            "bar_format": FORM,
            "ascii": False,  # blocks, though a string in memory says nothing of its encoding
        }
        super().__init__(iterable, **fixed, disable=notebook() is None, **options)

    def __del__(self) -> None:
        """A forgotten bar is not drawn once more: `words` may speak of tensors that are gone, too."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:  # type: ignore[override]
        """Draws the bar, or says `msg` in its place."""
        if self._words and msg is None:
            self.set_postfix_str(self._words(), refresh=False)
        text = {"text/plain": str(self) if msg is None else msg}
        if self._line is None:
            from IPython.display import display

            self._line = display(text, raw=True, display_id=True)
        else:
            self._line.update(text, raw=True)
        return True


Bar.set_lock(threading.RLock())  # tqdm's own is shared between processes, which a notebook has no use for


def most_probable(logits: Tensor) -> str:
    """What a network sees in the first image of a batch."""
    probability, class_id = torch.softmax(logits[0].float(), dim=0).max(dim=0)
    return f"{class_name(int(class_id))} {float(probability):.2f}"


def with_bar(
    step: L2Step | StepWithBar,
    n_iter: int,
    *,
    watch: nn.Module,
    words: Words = most_probable,
    title: str = "attack",
) -> L2Step | StepWithBar:
    """The step, with a bar that moves while a loop calls it; in scripts and while grading, just the step.

    The bar shows how many steps were made, how far the first image is from the original, and what `words` make of the
    latest output of `watch`. No network is run for it.

    Args:
        step: What moves the image; a bar that it has already is left out.
        n_iter: Steps of a whole loop.
        watch: The network, or the layer of it, that the loop calls.
        words: Output of `watch` -> a few words.
        title: What the loop is, in a word or two.

    Example:
        >>> step = with_bar(L2Step(corgi, step_size=0.5, eps=3), 200, watch=standard)  # doctest: +SKIP
    """
    shell = notebook()
    step = step.bare if isinstance(step, StepWithBar) else step
    return step if shell is None else StepWithBar(step, n_iter, watch, words, title, shell)


class StepWithBar:
    """What `with_bar` returns in a notebook.

    A loop begins where the image is the original, and after `n_iter` steps; it is over at the cell's end at the latest.

    Attributes:
        original: As in the step that it stands for, like `step_size` and `eps`.
        bare: That step.
        latest: The image after the latest step, also where the loop was interrupted.
    """

    def __init__(self, step: L2Step, n_iter: int, watch: nn.Module, words: Words, title: str, shell: Any) -> None:
        """See `with_bar`."""
        self.original, self.step_size, self.eps = step.original, step.step_size, step.eps
        self.latest = step.original
        self.bare, self._n_iter, self._title, self._shell = step, n_iter, title, shell
        self._watch, self._words = watch, words
        self._output: Tensor | None = None
        self._bar: Bar | None = None

    def step(self, x: Tensor, direction: Tensor) -> Tensor:
        """The step's own result."""
        moved = self.bare.step(x, direction)
        if self._bar is None or (x.shape == self.original.shape and torch.equal(x, self.original)):
            self._begin()
        self.latest = moved.detach()
        if self._bar is not None:
            self._bar.update()
            if self._bar.n >= self._n_iter:
                self._end()
        return moved

    def _begin(self) -> None:
        self._end()
        self._hook = self._watch.register_forward_hook(self._see)
        self._shell.events.register("post_run_cell", self._end)
        self._shell.set_custom_exc((KeyboardInterrupt,), self._interrupted)
        self._bar = Bar(total=self._n_iter, desc=f"{self._title}, step ", words=self._say)

    def _end(self, _result: Any = None) -> None:
        if self._bar is None:
            return
        self._shell.set_custom_exc((), None)
        self._shell.events.unregister("post_run_cell", self._end)
        self._hook.remove()
        self._bar.close()
        self._bar = self._output = None

    def _see(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self._output = output.detach()

    def _say(self) -> str:
        far = f"L2 {float(l2_norms(self.latest - self.original)[0]):.2f}"
        return far if self._output is None else f"{far}, {self._words(self._output)}"

    def _interrupted(self, shell: Any, *_error: Any, **_options: Any) -> None:
        """In the place of a trace through the network's layers: what was kept."""
        if self._bar is None:
            return
        name = next((name for name, value in shell.user_ns.items() if value is self and name[0] != "_"), "")
        kept = f" `{name}.latest` holds the image so far." if name else ""
        self._bar.display(
            f"Stopped after step {self._bar.n} of {self._n_iter}. Nothing was returned, and your variables are as they "
            f"were before the call.{kept}"
        )
        self._bar.disable = True
