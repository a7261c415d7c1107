"""Small networks that exams and visible checks describe by name (`pset4.checks.calling.specs`).

Each is a few thousand random weights on images of 8 x 8 pixels, so that an attack on it takes milliseconds. Classes
pull in nearly orthogonal directions: every class can be reached from every image within a small budget, whichever
objective an attack climbs. With `dtype="float64"`, their weights are in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import pairwise

import torch
from torch import Tensor, nn

from pset4.checks.calling.specs import register
from pset4.networks.network import NetworkName, load_model

Features = Callable[[Tensor], Tensor]


class SmallClassifier(nn.Module):
    """Two convolutional stages and a linear head: pixels in [0, 1] -> logits (B, classes).

    Attributes:
        stages: Activations (B, 8, H, W), then (B, 16, H/2, W/2).
        sharpness: Factor on the logits; large ones saturate softmax in float32.
    """

    def __init__(self, *, classes: int = 10, sharpness: float = 8.0, dtype: str = "float32") -> None:
        """Draws random weights with orthogonal rows."""
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Tanh()),
                nn.Sequential(nn.Conv2d(8, 16, 2, stride=2, bias=False), nn.Tanh()),
            ]
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, classes, bias=False))
        self.sharpness = sharpness
        for weight in self.parameters():
            nn.init.orthogonal_(weight)
        self.to(getattr(torch, dtype))

    def _activations(self, x: Tensor, layer: int) -> Tensor:
        h = x - 0.5
        for stage in self.stages[: layer + 1]:
            h = stage(h)
        return h

    def features(self, layer: int) -> Features:
        """The callable image -> activations after stages 0..layer."""
        return lambda x: self._activations(x, layer)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.sharpness * self.head(self._activations(x, len(self.stages) - 1))
        return logits


class LinearFeatures(nn.Module):
    """Features that are linear in the pixels, so that the gradients of their norms are known in closed form."""

    def __init__(self, *, channels: int = 6, dtype: str = "float32") -> None:
        """Draws one convolution with random weights for each layer."""
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(3, channels, 3, padding=1, bias=False),
                nn.Conv2d(channels, 2 * channels, 2, stride=2, bias=False),
            ]
        )
        self.to(getattr(torch, dtype))

    def features(self, layer: int) -> Features:
        """The linear map image -> (B, channels, ...) after layers 0..layer."""
        return nn.Sequential(*self.layers[: layer + 1])

    def forward(self, x: Tensor) -> Tensor:
        """Each channel's mean, for completeness: a network has logits."""
        return self.features(len(self.layers) - 1)(x).mean(dim=(2, 3))


class Wrapped(nn.Module):
    """Another network with its normalisation in front, as the course's own networks have it."""

    def __init__(self, network: nn.Module) -> None:
        """Wraps `network`."""
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.network((x - 0.45) / 0.22)
        return logits


class WithHead(nn.Module):
    """A convolution and linear layers that are called `fc`, `head` or `classifier`, as networks call them."""

    def __init__(self, head: nn.Module, *, name: str, channels: int) -> None:
        """Pools to 2 x 2, so that the last linear layer's inputs are not the convolution's channels."""
        super().__init__()
        convolution = nn.Conv2d(3, channels, 3, padding=1)
        self.stem = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head_name = name
        self.add_module(name, head)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = getattr(self, self.head_name)(self.stem(x))
        return logits


register("exam_classifier")(SmallClassifier)
register("exam_linear_features")(LinearFeatures)


@register("exam_one_linear")
def one_linear(*, channels: int = 7, classes: int = 10, wrapped: bool = False) -> nn.Module:
    """A network whose only linear layer is called `fc`, with `4 * channels` inputs."""
    network = WithHead(nn.Linear(4 * channels, classes), name="fc", channels=channels)
    return Wrapped(Wrapped(network)) if wrapped else network


@register("exam_deep_head")
def deep_head(
    *, channels: int = 7, hidden: int = 50, last: int = 20, classes: int = 10, wrapped: bool = False
) -> nn.Module:
    """A network with three linear layers, the last one with `last` inputs, and a dropout after it."""
    sizes = (4 * channels, hidden, last, classes)
    first, second, third = (nn.Linear(*pair) for pair in pairwise(sizes))
    head = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third, nn.Dropout())
    network = WithHead(head, name="classifier", channels=channels)
    return Wrapped(network) if wrapped else network


@register("exam_resnet50")
def resnet50() -> nn.Module:
    """torchvision's ResNet-50 without values in its weights: it is there to be inspected, and made in milliseconds."""
    with torch.device("meta"):
        network: nn.Module = import_module("torchvision.models").resnet50(weights=None)
    return network.to_empty(device="cpu")


@register("course_network")
def course_network(*, name: NetworkName) -> nn.Module:
    """A network of the course itself, for images of 224 x 224 pixels; the one module here that is not small."""
    return load_model(name, "cpu", verbose=False)
