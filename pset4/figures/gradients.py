"""Three ways to one gradient: a formula worked out by hand, finite differences, and automatic differentiation.

Finite differences need no derivation and no library, so they are the judge of a formula, but only where the function is
smooth. At a kink, such as a tie between two inputs of a maximum, they measure something else; `three_ways` says where.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pset4.traces import stops_shortly

Forward = Callable[[Tensor], Tensor]
Backward = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Precision:
    """What differences can tell from rounding and curvature, as parts of the largest slope.

    Attributes:
        agreement: Up to this difference, two derivatives are called equal.
        kink: From this difference on, the slopes to the left and to the right are two slopes. Curvature makes them
            differ by about one step, which is less for arguments of the order of 1.
    """

    agreement: float
    kink: float


PRECISION = {torch.float64: Precision(agreement=1e-4, kink=1e-3), torch.float32: Precision(agreement=1e-2, kink=5e-2)}


def library_conv1d(x_in: Tensor, kernel: Tensor) -> Tensor:
    """The convolution layer of problem 1 by the library, for machines to differentiate: (N,), (k,) -> (N,)."""
    return functional.conv1d(x_in[None, None], kernel.flip(0)[None, None], padding=len(kernel) // 2)[0, 0]


def library_maxpool1d(x_in: Tensor, size: int) -> Tensor:
    """The pooling layer of problem 1 by the library, for machines to differentiate: (N,) -> one number a window."""
    return functional.max_pool1d(x_in[None, None], size, stride=1)[0, 0]


@stops_shortly
def rows_of_backward(backward: Backward, n_out: int) -> Tensor:
    """The matrix that a backward function multiplies by, found without looking inside it.

    `backward` maps dC/dx_out to the gradient of something earlier, and it is linear. Given 1 at output n and 0
    elsewhere, it returns the derivatives of output n alone: row n of the Jacobian matrix.

    Args:
        backward: grad_out (n_out,) -> gradient (p,).
        n_out: Number of outputs of the layer.

    Returns:
        (n_out, p): entry [n, j] is the derivative of output n with respect to number j.

    Raises:
        ValueError: If `backward` does not return a vector.

    Example:
        >>> rows_of_backward(lambda grad_out: 2 * grad_out, 2)
        tensor([[2., 0.],
                [0., 2.]], dtype=torch.float64)
    """
    if n_out < 1:
        raise ValueError(f"n_out must be at least 1, not {n_out}")
    units = torch.eye(n_out, dtype=torch.float64)
    return torch.stack([_as_gradient(backward(unit.clone()), None) for unit in units])


@dataclass(frozen=True, repr=False)
class ThreeWays:
    """A gradient by formula, by finite differences and by autograd, entry by entry.

    Attributes:
        names: One for each entry, such as "x_in[2]".
        by_formula: (p,) what the formula under test returned.
        by_differences: (p,) central differences.
        by_autograd: (p,) automatic differentiation.
        slopes: (p, 2) the one-sided differences: slope to the left and slope to the right.
        trusted: Whether the finite difference of each entry is a derivative: the slopes to both sides agree.
        together: Where some entries stand on a kink, the slopes (formula, differences, autograd) of moving all of these
            entries up together, if the function is smooth in that direction; else None.
        room: Difference up to which two derivatives are called equal.
        cost: What was differentiated, in words.
    """

    names: tuple[str, ...]
    by_formula: Tensor
    by_differences: Tensor
    by_autograd: Tensor
    slopes: Tensor
    trusted: tuple[bool, ...]
    together: tuple[float, float, float] | None
    room: float
    cost: str

    @property
    def agrees(self) -> bool:
        """Whether the formula is right, as far as these numbers can tell."""
        return all(verdict == "agrees" or verdict.startswith("possible") for verdict in self.verdicts)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """One judgement of the formula for each entry, and one for all kinks together where there is one."""
        verdicts = [self._verdict(index, trusted) for index, trusted in enumerate(self.trusted)]
        if self.together is not None:
            formula, differences, _ = self.together
            verdicts.append("agrees" if self._close(formula, differences) else "differs")
        return tuple(verdicts)

    def _verdict(self, index: int, trusted: bool) -> str:
        formula = float(self.by_formula[index])
        if trusted:
            return "agrees" if self._close(formula, float(self.by_differences[index])) else "differs"
        low, high = sorted(self.slopes[index].tolist())
        if low - self.room <= formula <= high + self.room:
            return f"possible: kink, any slope from {_text(low)} to {_text(high)} is one"
        return f"differs: kink, but no slope from {_text(low)} to {_text(high)}"

    def _close(self, a: float, b: float) -> bool:
        return abs(a - b) <= self.room

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Name, formula, finite differences, autograd, verdict: as text, one row for each entry."""
        columns = (self.by_formula.tolist(), self.by_differences.tolist(), self.by_autograd.tolist())
        entries = list(zip(*columns, strict=True))
        names = list(self.names)
        marks = ["" if trusted else " (not trusted)" for trusted in self.trusted]
        if self.together is not None:
            entries.append(self.together)
            names.append("all kinks moved together")
            marks.append("")
        return [
            (name, _text(formula), _text(differences) + mark, _text(autograd), verdict)
            for name, (formula, differences, autograd), mark, verdict in zip(
                names, entries, marks, self.verdicts, strict=True
            )
        ]

    def notes(self) -> list[str]:
        """What a reader should know of the kinks among the entries."""
        slopes = zip(self.names, self.slopes.tolist(), self.trusted, strict=True)
        kinks = [
            f"{name} has the slope {_text(left)} downwards and {_text(right)} upwards."
            for name, (left, right), trusted in slopes
            if not trusted
        ]
        return [" ".join(kinks), ABOUT_KINKS] if kinks else []

    def __str__(self) -> str:
        """The table as text."""
        table = [HEADINGS, *self.rows()]
        widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([self.cost, *lines, *self.notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table as a notebook shows it; entries that differ are marked with a sign as well as in bold."""
        head = "".join(f'<th scope="col" style="text-align:left">{heading}</th>' for heading in HEADINGS)
        body = "".join(_html_row(row) for row in self.rows())
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes())
        caption = f'<caption style="text-align:left">{html.escape(self.cost)}</caption>'
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


ABOUT_KINKS = (
    "Not trusted: the point lies on a kink, or less than one step from it. There is no single derivative there. "
    "Finite differences average the two slopes, and autograd picks one."
)
HEADINGS = ("derivative with respect to", "your formula", "finite differences", "autograd", "verdict on your formula")


def _html_row(row: tuple[str, ...]) -> str:
    wrong = row[-1].startswith("differs")
    cells = [html.escape(cell) for cell in row]
    cells[-1] = f"✗ <b>{cells[-1]}</b>" if wrong else f"✓ {cells[-1]}"
    return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"


def _text(value: float) -> str:
    text = f"{value:.6g}"
    return "0" if text == "-0" else text


@stops_shortly
def three_ways(
    forward: Forward,
    backward: Backward,
    at: Tensor,
    *,
    output: int | None = None,
    grad_out: Tensor | None = None,
    name: str = "x_in",
    names: tuple[str, ...] | None = None,
) -> ThreeWays:
    """Differentiates a layer with respect to one of its arguments in three ways, side by side.

    The cost is one chosen output, C = x_out[output], or a weighted sum of them, C = sum_n grad_out[n] x_out[n]. The
    finite differences are (C(x + h e_j) - C(x - h e_j)) / 2h with h = cbrt(machine epsilon) * max(1, |x_j|), which
    balances the error of the formula, O(h^2), against that of rounding, O(machine epsilon / h) (Press et al.,
    Numerical Recipes, section 5.7). Where the slopes to both sides differ, the point lies on a kink (a tie in a
    maximum), and the difference is marked as not to be trusted.

    Args:
        forward: The layer as a function of the argument in question: (p,) -> (n_out,), differentiable by autograd.
        backward: The formula under test: dC/dx_out (n_out,) -> dC/d(argument) (p,).
        at: (p,) where the derivatives are taken, of the order of 1 or larger. Everything is computed in float64.
        output: The chosen output.
        grad_out: (n_out,) instead of `output`: the weights of the outputs in the cost.
        name: Name of the argument; its entries are called name[0], name[1], ...
        names: Names of the entries instead, such as ("W[-1]", "W[0]", "W[1]").

    Returns:
        The three gradients; as the last line of a notebook's cell, a table.

    Raises:
        ValueError: If not exactly one of `output` and `grad_out` is given, there is no such output, or a shape is
            wrong.

    Example:
        >>> x = torch.tensor([1.0, 3.0])
        >>> result = three_ways(lambda x: x**2, lambda grad_out: 2 * x * grad_out, x, output=1)
        >>> result.agrees
        True
    """
    point = at.detach().to("cpu", torch.float64)
    if point.dim() != 1 or not len(point):
        raise ValueError(f"at must be a vector with at least one number, not a tensor of shape {tuple(point.shape)}")
    entries = names or tuple(f"{name}[{j}]" for j in range(len(point)))
    if len(entries) != len(point):
        raise ValueError(f"names holds {len(entries)} names, but the argument has {len(point)} entries")
    with torch.no_grad():
        outputs = forward(point.clone())
    weights, cost = _weights(outputs, output, grad_out)

    def cost_of(x: Tensor) -> Tensor:
        return (forward(x) * weights.to(outputs.dtype)).sum()

    by_formula = _as_gradient(backward(weights.clone()), len(point))
    by_autograd = _autograd(cost_of, point)
    slopes = torch.stack([_slopes(cost_of, point, unit) for unit in torch.eye(len(point), dtype=torch.float64)])
    precision = PRECISION.get(outputs.dtype, PRECISION[torch.float32])
    largest = float(slopes.abs().max())
    kinks = (slopes[:, 0] - slopes[:, 1]).abs() > precision.kink * largest
    return ThreeWays(
        names=entries,
        by_formula=by_formula,
        by_differences=slopes.mean(1),
        by_autograd=by_autograd,
        slopes=slopes,
        trusted=tuple(not kink for kink in kinks.tolist()),
        together=_together(cost_of, point, kinks, by_formula, by_autograd, precision.kink * largest),
        room=precision.agreement * largest,
        cost=cost,
    )


def _weights(outputs: Tensor, output: int | None, grad_out: Tensor | None) -> tuple[Tensor, str]:
    """The weight of each output in the cost, and the cost in words."""
    if (output is None) == (grad_out is None):
        raise ValueError("give either `output`, the index of one output, or `grad_out`, a weight for each of them")
    if outputs.dim() != 1:
        raise ValueError(f"forward must return a vector, not a tensor of shape {tuple(outputs.shape)}")
    if grad_out is not None:
        if grad_out.shape != outputs.shape:
            raise ValueError(f"grad_out has shape {tuple(grad_out.shape)}, but the layer has {len(outputs)} outputs")
        listed = ", ".join(_text(weight) for weight in grad_out.tolist())
        return grad_out.detach().to("cpu", torch.float64), f"C = Σₙ grad_out[n] · x_out[n] with grad_out = [{listed}]"
    assert output is not None
    if not 0 <= output < len(outputs):
        raise ValueError(f"output must be in 0..{len(outputs) - 1}, not {output}")
    unit = torch.zeros(len(outputs), dtype=torch.float64)
    unit[output] = 1
    return unit, f"C = x_out[{output}]"


def _as_gradient(value: Any, length: int | None) -> Tensor:
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if not isinstance(value, Tensor) or value.dim() != 1 or length not in (None, len(value)):
        wanted = "a vector" if length is None else f"a vector of {length} numbers"
        raise ValueError(f"the backward function must return {wanted}, one for each entry, not {shape}")
    return value.detach().to("cpu", torch.float64)


def _autograd(cost_of: Forward, point: Tensor) -> Tensor:
    x = point.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cost_of(x), x)
    return gradient


def _slopes(cost_of: Forward, point: Tensor, direction: Tensor) -> Tensor:
    """Slopes of the cost along `direction` at `point`, to the left and to the right; 0 where rounding is larger."""
    with torch.no_grad():
        here = cost_of(point)
        epsilon = torch.finfo(here.dtype).eps
        size = max(1.0, float((point * direction).abs().max()))
        # A power of two moves most points without rounding.
        step = 2.0 ** round(math.log2(epsilon ** (1 / 3) * size))
        left, right = cost_of(point - step * direction), cost_of(point + step * direction)
        slopes = torch.stack([here - left, right - here]).to(torch.float64) / step
        rounding = 8 * epsilon * float(max(left.abs(), here.abs(), right.abs())) / step
        return torch.where(slopes.abs() > rounding, slopes, torch.zeros_like(slopes))


def _together(
    cost_of: Forward, point: Tensor, kinks: Tensor, by_formula: Tensor, by_autograd: Tensor, kink: float
) -> tuple[float, float, float] | None:
    """Along the direction in which tied entries keep their ties, a maximum is smooth, and all three ways must agree."""
    if int(kinks.sum()) < 2:
        return None
    direction = kinks.to(torch.float64)
    left, right = _slopes(cost_of, point, direction).tolist()
    if abs(left - right) > kink:
        return None
    return float(by_formula @ direction), (left + right) / 2, float(by_autograd @ direction)
