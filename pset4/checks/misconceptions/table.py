"""Registers a table of misconceptions about one function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pset4.checks.judging.functions import AskedFunction
from pset4.checks.judging.registry import Imitation, Misconception, attempt, register, same

Example = tuple[Any, ...]
EXAMPLES: dict[str, Sequence[Example]] = {}
"""What counter-examples are chosen from, by the function's name."""


def signal(*values: float) -> Tensor:
    """A short signal, for a counter-example."""
    return torch.tensor([float(value) for value in values])


def register_table(
    function: AskedFunction, rows: Mapping[str, tuple[Imitation, str]], *, examples: Sequence[Example]
) -> None:
    """Registers several misconceptions about one function.

    Args:
        function: The student's function.
        rows: Imitation and explanation by name; the first rows are recognised first.
        examples: Arguments of small counter-examples; each misconception gets the first that shows it.
    """
    EXAMPLES[function.name] = examples
    for name, (imitate, explanation) in rows.items():
        example = next((e for e in examples if shows(imitate, function.right, e)), ())
        register(Misconception(name, function, explanation, imitate, example))


def shows(imitate: Imitation, right: Imitation, example: Example) -> bool:
    """Whether the misconception gives another result than a right answer for this example, in plain numbers."""
    wrong = attempt(imitate, example)
    plain = not isinstance(wrong, Tensor) or bool(wrong.isfinite().all())
    return plain and not same(wrong, attempt(right, example))
