"""Explorers of problem 1: convolution and max pooling, one output at a time, by the student's own function."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pset4.explore.explorer import Answer, Control, Explorer, State, show
from pset4.explore.numbers import factor, floats, vector
from pset4.figures.grids import number
from pset4.figures.signals import draw_convolution, draw_pooling

Convolution = Callable[[Tensor, Tensor], Tensor]
Pooling = Callable[[Tensor, int], Tensor]


def convolution(
    conv1d: Convolution,
    *,
    x_in: Sequence[float] = (1, 3, 2, 0, -1, 2),
    kernel: Sequence[float] = (1, 2, -1),
    n: int = 2,
) -> None:
    """Shows how one output of a convolution comes about, while you drag the signal, the kernel and the output.

    Weights are measured, not assumed: `conv1d` itself is asked what it makes of signals with a single 1.

    Args:
        conv1d: Your function: (N,), (k,) -> (N,).
        x_in: The signal to begin with, values in -3..3.
        kernel: The kernel to begin with, an odd number of values in -3..3.
        n: The output to look at, in 0..N-1.
    """
    state = {"x_in": floats(x_in), "kernel": floats(kernel), "n": n, "correlation": False}
    controls = [
        Control("x_in", "values", "x_in", min=-3, max=3, step=0.5),
        Control("kernel", "values", "kernel", min=-3, max=3, step=0.5),
        Control("n", "slider", "output n", max=len(x_in) - 1, framed=True),
        Control("correlation", "switch", "show the cross-correlation as circles", framed=True),
    ]
    positions = [{**state, "n": m, "correlation": beside} for m in range(len(x_in)) for beside in (False, True)]
    explorer = Explorer(
        "convolution",
        "Drag the kernel, the signal, or the output n",
        controls,
        state,
        lambda asked: _one_output(conv1d, asked),
        lambda: draw_convolution(conv1d, x_in, kernel, n=n),
        frames=positions,
    )
    show(explorer, function="explore.convolution")


def _one_output(conv1d: Convolution, state: State) -> Answer:
    signal, taps, n = vector(state["x_in"]), vector(state["kernel"]), int(state["n"])
    reach = len(taps) // 2
    padded = F.pad(signal, (reach, reach))
    output = _checked(conv1d(signal.clone(), taps.clone()), len(signal))
    weights = torch.stack(
        [_checked(conv1d(unit, taps.clone()), len(padded))[n + reach] for unit in torch.eye(len(padded)).double()]
    )
    products = weights * padded
    correlation = F.conv1d(signal[None, None], taps[None, None], padding=reach)[0, 0] if state["correlation"] else None
    largest = max(
        float(output.abs().nan_to_num(0).max()), 0.0 if correlation is None else float(correlation.abs().max())
    )
    terms = [f"{number(w)}·{factor(x)}" for w, x in zip(weights.tolist(), padded.tolist(), strict=True) if w != 0]
    return {
        "output": output,
        "weights": weights,
        "products": products,
        "names": _entries(conv1d, len(taps), len(padded), n + reach),
        "correlation": correlation,
        "scale": 4.5 / max(largest, 4.5),
        "words": f"x_out[{n}] = {number(float(output[n]))}; the products: {' + '.join(terms) or 'none'}"
        f" = {number(float(products.sum()))}",
    }


def _entries(conv1d: Convolution, k: int, length: int, n: int) -> list[str]:
    """Which kernel entry each input meets in output n, by name; "" where none or more than one."""
    kernels = torch.eye(k).double()
    met = torch.stack(
        [
            torch.stack([_checked(conv1d(unit, taps.clone()), length)[n] for taps in kernels])
            for unit in torch.eye(length).double()
        ]
    )
    return [f"W[{int(row.argmax()) - k // 2}]" if int((row != 0).sum()) == 1 else "" for row in met]


def pooling(
    maxpool1d: Pooling,
    *,
    x_in: Sequence[float] = (0, 1, 3, -1, 2, 2, -2, 1, 0),
    size: int = 3,
) -> None:
    """Shows which input wins each window of a pooling, while you drag the signal and the size of the windows.

    Moved by one, the signal and its pooled output stand beside the first ones, and what stays equal is marked.

    Args:
        maxpool1d: Your function: (N,), size -> one number for each window.
        x_in: The signal to begin with, values in -3..3.
        size: The size of the windows to begin with, in 1..N.
    """
    state = {"x_in": floats(x_in), "size": size, "shift": False}
    controls = [
        Control("x_in", "values", "x_in", min=-3, max=3, step=0.5),
        Control("size", "slider", "size of the windows", min=1, max=len(x_in), framed=True),
        Control("shift", "switch", "move the signal by one", framed=True),
    ]
    positions = [{**state, "size": m, "shift": beside} for m in range(1, len(x_in) + 1) for beside in (False, True)]
    explorer = Explorer(
        "pooling",
        "Drag the signal, or the size of the windows",
        controls,
        state,
        lambda asked: _windows(maxpool1d, asked),
        lambda: draw_pooling(maxpool1d, x_in, size),
        frames=positions,
    )
    show(explorer, function="explore.pooling")


def _windows(maxpool1d: Pooling, state: State) -> Answer:
    signal, size = vector(state["x_in"]), int(state["size"])
    output = _vector(maxpool1d(signal.clone(), size))
    if len(output) > len(signal):
        raise ValueError(f"`maxpool1d` was given {len(signal)} numbers and returned more: {len(output)}")
    winners = [
        [j for j in range(m, min(m + size, len(signal))) if math.isclose(float(signal[j]), value, abs_tol=1e-9)]
        for m, value in enumerate(output.tolist())
    ]
    answer: Answer = {"output": output, "winners": winners, "words": _who_wins(winners, output.tolist())}
    if state["shift"]:
        moved = F.pad(signal[:-1], (1, 0))
        moved_output = _vector(maxpool1d(moved.clone(), size))
        same_in, same_out = _equal(signal, moved), _equal(output, moved_output)
        answer |= {"moved": moved, "moved_output": moved_output, "same_in": same_in, "same_out": same_out}
        answer["words"] = (
            f"Moved by one, {sum(same_in)} of {len(signal)} inputs and {sum(same_out)} of {len(output)} outputs "
            "are what they were."
        )
    return answer


def _who_wins(winners: Sequence[Sequence[int]], output: Sequence[float]) -> str:
    for m, inputs in enumerate(winners):
        if not inputs:
            return f"✗ x_out[{m}] = {number(output[m])}, but no input of window {m} is {number(output[m])}."
    wins = Counter(j for inputs in winners for j in inputs)
    most = max(wins, key=lambda j: wins[j])
    tied = [str(m) for m, inputs in enumerate(winners) if len(inputs) > 1]
    ties = f" A tie in window {', '.join(tied)}." if tied else " No window has a tie."
    return f"x_in[{most}] wins {wins[most]} of {len(winners)} windows." + ties


def _equal(before: Tensor, after: Tensor) -> list[bool]:
    return [math.isclose(a, b, abs_tol=1e-9) for a, b in zip(before.tolist(), after.tolist(), strict=False)]


def _vector(output: Any) -> Tensor:
    if not isinstance(output, Tensor) or output.dim() != 1 or not len(output):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"`maxpool1d` must return a vector with a number for each window, not {shape}")
    return output.detach().double().cpu()


def _checked(output: Any, length: int) -> Tensor:
    if not isinstance(output, Tensor) or output.shape != (length,):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"`conv1d` was given {length} numbers and must return a tensor of as many, not {shape}")
    return output.detach().double().cpu()
