"""What `explore.attack` answers: each network's image at a step and a budget, and what the other networks say of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pset4 import explore
from pset4.explore.explorer import reply
from pset4.traces import CodeStopped
from tests.helpers.explorers import built, displayed

IMAGE = torch.full((1, 3, 8, 8), 0.5)


class Balance(nn.Module):
    """Class 0 sees a dark image, class 1 a bright one, in the colours that count."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weights = torch.tensor(weights).view(1, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        brightness = (self.weights * (images - 0.52)).sum(dim=(1, 2, 3))
        return torch.stack([-brightness, brightness], dim=1)


NETWORKS = {"red": Balance(1, 0, 0), "all": Balance(1, 1, 1), "blue": Balance(0, 0, 1)}


def attack(model_fn: Any, x: Tensor, class_id: int, step: Any, n_iter: int, sign: int = -1) -> Tensor:
    for _ in range(n_iter):
        x = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model_fn(x), torch.tensor([class_id])), x)
        x = step.step(x, sign * gradient)
    return x


def uphill(model_fn: Any, x: Tensor, class_id: int, step: Any, n_iter: int) -> Tensor:
    return attack(model_fn, x, class_id, step, n_iter, sign=1)


def impatient(model_fn: Any, x: Tensor, class_id: int, step: Any, n_iter: int) -> Tensor:
    return attack(model_fn, x, class_id, step, 1)


def failing(model_fn: Any, x: Tensor, class_id: int, step: Any, n_iter: int) -> Tensor:
    raise RuntimeError("no gradient")


def still_open(model_fn: Any, x: Tensor, class_id: int, step: Any, n_iter: int) -> Tensor:
    raise NotImplementedError("exercise p4a_attack is still open")


def answers(monkeypatch: pytest.MonkeyPatch, function: Any, *states: tuple[int, int]) -> list[dict[str, Any]]:
    explorer = built(monkeypatch, lambda: explore.attack(function, NETWORKS, IMAGE, 1, steps=(0, 1, 4)))
    return [reply(explorer, {"step": step, "eps": eps})["answer"] for step, eps in states]


def test_step_0_is_the_photo_and_the_last_step_fools_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = answers(monkeypatch, attack, (0, 0), (2, 0))
    assert [column["l2"] for column in first["columns"]] == [0, 0, 0]
    assert "fools no network" in first["words"]
    assert all(0 < column["l2"] <= 3 for column in last["columns"])
    assert [column["top"][0][2] for column in last["columns"]] == [True, True, True]


def test_an_image_that_fools_another_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    [last] = answers(monkeypatch, attack, (2, 0))
    assert [fooled for _, fooled in last["columns"][0]["others"]] == [True, True, False]
    assert "made against red fools all" in last["words"]
    assert "made against red fools blue" not in last["words"]


def test_the_wrong_sign_draws_its_own_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = answers(monkeypatch, uphill, (0, 2), (2, 2))
    assert last["columns"][0]["others"][0][0] < first["columns"][0]["others"][0][0]
    assert "fools no network" in last["words"]


def test_an_attack_that_stops_early_stays_at_its_last_image(monkeypatch: pytest.MonkeyPatch) -> None:
    second, last = answers(monkeypatch, impatient, (1, 0), (2, 0))
    assert second["columns"] == last["columns"]


def test_every_position_is_shown_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    output = displayed(monkeypatch, lambda: explore.attack(attack, NETWORKS, IMAGE, 1, steps=(0, 1, 4)))
    data = output["data"]
    assert len(data["frames"]) == 9
    assert all(control["framed"] for control in data["controls"])
    used = {column[name] for _, a in data["frames"] for column in a["columns"] for name in ("picture", "difference")}
    assert used == set(range(len(data["constants"]["pictures"])))
    assert "made against red, which sees goldfish" in output["alt"]


def test_while_grading_only_the_stills_budget_is_attacked(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = []

    def watched(model_fn: Any, x: Tensor, class_id: int, step: Any, n_iter: int) -> Tensor:
        budgets.append(step.eps)
        return attack(model_fn, x, class_id, step, n_iter)

    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    monkeypatch.setattr("IPython.display.display", lambda output, **options: None)
    explore.attack(watched, NETWORKS, IMAGE, 1, steps=(0, 1))
    assert budgets == [3, 3, 3]


def test_an_open_exercise_and_an_error_are_passed_on_in_short() -> None:
    with pytest.raises(NotImplementedError, match="still open"):
        explore.attack(still_open, NETWORKS, IMAGE, 1)
    with pytest.raises(CodeStopped, match="no gradient"):
        explore.attack(failing, NETWORKS, IMAGE, 1)
