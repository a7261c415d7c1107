"""Descriptions of the callables that an exercise receives, so that they can cross a process boundary as data.

A grader never sends code to a student's process and never takes code back. What an exercise is given as a callable
(`model`, `model_fn`, `features_fn`, `step`) is described by one of the classes below: a registered name, a seed,
tensors and numbers. `build` turns the description into the callable, in whichever process it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pset4.steps import L2Step

Option = int | float | str | bool
Maker = Callable[..., nn.Module]


@dataclass(frozen=True)
class NetworkSpec:
    """A registered network: images (B, C, H, W) -> logits (B, K).

    Attributes:
        architecture: A name in `ARCHITECTURES`.
        seed: Seed of its random weights.
        options: Keyword arguments of the architecture.
    """

    architecture: str
    seed: int = 0
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True)
class FeaturesSpec:
    """The activations of a registered network after its stem and stages 0..layer."""

    network: NetworkSpec
    layer: int = 0


@dataclass(frozen=True)
class StepSpec:
    """An `L2Step` round `original`."""

    original: Tensor
    step_size: float
    eps: float


Spec = NetworkSpec | FeaturesSpec | StepSpec


class RecordingStep:
    """An `L2Step` that counts its calls and keeps the directions that it was given.

    It has the attributes of the step that it stands for, so that a student's code cannot tell them apart by accident.
    """

    def __init__(self, step: L2Step) -> None:
        """Wraps `step`."""
        self._step = step
        self.original, self.step_size, self.eps = step.original, step.step_size, step.eps
        self.calls = 0
        self.first_direction: Tensor | None = None
        self._one_direction = True

    def step(self, x: Tensor, direction: Tensor) -> Tensor:
        """The step's own result; the call is counted and the first direction is kept."""
        self.calls += 1
        if self.first_direction is None:
            self.first_direction = direction.detach().clone()
        elif self._one_direction:
            self._one_direction = _parallel(direction, self.first_direction)
        return self._step.step(x, direction)

    @property
    def same_direction(self) -> bool:
        """Whether all of two or more directions were one, up to its length."""
        return self.calls > 1 and self._one_direction


def _parallel(one: Any, other: Tensor) -> bool:
    """Whether two directions are one up to length and rounding, for every image; none is parallel to nothing."""
    if not isinstance(one, Tensor) or one.shape != other.shape or one.dim() < 2 or not one.numel():
        return False
    rows = [torch.nn.functional.normalize(t.detach().double().flatten(1), dim=1) for t in (one, other)]
    return bool(((rows[0] * rows[1]).sum(dim=1) > 1 - 1e-9).all())


ARCHITECTURES: dict[str, Maker] = {}


def register(name: str) -> Callable[[Maker], Maker]:
    """Decorator: makes a network available to `NetworkSpec` under `name`."""

    def add(maker: Maker) -> Maker:
        if name in ARCHITECTURES:
            raise ValueError(f"an architecture named {name!r} is registered already")
        ARCHITECTURES[name] = maker
        return maker

    return add


def build_network(spec: NetworkSpec, device: torch.device | str = "cpu") -> nn.Module:
    """Builds a registered network with the random weights of its seed, frozen and in eval mode.

    Raises:
        KeyError: If the architecture is not registered.
    """
    if spec.architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise KeyError(f"no architecture is registered as {spec.architecture!r}; known: {known}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        network = ARCHITECTURES[spec.architecture](**spec.options)
    return network.to(device).eval().requires_grad_(False)


def build(spec: Spec, device: torch.device | str = "cpu") -> Any:
    """Builds the callable that a specification describes.

    Returns:
        `NetworkSpec`: an `nn.Module`; `FeaturesSpec`: its `features(layer)`; `StepSpec`: a `RecordingStep`.
    """
    if isinstance(spec, NetworkSpec):
        return build_network(spec, device)
    if isinstance(spec, FeaturesSpec):
        network: Any = build_network(spec.network, device)
        return network.features(spec.layer)
    return RecordingStep(L2Step(spec.original.to(device), spec.step_size, spec.eps))
