"""What the explorers of the backward functions answer: shares, sums, and the three ways to one gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pset4 import explore
from pset4.explore.explorer import reply
from pset4.figures.gradients import library_conv1d, library_maxpool1d
from tests.helpers.explorers import built, displayed


def pool_backward(grad_out: Tensor, x_in: Tensor, size: int) -> Tensor:
    windows = x_in.unfold(0, size, 1)
    winners = windows.argmax(dim=1) + torch.arange(len(windows))
    return x_in.new_zeros(len(x_in)).index_add(0, winners, grad_out)


def overwrites(grad_out: Tensor, x_in: Tensor, size: int) -> Tensor:
    grad_in = torch.zeros_like(x_in)
    for m, grad in enumerate(grad_out):
        if grad != 0:
            grad_in[m + int(x_in[m : m + size].argmax())] = grad
    return grad_in


def full_to_every_tie(grad_out: Tensor, x_in: Tensor, size: int) -> Tensor:
    grad_in = torch.zeros_like(x_in)
    for m, grad in enumerate(grad_out):
        window = x_in[m : m + size]
        grad_in[m : m + size] += grad * (window == window.max())
    return grad_in


def conv_backward(grad_out: Tensor, kernel: Tensor) -> Tensor:
    half = len(kernel) // 2
    return functional.pad(grad_out, (half, half)).unfold(0, len(kernel), 1) @ kernel


def pooling_answer(
    monkeypatch: pytest.MonkeyPatch, backward: Any, x_in: list[float], grad_out: list[float]
) -> dict[str, Any]:
    explorer = built(
        monkeypatch, lambda: explore.pooling_backward(library_maxpool1d, backward, x_in=x_in, grad_out=grad_out, size=2)
    )
    answer: dict[str, Any] = reply(explorer, explorer.state)["answer"]
    return answer


def test_shares_of_overlapping_windows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = pooling_answer(monkeypatch, pool_backward, [2, -1, 3, 1], [1, 2, 0.5])
    assert answer["sent"] == [[1, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0.5, 0]]
    assert answer["yours"] == answer["autograd"] == [1, 0, 2.5, 0]
    assert answer["words"]["x_in[2]"] == "dC/dx_in[2] = 2 + 0.5 = 2.5."
    assert answer["words"]["grad_out[1]"] == "grad_out[1] = 2 sends 1·2 to x_in[2]."
    assert answer["words"]["all"].startswith("✓")


def test_the_first_disagreement_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = pooling_answer(monkeypatch, overwrites, [2, -1, 3, 1], [1, 2, 0.5])
    assert answer["agrees"] == [True, True, False, True]
    assert answer["words"]["all"].startswith("✗ First disagreement, x_in[2]: yours 0.5, autograd 2.5")
    assert "2 + 0.5 = 2.5 arrives at x_in[2] one by one, but your gradient there is 0.5" in answer["words"]["x_in[2]"]


def test_finite_differences_are_not_trusted_at_a_tie(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = pooling_answer(monkeypatch, pool_backward, [3, 2, 2, 1], [1, 2, 0.5])
    assert answer["trusted"] == [True, False, False, True]
    assert all(answer["agrees"])
    assert "x_in[1] and x_in[2]" in answer["words"]["all"]
    assert "cannot be trusted" in answer["words"]["all"]


def test_full_gradients_to_tied_inputs_disagree_when_these_move_together(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = pooling_answer(monkeypatch, full_to_every_tie, [3, 2, 2, 1], [1, 2, 0.5])
    assert answer["agrees"] == [True, True, True, True, False]
    assert answer["together"] == pytest.approx([4.5, 2.5, 2.5])
    assert "all ties moved together" in answer["words"]["all"]


def test_every_position_to_follow_has_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(monkeypatch, lambda: explore.convolution_backward(library_conv1d, conv_backward))
    answer = reply(explorer, explorer.state)["answer"]
    follow = next(control for control in explorer.controls if control.name == "follow")
    assert follow.local
    assert set(answer["words"]) == set(follow.options)


def test_the_signal_does_not_change_a_convolutions_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(monkeypatch, lambda: explore.convolution_backward(library_conv1d, conv_backward))
    answers = [reply(explorer, {**explorer.state, "x_in": x})["answer"] for x in ([1, 2, 0, -1, 2], [0, 0, 3, 0, 0])]
    assert answers[0]["yours"] == answers[1]["yours"] == [2, 7, 4, -1, -2]


def test_autograd_takes_the_library_where_it_cannot_look_through_yours(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain_numbers(x_in: Tensor, kernel: Tensor) -> Tensor:
        return torch.tensor(library_conv1d(x_in, kernel).tolist())

    explorer = built(monkeypatch, lambda: explore.convolution_backward(plain_numbers, conv_backward))
    answer = reply(explorer, explorer.state)["answer"]
    assert all(answer["agrees"])
    assert "library's layer" in answer["words"]["all"]


def test_a_wrong_forward_function_shows_in_autograds_row(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(
        monkeypatch,
        lambda: explore.convolution_backward(lambda x, kernel: library_conv1d(x, kernel.flip(0)), conv_backward),
    )
    answer = reply(explorer, explorer.state)["answer"]
    assert answer["autograd"] == pytest.approx(answer["differences"], abs=1e-6)
    assert not all(answer["agrees"])


def test_what_cannot_be_drawn_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(
        monkeypatch, lambda: explore.convolution_backward(library_conv1d, lambda grad_out, kernel: grad_out[1:])
    )
    assert "must return a vector of 5 numbers" in reply(explorer, explorer.state)["error"]


@pytest.mark.parametrize(
    ("backward", "said"),
    [
        (pool_backward, "yours agrees with the other two"),
        (overwrites, "yours differs where it is framed"),
        (full_to_every_tie, "yours differs where tied inputs move together"),
    ],
)
def test_the_still_says_what_is_seen(monkeypatch: pytest.MonkeyPatch, backward: Any, said: str) -> None:
    x_in = (2, -1, 3, 1, 2, 0.5) if backward is not full_to_every_tie else (2, 3, 3, 1, 2, 0.5)
    page = displayed(monkeypatch, lambda: explore.pooling_backward(library_maxpool1d, backward, x_in=x_in))
    assert said in page["alt"]
    assert len(page["html"]) < 400_000
