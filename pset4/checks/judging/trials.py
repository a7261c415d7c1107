"""Trials of an attack on small networks: what one call was given, what came back, and what that shows.

The visible checks and the hidden exams both judge attacks with these functions. They look at returned images and at the
step's records only, so every way of attacking is as good as any other. Each returns "" where all is well, and else a
sentence for the student.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.outcome import Outcome
from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec, build
from pset4.images import round_to_8_bits
from pset4.steps import L2Step, l2_norms

TOLERANCE = 1e-3
DEFAULT_ITERATIONS = 200
LEAST_COSINE = 0.3  # A random direction in 192 dimensions has a cosine of about 0.07 with the target's gradient.


@dataclass(frozen=True)
class Trial:
    """One call of an attack.

    Attributes:
        spec: The network or the features that were attacked.
        x: The images that it started from (B, 3, H, W).
        goal: `class_id`, the target's features, or None.
        step: Step size, budget and original.
        n_iter: Number of steps that were allowed; None if the call left it out.
        outcome: What came back.
        x_position: Position of x among the arguments, 1 or 2; a goal stands at the other.
    """

    spec: NetworkSpec | FeaturesSpec
    x: Tensor
    goal: Any
    step: StepSpec
    n_iter: int | None
    outcome: Outcome
    x_position: int = 1

    @property
    def allowed(self) -> int:
        """Number of steps that were allowed."""
        return DEFAULT_ITERATIONS if self.n_iter is None else self.n_iter

    @cached_property
    def model(self) -> Any:
        """The callable that was attacked, built afresh."""
        return build(self.spec, self.x.device)

    @property
    def targets(self) -> Tensor:
        """The class at which each image aims, (B,)."""
        return torch.as_tensor(self.goal, device=self.x.device).expand(len(self.x))

    @cached_property
    def unusable(self) -> str:
        """Why the returned value cannot be looked at as images, or ""."""
        outcome = self.outcome
        if outcome.error:
            return f"the call raised {outcome.error}: {outcome.message}" if outcome.message else outcome.error
        if not isinstance(outcome.value, Tensor):
            return f"it returned {describe(outcome.value)} instead of a tensor of images"
        if outcome.value.shape != self.x.shape:
            return f"it returned the shape {tuple(outcome.value.shape)} for images of shape {tuple(self.x.shape)}"
        if not outcome.value.is_floating_point() or not bool(torch.isfinite(outcome.value).all()):
            return "the returned images hold NaN, infinity or whole numbers"
        return ""

    @property
    def image(self) -> Tensor:
        """The returned images; only where they are usable."""
        return torch.as_tensor(self.outcome.value).detach().to(self.x)

    @property
    def direction(self) -> Tensor | None:
        """The first direction that the step was given; for an attack that has its own step, the way that it went."""
        direction = self.outcome.first_direction
        if isinstance(direction, Tensor) and direction.shape == self.x.shape:
            return direction.detach().to(self.x)
        if self.outcome.steps == 0 and not self.unusable and bool(self.moved.any()):
            return self.image - self.x
        return None

    @property
    def moved(self) -> Tensor:
        """Whether each image has moved, (B,); only where they are usable."""
        return (self.image - self.x).flatten(1).abs().amax(dim=1) > 0


Kept = Mapping[str, Trial]
"""Trials by their labels."""


def describe(value: Any) -> str:
    """A value's kind, for a sentence."""
    return "nothing (None)" if value is None else f"a {getattr(value, 'type_name', type(value).__name__)}"


def wrong_form(trial: Trial) -> str:
    """Shape, dtype, device and graph of the returned images."""
    if trial.unusable:
        return trial.unusable
    value = trial.outcome.value
    if value.dtype != trial.x.dtype or value.device != trial.x.device:
        given, returned = f"{trial.x.dtype} on {trial.x.device}", f"{value.dtype} on {value.device}"
        return f"the images were {given}, and those that you return are {returned}"
    if trial.outcome.requires_grad:
        return "the returned images still require a gradient; return them detached"
    return ""


def leaves_budget(trial: Trial) -> str:
    """Pixels in [0, 1], and distance from the original at most eps."""
    if trial.unusable:
        return trial.unusable
    lowest, highest = float(trial.image.min()), float(trial.image.max())
    if lowest < -TOLERANCE or highest > 1 + TOLERANCE:
        return f"returned pixels lie in [{lowest:.3g}, {highest:.3g}]; they must stay in [0, 1]"
    distance = float(l2_norms(trial.image - trial.step.original.to(trial.x)).max())
    if distance > trial.step.eps + TOLERANCE:
        return f"a returned image is {distance:.3g} away from its original (L2 norm); the budget is {trial.step.eps:g}"
    return ""


def moves_otherwise(trial: Trial) -> str:
    """Whether `step.step` moved the images, and nothing else did.

    After one step the image is the step's own result (or the start, for an attack that keeps the better of the two).
    After several, it is no further from the start than their lengths together.
    """
    if trial.unusable:
        return trial.unusable
    steps, way = trial.outcome.steps, l2_norms(trial.image - trial.x)
    if steps == 0:
        return "`step.step` was never called; it is the only way in which x may move"
    if steps == 1 and trial.direction is not None:
        step = L2Step(trial.step.original.to(trial.x), trial.step.step_size, trial.step.eps)
        expected = step.step(trial.x, trial.direction)
        away = torch.minimum(l2_norms(trial.image - expected), way)
        if float(away.max()) > TOLERANCE:
            return "after one step the image is not what `step.step(x, direction)` returned for the x that was given"
    if float(way.max()) > steps * trial.step.step_size + TOLERANCE:
        return f"the image lies further from x than {steps} steps of {trial.step.step_size:g} can bring it"
    return ""


def too_many_steps(trial: Trial) -> str:
    """At most `n_iter` calls of the step."""
    if trial.outcome.steps <= trial.allowed:
        return ""
    given = "without n_iter (200)" if trial.n_iter is None else f"with n_iter={trial.n_iter}"
    return f"called {given}, it took {trial.outcome.steps} steps"


def never_looks_again(trial: Trial) -> str:
    """Whether all steps went in one direction, although the gradient of nothing but a plane stays as it is."""
    if not trial.outcome.same_direction:
        return ""
    return f"all {trial.outcome.steps} steps went in the direction of the first"


def changed_input(trial: Trial) -> str:
    """The caller's tensors are as they were."""
    for position, given, what in (
        (trial.x_position, trial.x, "images that were"),
        (3 - trial.x_position, trial.goal, "target that was"),
    ):
        after = trial.outcome.arguments_after[position] if len(trial.outcome.arguments_after) > position else None
        if isinstance(given, Tensor) and isinstance(after, Tensor) and not _equal(after, given):
            return f"the {what} given changed during the call; work on a copy"
    return ""


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a.detach().to(b) == b).all())


def not_a_copy(trial: Trial) -> str:
    """With `n_iter=0`, the same images in memory of their own."""
    if trial.unusable:
        return trial.unusable
    if not _equal(trial.image, trial.x):
        return "with n_iter=0 the returned images are not those that were given"
    if trial.outcome.same_object:
        return "with n_iter=0 it returns the very tensor that was given; return a copy"
    return ""


def fooled(trial: Trial, images: Tensor) -> Tensor:
    """Whether each image's target is its most probable class, (B,)."""
    with torch.no_grad():
        return torch.as_tensor(trial.model(images).argmax(dim=1) == trial.targets)


def misses_target(trial: Trial) -> str:
    """Success on every image: within the budget, and after rounding to 8 bits."""
    if reason := leaves_budget(trial):
        return reason
    hits = fooled(trial, round_to_8_bits(trial.image))
    if bool(hits.all()):
        return ""
    return f"after rounding to 8 bits, the target is the most probable class on {int(hits.sum())} of {len(hits)} images"


def never_fools(trial: Trial) -> str:
    """Whether the target is reached neither before nor after rounding, which decides where steps are very short."""
    if reason := leaves_budget(trial):
        return reason
    hits = fooled(trial, trial.image) | fooled(trial, round_to_8_bits(trial.image))
    return (
        "" if bool(hits.all()) else f"the target is the most probable class on {int(hits.sum())} of {len(hits)} images"
    )


def undone_by_rounding(trial: Trial) -> bool:
    """Whether every image had its target before rounding, but not after."""
    return not leaves_budget(trial) and bool(misses_target(trial)) and bool(fooled(trial, trial.image).all())


def class_directions(trial: Trial) -> Tensor:
    """Direction in which each class's logit grows and no other changes, at the start: (B, K, 3 H W), of length 1."""
    model = trial.model
    jacobian = torch.func.jacrev(lambda x: model(x).sum(dim=0))(trial.x.detach().clone())
    rows = torch.as_tensor(jacobian).flatten(2).transpose(0, 1).double()  # (B, K, D)
    return torch.nn.functional.normalize(torch.linalg.pinv(rows).mT, dim=2)


def class_cosines(trial: Trial) -> Tensor | None:
    """Cosine of the first direction with each class's own direction, (B, K), or None if there was no step."""
    if trial.direction is None:
        return None
    direction = torch.nn.functional.normalize(trial.direction.flatten(1).double(), dim=1)
    return torch.einsum("bkd,bd->bk", class_directions(trial), direction)


def target_cosines(trial: Trial) -> Tensor | None:
    """Cosine of the first direction with the target's own direction, (B,), or None if there was no step."""
    cosines = class_cosines(trial)
    return None if cosines is None else cosines.gather(1, trial.targets[:, None])[:, 0]


def norm_gradients(features_fn: Any, x: Tensor, norm: str = "l2") -> Tensor:
    """Gradient of each image's own norm (or sum, or maximum) of features that are linear in the pixels.

    For features A x, the gradients point along A^T A x (L2), A^T sign(A x) (L1), A^T 1 (sum), and the largest
    feature's row of A (maximum).

    Args:
        features_fn: A linear map, images (B, 3, H, W) -> activations (B, ...).
        x: The images.
        norm: "l2", "l1", "sum" or "max".

    Returns:
        (B, 3, H, W); only the direction means something.
    """
    units = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device).view(-1, *x.shape[1:])
    with torch.no_grad():
        transposed = features_fn(units).flatten(1)  # A^T: (D, F)
        features = features_fn(x).flatten(1)  # (B, F)
    weights = {
        "l2": features,
        "l1": features.sign(),
        "sum": torch.ones_like(features),
        "max": (features == features.amax(dim=1, keepdim=True)).to(x.dtype),
    }
    gradients: Tensor = weights[norm] @ transposed.T
    return gradients.view_as(x)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between the images of two batches, (B,)."""
    one, other = (torch.nn.functional.normalize(v.flatten(1).double(), dim=1, eps=1e-300) for v in (a, b))
    return torch.as_tensor((one * other).sum(dim=1))


def feature_norms(trial: Trial, images: Tensor) -> Tensor:
    """L2 norm of each image's features, (B,)."""
    with torch.no_grad():
        return torch.as_tensor(torch.linalg.vector_norm(trial.model(images).flatten(1), dim=1))


def feature_distances(trial: Trial, images: Tensor) -> Tensor:
    """Distance of each image's features from the target's, (B,)."""
    with torch.no_grad():
        return torch.as_tensor(torch.linalg.vector_norm((trial.model(images) - trial.goal).flatten(1), dim=1))
