"""`L2Step`: what the exercises promise of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pset4.steps import L2Step, l2_norms

SHAPE = (2, 3, 4, 5)


def images(seed: int = 0, shape: tuple[int, ...] = SHAPE, low: float = 0.3, high: float = 0.7) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def directions(seed: int = 1, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).flatten(1).norm(dim=1)


def test_a_step_has_the_given_length_along_the_direction() -> None:
    original, direction = images(), directions()
    moved = L2Step(original, step_size=0.1, eps=3).step(original, direction)
    unit = direction / direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert torch.allclose(moved - original, 0.1 * unit)


def test_a_step_by_hand() -> None:
    original = torch.full((1, 1, 1, 2), 0.5)
    moved = L2Step(original, step_size=0.5, eps=0.25).step(original, torch.tensor([[[[3.0, -4.0]]]]))
    # The step leads to (0.8, 0.1), 0.5 away; the ball's edge is half way there.
    assert torch.allclose(moved, torch.tensor([[[[0.65, 0.3]]]]))


@given(scale=st.floats(-150, 150), seed=st.integers(0, 5))
def test_the_length_of_the_direction_does_not_matter(scale: float, seed: int) -> None:
    original, direction = images(seed), directions(seed)
    step = L2Step(original, step_size=0.2, eps=1)
    expected = step.step(original, direction)
    assert torch.allclose(step.step(original, direction * 10.0**scale), expected)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30, 1e37])
def test_gradients_at_the_ends_of_float32_move_the_image_too(scale: float) -> None:
    original = images().float()
    moved = L2Step(original, step_size=0.1, eps=3).step(original, directions().float() * scale)
    assert torch.allclose(distance(moved, original), torch.tensor(0.1), rtol=0.01)


@given(seed=st.integers(0, 20), step_size=st.floats(0.01, 20), eps=st.floats(0.01, 10), n=st.integers(1, 4))
def test_images_stay_in_the_ball_and_in_the_range_of_pixels(seed: int, step_size: float, eps: float, n: int) -> None:
    original = images(seed, low=0, high=1)
    step = L2Step(original, step_size=step_size, eps=eps)
    x = original
    for i in range(n):
        x = step.step(x, directions(seed + i))
    assert bool((distance(x, original) <= eps * (1 + 1e-9)).all())
    assert float(x.min()) >= 0 and float(x.max()) <= 1


def test_projection_is_the_nearest_point_of_the_ball() -> None:
    original = images()
    outside = original + 0.01 * directions()
    direction = directions(seed=2)
    step = L2Step(original, step_size=1e-12, eps=0.05)
    offset = outside - original
    expected = original + 0.05 * offset / l2_norms(offset)
    assert torch.allclose(step.step(outside, direction), expected, atol=1e-9)


def test_inside_the_ball_nothing_is_projected() -> None:
    original = images()
    near = original + 1e-3 * directions()
    moved = L2Step(original, step_size=1e-3, eps=50).step(near, directions(2))
    expected = near + 1e-3 * directions(2) / l2_norms(directions(2))
    assert torch.allclose(moved, expected, rtol=0, atol=1e-12)


def test_a_zero_direction_leaves_its_image_where_it_is() -> None:
    original, direction = images(), directions()
    direction[0] = 0
    step = L2Step(original, step_size=0.3, eps=0.1)
    x = original + 0.5 * directions(3)  # far outside of the ball and of [0, 1]
    moved = step.step(x, direction)
    assert torch.equal(moved[0], x[0])
    assert not torch.equal(moved[1], x[1])


def test_each_image_of_a_batch_is_treated_alone() -> None:
    original, x, direction = images(), images(4), directions() * torch.tensor([1.0, 1e6]).view(2, 1, 1, 1)
    together = L2Step(original, step_size=0.4, eps=0.3).step(x, direction)
    for i in range(2):
        alone = L2Step(original[i : i + 1], step_size=0.4, eps=0.3).step(x[i : i + 1], direction[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone)


def test_one_original_serves_a_whole_batch() -> None:
    original = images(shape=(1, 3, 4, 5))
    moved = L2Step(original, step_size=5, eps=0.2).step(original.expand(SHAPE), directions())
    assert torch.allclose(distance(moved, original), torch.tensor(0.2, dtype=torch.float64))


def test_the_result_is_a_new_detached_leaf() -> None:
    original = images()
    x = original.clone().requires_grad_()
    direction = directions().requires_grad_()
    moved = L2Step(original, step_size=0.1, eps=1).step(x, direction * 2)
    assert moved.is_leaf and not moved.requires_grad and moved.grad_fn is None
    assert moved.data_ptr() != x.data_ptr()
    still = L2Step(original, step_size=0.1, eps=1).step(x, torch.zeros_like(x))
    assert still.is_leaf and not still.requires_grad and still.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_is_kept_and_inputs_are_not_changed(dtype: torch.dtype) -> None:
    original, x, direction = images().to(dtype), images(2).to(dtype), directions().to(dtype)
    copies = [tensor.clone() for tensor in (original, x, direction)]
    moved = L2Step(original, step_size=0.1, eps=0.05).step(x, direction)
    assert moved.dtype == dtype and moved.shape == x.shape
    assert all(torch.equal(*pair) for pair in zip((original, x, direction), copies, strict=True))


@pytest.mark.parametrize("name", ["step_size", "eps"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_budget_or_step_that_means_nothing_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive number.*not {value}"):
        L2Step(images(), **{"step_size": 0.5, "eps": 3.0, name: value})


@pytest.mark.parametrize(
    ("original", "message"),
    [
        (torch.zeros(3, 4, 5), r"\(3, 4, 5\)"),
        (torch.full(SHAPE, 1.5), r"pixels in \[0, 1\]"),
        (torch.full(SHAPE, -0.5), r"pixels in \[0, 1\]"),
        (torch.full(SHAPE, torch.nan), r"pixels in \[0, 1\]"),
    ],
)
def test_an_original_that_is_no_batch_of_images_is_refused(original: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        L2Step(original, step_size=0.5, eps=3)


@pytest.mark.parametrize(
    ("direction", "message"),
    [
        (torch.ones(1, 3, 4, 5), "one shape"),
        (torch.full(SHAPE, torch.nan), "NaN or infinity"),
        (torch.full(SHAPE, torch.inf), "NaN or infinity"),
    ],
)
def test_a_direction_that_leads_nowhere_is_refused(direction: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        L2Step(images(), step_size=0.5, eps=3).step(images(), direction.double())


def test_norms_are_taken_per_image() -> None:
    norms = l2_norms(torch.tensor([[[[3.0, 4.0]]], [[[0.0, 0.0]]], [[[1e-30, 0.0]]]]))
    assert norms.shape == (3, 1, 1, 1)
    assert norms.flatten().tolist() == pytest.approx([5.0, 0.0, 1e-30])
