"""What `explore.one_step` answers: the parts of an `L2Step` on an image of two pixels."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pset4 import explore
from pset4.explore.explorer import reply
from pset4.figures.plane import draw_step, spider_probabilities, step_in_plane
from tests.helpers.explorers import built, displayed

PIXELS = st.tuples(st.floats(0, 1), st.floats(0, 1))
DIRECTIONS = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


def state(**changes: Any) -> dict[str, Any]:
    start = {"original": [0.5, 0.5], "x": [0.5, 0.5], "direction": [0.3, 0.4], "step_size": 0.5, "eps": 0.25}
    return start | changes


@settings(max_examples=60, deadline=None)
@given(original=PIXELS, x=PIXELS, direction=DIRECTIONS, step_size=st.floats(0.1, 0.8), eps=st.floats(0.05, 0.6))
def test_the_parts_of_a_step_lead_where_the_step_itself_leads(
    original: tuple[float, float], x: tuple[float, float], direction: tuple[float, float], step_size: float, eps: float
) -> None:
    step = step_in_plane(original, x, direction, step_size=step_size, eps=eps)
    if direction == (0, 0):
        assert step.end == x
    else:
        assert torch.tensor(step.projected).clamp(0, 1).tolist() == pytest.approx(step.end, abs=1e-5)


def test_the_example_of_the_notebook_is_moved_projected_and_clamped() -> None:
    step = step_in_plane((0.5, 0.9), (0.5, 0.9), (3, 4), step_size=0.5, eps=0.25)
    assert step.unit == pytest.approx((0.6, 0.8))
    assert step.moved == pytest.approx((0.8, 1.3))
    assert step.projected == pytest.approx((0.65, 1.1))
    assert step.end == pytest.approx((0.65, 1))


@pytest.mark.parametrize(
    ("direction", "change"), [([0.3, 0.2], "smaller"), ([-0.3, -0.2], "larger"), ([0, 0], "leaves the image")]
)
def test_words_say_what_becomes_of_the_cost(
    monkeypatch: pytest.MonkeyPatch, direction: list[float], change: str
) -> None:
    explorer = built(monkeypatch, explore.one_step)
    assert change in reply(explorer, state(direction=direction))["answer"]["words"]


def test_step_size_and_budget_move_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    output = displayed(monkeypatch, explore.one_step)
    framed = [json.dumps(known) for known, _ in output["data"]["frames"]]
    assert len(framed) == len(set(framed)) == 96
    assert len(output["html"]) < 200_000


def test_the_map_holds_both_classes() -> None:
    probabilities = spider_probabilities(torch.tensor([[0.1, 0.1], [0.9, 0.9]]))
    assert probabilities[0] < 0.1
    assert probabilities[1] > 0.8


def test_the_still_says_where_the_step_leads() -> None:
    label = draw_step((0.5, 0.9), (0.5, 0.9), (3, 4), step_size=0.5, eps=0.25).get_label()
    assert "(0.80, 1.30)" in label
    assert "(0.65, 1.00)" in label
