"""What `explore.learning` answers: whole descents, the falling cost, and the exploding one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pset4 import explore
from pset4.explore.descent import RATES
from pset4.explore.explorer import reply
from pset4.figures.gradients import library_conv1d
from pset4.figures.learning import HIDDEN
from tests.helpers.explorers import built, displayed


def backward_kernel(grad_out: Tensor, x_in: Tensor, kernel_size: int) -> Tensor:
    half = kernel_size // 2
    return functional.pad(x_in, (half, half)).unfold(0, kernel_size, 1).flip(1).T @ grad_out


def update(kernel: Tensor, grad_kernel: Tensor, learning_rate: float) -> Tensor:
    return kernel - learning_rate * grad_kernel


def wrong_sign(kernel: Tensor, grad_kernel: Tensor, learning_rate: float) -> Tensor:
    return kernel + learning_rate * grad_kernel


def in_place(kernel: Tensor, grad_kernel: Tensor, learning_rate: float) -> Tensor:
    kernel -= learning_rate * grad_kernel
    return kernel


@pytest.mark.parametrize("step", [update, in_place])
def test_right_functions_find_the_hidden_kernel(monkeypatch: pytest.MonkeyPatch, step: object) -> None:
    explorer = built(monkeypatch, lambda: explore.learning(library_conv1d, backward_kernel, step))  # type: ignore[arg-type]
    answer = reply(explorer, explorer.state)["answer"]
    assert answer["kernels"][0] == [0] * len(HIDDEN)
    assert answer["kernels"][-1] == pytest.approx(list(HIDDEN), abs=1e-3)
    assert answer["costs"] == sorted(answer["costs"], reverse=True)
    assert answer["outputs"][-1] == pytest.approx(answer["target"], abs=1e-2)
    assert len(answer["words"]) == len(answer["kernels"]) == len(answer["outputs"]) == 61
    assert "less than the first one" in answer["words"][-1]


@pytest.mark.parametrize(("step", "rate"), [(wrong_sign, 0.1), (update, 2.0)])
def test_an_explosion_is_said_and_not_explained(monkeypatch: pytest.MonkeyPatch, step: object, rate: float) -> None:
    explorer = built(monkeypatch, lambda: explore.learning(library_conv1d, backward_kernel, step))  # type: ignore[arg-type]
    answer = reply(explorer, {"rate": RATES.index(rate), "step": 0})["answer"]
    assert answer["words"][-1].endswith("times the first one: it explodes.")
    assert "sign" not in " ".join(answer["words"])


def test_numbers_beyond_all_numbers_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(
        monkeypatch,
        lambda: explore.learning(library_conv1d, backward_kernel, lambda kernel, grad, rate: kernel - 1e200 * grad),
    )
    answer = reply(explorer, explorer.state)["answer"]
    assert answer["costs"][-1] in ("inf", "nan")
    assert "too large to be a number" in answer["words"][-1]


def test_every_learning_rate_is_there_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    page = displayed(monkeypatch, lambda: explore.learning(library_conv1d, backward_kernel, update))
    assert {state["rate"] for state, _ in page["data"]["frames"]} == set(range(len(RATES)))
    assert "the cost goes from 1.92 to" in page["alt"]
    assert len(page["html"]) < 400_000


def test_a_wrong_shape_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(
        monkeypatch, lambda: explore.learning(library_conv1d, lambda grad_out, x_in, k: torch.zeros(k + 1), update)
    )
    assert "must return a vector of 5 numbers here, not (6,)" in reply(explorer, explorer.state)["error"]


def test_an_unknown_learning_rate_is_named() -> None:
    with pytest.raises(ValueError, match=r"one of 0.01, .*, not 0.3"):
        explore.learning(library_conv1d, backward_kernel, update, learning_rate=0.3)
