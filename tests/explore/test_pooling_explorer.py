"""What `explore.pooling` answers: winners, ties, and what stays equal when the signal moves by one."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from pset4 import explore
from pset4.explore.explorer import reply
from tests.helpers.explorers import built, displayed


def maxpool1d(x_in: Tensor, size: int) -> Tensor:
    return x_in.unfold(0, size, 1).amax(dim=1)


def zero_padded(x_in: Tensor, size: int) -> Tensor:
    return maxpool1d(torch.nn.functional.pad(x_in, (0, size - 1)), size)


def mean(x_in: Tensor, size: int) -> Tensor:
    return x_in.unfold(0, size, 1).mean(dim=1)


def state(x_in: list[float], size: int, *, shift: bool = False) -> dict[str, object]:
    return {"x_in": x_in, "size": size, "shift": shift}


def test_each_window_names_its_winners_and_a_tie_names_all(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(monkeypatch, lambda: explore.pooling(maxpool1d))
    answer = reply(explorer, state([3, -1, 3, 2], 3))["answer"]
    assert answer["output"] == [3, 3]
    assert answer["winners"] == [[0, 2], [2]]
    assert "tie in window 0" in answer["words"]


def test_a_wrong_function_draws_its_own_wrong_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(monkeypatch, lambda: explore.pooling(mean))
    answer = reply(explorer, state([1, 3, 5], 2))["answer"]
    assert answer["winners"] == [[], []]
    assert answer["words"].startswith("✗ x_out[0] = 2")


def test_an_output_for_windows_that_stick_out_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(monkeypatch, lambda: explore.pooling(zero_padded))
    answer = reply(explorer, state([2, -1, -2], 2))["answer"]
    assert answer["winners"] == [[0], [1], []]


def test_what_stays_when_the_signal_moves_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = built(monkeypatch, lambda: explore.pooling(maxpool1d))
    answer = reply(explorer, state([0, 0, 3, 0, 0], 3, shift=True))["answer"]
    assert answer["moved"] == [0, 0, 0, 3, 0]
    assert answer["same_in"] == [True, True, False, False, True]
    assert answer["same_out"] == [False, True, True]
    assert "3 of 5 inputs and 2 of 3 outputs" in answer["words"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x_in, size: float(x_in.max()), "vector with a number for each window"),
        (lambda x_in, size: torch.cat([x_in, x_in]), "returned more"),
        (lambda x_in, size: x_in[100], "your code stops"),
    ],
    ids=["a number", "too long", "raises"],
)
def test_what_cannot_be_drawn_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, wrong: object, said: str
) -> None:
    explorer = built(monkeypatch, lambda: explore.pooling(wrong))  # type: ignore[arg-type]
    assert said in reply(explorer, explorer.state)["error"]


def test_every_size_and_the_shift_are_there_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    page = displayed(monkeypatch, lambda: explore.pooling(maxpool1d))
    assert len(page["data"]["frames"]) == 18
    assert len(json.dumps(page["html"])) < 400_000


def test_a_size_at_which_the_function_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_at_one(x_in: Tensor, size: int) -> Tensor:
        assert size > 1
        return maxpool1d(x_in, size)

    page = displayed(monkeypatch, lambda: explore.pooling(fails_at_one))
    assert {frame["size"] for frame, _ in page["data"]["frames"]} == set(range(2, 10))


def test_an_open_exercise_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def still_open(x_in: Tensor, size: int) -> Tensor:
        raise NotImplementedError("exercise p1b_maxpool1d is still open")

    with pytest.raises(NotImplementedError):
        displayed(monkeypatch, lambda: explore.pooling(still_open))
