"""The numbers of a state as tensors, and in words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pset4.figures.grids import number


def floats(values: Sequence[float]) -> list[float]:
    """The values as a state holds them."""
    return [float(value) for value in values]


def vector(values: Sequence[float]) -> Tensor:
    """The values of a state as a tensor (N,), float64."""
    return torch.tensor(floats(values), dtype=torch.float64)


def factor(value: float) -> str:
    """A number as it stands behind a sign of operation: a negative one in brackets."""
    return f"({number(value)})" if value < 0 else number(value)
