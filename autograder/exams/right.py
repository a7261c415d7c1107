"""What right answers return where a student's installation only looks up the results for public inputs.

`python -m autograder.exams.right` writes those results for the checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pset4.checks.judging.expected import COMPUTED, STORED
from pset4.checks.judging.functions import OUTPUT2PROB, UPDATE_KERNEL, AskedFunction
from pset4.checks.judging.values import in_double
from pset4.checks.misconceptions.table import EXAMPLES
from pset4.checks.problem2 import LOGITS
from pset4.checks.problem3 import UPDATE_CASES


def update_kernel(kernel: Tensor, grad_kernel: Tensor, learning_rate: float) -> Tensor:
    """One step of torch's own gradient descent: (k,), (k,) -> (k,)."""
    weights = torch.nn.Parameter(kernel.detach().clone())
    weights.grad = grad_kernel.detach().clone()
    torch.optim.SGD([weights], lr=learning_rate).step()
    return weights.detach()


def probabilities(output: Tensor) -> Tensor:
    """What a right answer returns, by way of its logarithm: (B, K) -> (B, K)."""
    return output.log_softmax(dim=1).exp()


COMPUTED |= {UPDATE_KERNEL.name: update_kernel, OUTPUT2PROB.name: probabilities}


def public_inputs(function: AskedFunction) -> Iterator[tuple[Any, ...]]:
    """Every input of the function that a student sees: the check's, and those of counter-examples."""
    yield from (arguments for arguments, _ in {UPDATE_KERNEL: UPDATE_CASES, OUTPUT2PROB: LOGITS}[function])
    yield from EXAMPLES[function.name]


def results() -> dict[str, list[list[Any]]]:
    """The arguments and results to be stored, by function."""
    stored: dict[str, list[list[Any]]] = {}
    for function in (UPDATE_KERNEL, OUTPUT2PROB):
        pairs = stored.setdefault(function.name, [])
        for arguments in public_inputs(function):
            given = in_double(arguments)
            pair = [[a.tolist() if isinstance(a, Tensor) else a for a in given], function.right(*given).tolist()]
            if pair not in pairs:
                pairs.append(pair)
    return stored


if __name__ == "__main__":
    STORED.write_text(json.dumps(results()) + "\n", encoding="utf-8")
