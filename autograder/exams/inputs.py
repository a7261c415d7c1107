"""Where the hidden inputs of exams of tensor functions come from, and what such exams have in common."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autograder.exams.verdict import Property
from pset4.checks.judging.values import LAYOUT, SHAPE, UNCHANGED

DTYPES = (torch.float32, torch.float64)


def form_properties(*, shape: float, unchanged: float, layout: float, function: str = "") -> tuple[Property, ...]:
    """The three properties that every tensor function has besides its values."""
    sentences = {
        SHAPE: (shape, "the result must have the right shape and the input's dtype and device."),
        UNCHANGED: (unchanged, "your function changes its input in place; work on a copy."),
        LAYOUT: (layout, "strided or expanded inputs must give what a contiguous copy gives."),
    }
    return tuple(Property(name, points, missed, "form", function) for name, (points, missed) in sentences.items())


@dataclass(frozen=True)
class Inputs:
    """Random inputs, from the exam's generator."""

    random: torch.Generator

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return int(torch.randint(low, high + 1, (), generator=self.random))

    def odd(self, low: int, high: int) -> int:
        """An odd integer in [low, high]; both ends are odd."""
        return low + 2 * self.integer(0, (high - low) // 2)

    def signal(self, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Entries of both signs and at least 0.5 in magnitude, so that none can be overlooked."""
        size = 0.5 + torch.rand(n, generator=self.random, dtype=torch.float64) * 1.5
        sign = torch.randint(0, 2, (n,), generator=self.random) * 2 - 1
        return (size * sign).to(dtype)

    def impulse(self, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Zeros, and one value that is not."""
        impulse = torch.zeros(n, dtype=dtype)
        impulse[self.integer(0, n - 1)] = 2.0
        return impulse

    def kernel(self, k: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """A kernel that differs from its mirror image."""
        kernel = self.signal(k)
        if k > 1:
            kernel[0] = kernel[-1] + 1.0 + torch.rand((), generator=self.random, dtype=torch.float64)
        return kernel.to(dtype)

    def palindrome(self, k: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """A kernel that equals its mirror image; entries of both signs, none of them small."""
        kernel = self.signal(k)
        kernel[k // 2 + 1 :] = kernel[: k // 2].flip(0)
        return kernel.to(dtype)

    def distinct(self, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Entries of both signs, all at least 0.25 apart: no ties."""
        jitter = torch.rand(n, generator=self.random, dtype=torch.float64) * 0.25
        order = torch.randperm(n, generator=self.random)
        return (order.double() / 2 + jitter - n / 4).to(dtype)

    def largest_at(self, place: int, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Positive entries, the largest of them at the given place."""
        signal = self.signal(n).abs()
        signal[place] = 3.0
        return signal.to(dtype)


def strided(tensor: Tensor) -> Tensor:
    """The same values with a stride of 2 and an offset, among NaN that must not be read."""
    memory = torch.full((2 * tensor.numel() + 3,), torch.nan, dtype=tensor.dtype)
    view = memory[1 : 1 + 2 * tensor.numel() : 2]
    view.copy_(tensor)
    return view
