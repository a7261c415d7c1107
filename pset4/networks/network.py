"""The networks of the course: one class, pixels in, logits over the 1000 ImageNet classes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, SupportsIndex, get_args

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from pset4.device import best_device
from pset4.files.assets import AssetUnavailableError, fetch
from pset4.networks.checkpoints import CheckpointError, read_madrylab, read_torchvision
from pset4.networks.efficientnet import load_efficientnet_lite0
from pset4.networks.folding import folded
from pset4.networks.imagenet import N_CLASSES, check_class_id, class_name
from pset4.networks.relatives import nearest_relative
from pset4.networks.small_resnet import ANIMAL_CLASSES, SIDE, PreActivationBlock, load_small_resnet, resize
from pset4.settings import data_folder

NetworkName = Literal["random", "standard", "robust", "standard_twin"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Softmax turns it into 0 exactly, and unlike -inf it keeps norms finite and gradients usable.
UNKNOWN_LOGIT = -1e4
RANDOM_SEED = 0


class Normalise(nn.Module):
    """Shifts and scales each colour channel: (pixels - mean) / std, images (B, 3, H, W)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Takes one mean and one standard deviation for each channel, in pixels of [0, 1]."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised images, same shape."""
        return (pixels - self.mean) / self.std


class Network(nn.Module):
    """A classifier: pixels -> preparation -> stem -> stages -> head -> logits.

    Its normalisation is inside, so that every image and every budget is in pixels of [0, 1]. Its weights are frozen and
    it stays in eval mode: only images are ever changed.

    Attributes:
        name: "random", "standard", "robust" or "standard_twin".
        description: Which network it is, in a few words.
        known_classes: ImageNet ids that it was trained on, in the order of its own outputs.
        n_stages: Number of stages, the values of `i` that `features` takes.
    """

    known: Tensor

    def __init__(
        self,
        *,
        name: str,
        description: str,
        prepare: nn.Module,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        head: nn.Module,
        known_classes: Sequence[int] = range(N_CLASSES),
    ) -> None:
        """Puts the parts together, freezes them and switches to eval mode."""
        super().__init__()
        self.name = name
        self.description = description
        self.known_classes = tuple(known_classes)
        self.prepare, self.stem, self.head = prepare, stem, head
        self.stages = nn.ModuleList(stages)
        self.register_buffer("known", torch.tensor(self.known_classes), persistent=False)
        self.requires_grad_(False)
        self.train(False)

    @property
    def n_stages(self) -> int:
        """Number of stages."""
        return len(self.stages)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of the 1000 ImageNet classes; a class that the network does not know gets -10000.

        Args:
            pixels: (B, 3, H, W), floating point, in [0, 1].

        Returns:
            (B, 1000).

        Raises:
            ValueError: If `pixels` is not a floating-point batch of RGB images.
        """
        logits: Tensor = self.head(self._activations(pixels, self.n_stages - 1))
        if len(self.known_classes) == N_CLASSES:
            return logits
        everything = logits.new_full((len(logits), N_CLASSES), UNKNOWN_LOGIT)
        return everything.index_copy(1, self.known, logits)

    def features(self, i: int) -> Callable[[Tensor], Tensor]:
        """The callable that maps images (B, 3, H, W) to the activations (B, C, H', W') after the stem and stages 0..i.

        Raises:
            ValueError: If the network has no stage i.
        """
        if not 0 <= i < self.n_stages:
            raise ValueError(f"i must be a stage from 0 to {self.n_stages - 1} of {self.description}, not {i!r}")
        return partial(self._activations, last_stage=i)

    def _activations(self, pixels: Tensor, last_stage: int) -> Tensor:
        if pixels.dim() != 4 or pixels.shape[1] != 3 or not pixels.is_floating_point():
            raise ValueError(
                f"a network takes a batch of images (B, 3, H, W), floating point, pixels in [0, 1], not a tensor of "
                f"shape {tuple(pixels.shape)} and dtype {pixels.dtype}"
            )
        x: Tensor = self.stem(self.prepare(pixels.to(self._dtype())))
        for stage in self.stages[: last_stage + 1]:
            x = stage(x)
        return x

    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def train(self, mode: bool = True) -> Network:
        """Stays in eval mode whatever `mode` says: batch statistics of an attack must not move the network."""
        super().train(False)
        return self

    def knows(self, class_id: SupportsIndex) -> bool:
        """Whether the network was trained on that class.

        Raises:
            ValueError: If there is no ImageNet class of that id.
        """
        return check_class_id(class_id) in self.known_classes

    def nearest_known(self, class_id: SupportsIndex) -> int:
        """The class itself if the network knows it, else its nearest relative among the known animals.

        Raises:
            ValueError: If there is no such class, or it is a thing and the network knows only animals.
        """
        index = check_class_id(class_id)
        if self.knows(index):
            return index
        relative = nearest_relative(index)
        if relative is None or relative not in self.known_classes:
            raise ValueError(
                f"{self.description} does not know class {index} ({class_name(index)}), nor any relative of it; "
                "it knows " + ", ".join(f"{known} {class_name(known)}" for known in sorted(self.known_classes))
            )
        return relative


def load_model(name: NetworkName, device: torch.device | str | None = None, *, verbose: bool = True) -> Network:
    """Loads a network of the course and says in one line which one it took, and why.

    "random" is torchvision's ResNet-50 with random weights (always the same ones), which needs no download. "standard"
    and "robust" are ResNet-50s, trained on ImageNet without and with an adversary (L2, eps 3), if their files are on
    this machine or can be downloaded; else small ones that come with the extra `embedded` and with the course.
    "standard_twin" is the small robust network's architecture, trained without the adversary.

    Args:
        name: One of the four.
        device: Where it goes; the best device of this machine by default.
        verbose: Whether to print the line.

    Raises:
        ValueError: If the name is not one of the four.
        ChecksumError: If a file of the full network is there but wrong.
        CheckpointError, UnsafeCheckpointError: If it is not a file of that network's weights.
        ImportError: If the extra `embedded` is needed and not installed.
    """
    if name not in get_args(NetworkName):
        raise ValueError(f"there is no network {name!r}; choose one of {', '.join(get_args(NetworkName))}")
    network, why = LOADERS[name]()
    if verbose:
        print(f"{name}: {network.description}, {why}.")
    return network.to(device or best_device())


def _random() -> tuple[Network, str]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        resnet = resnet50(weights=None)
    return resnet_network(resnet, "random", "ResNet-50 with random weights"), "which needs no download"


def _standard() -> tuple[Network, str]:
    try:
        path = fetch("resnet50_standard")
    except AssetUnavailableError as reason:
        return efficientnet_network(), f"because the weights of ResNet-50 {reason.short}"
    resnet = _filled_resnet50(read_torchvision(path), path)
    return resnet_network(
        resnet, "standard", "ResNet-50 (full size, trained on ImageNet)"
    ), f"whose weights are in {path.parent}"


def _robust() -> tuple[Network, str]:
    try:
        path = fetch("resnet50_robust")
    except AssetUnavailableError as reason:
        return small_network("robust"), f"because the weights of MadryLab's robust ResNet-50 {reason.short}"
    weights, mean, std = read_madrylab(path)
    resnet = _filled_resnet50(weights, path)
    description = "ResNet-50 (full size, trained on ImageNet against an L2 adversary, eps 3)"
    return resnet_network(resnet, "robust", description, mean=mean, std=std), f"whose weights are in {path.parent}"


def _standard_twin() -> tuple[Network, str]:
    return small_network("standard_twin"), "which comes with the course"


LOADERS: dict[NetworkName, Callable[[], tuple[Network, str]]] = {
    "random": _random,
    "standard": _standard,
    "robust": _robust,
    "standard_twin": _standard_twin,
}
"""What makes each network and says why it is this one; the grading engine puts networks that it has loaded here."""


def _filled_resnet50(weights: Mapping[str, Tensor], path: Path) -> nn.Module:
    """A ResNet-50 with the weights of a file; built on the meta device, where random initialisation costs nothing."""
    with torch.device("meta"):
        resnet: nn.Module = resnet50(weights=None)
    resnet.to_empty(device="cpu")
    try:
        resnet.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not hold the weights of a ResNet-50: {error}") from None
    return resnet


def resnet_network(
    resnet: nn.Module,
    name: str,
    description: str,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Network:
    """A torchvision ResNet as `Network`; its four layers are the stages."""
    part = resnet.get_submodule
    return Network(
        name=name,
        description=description,
        prepare=Normalise(mean, std),
        stem=nn.Sequential(part("conv1"), part("bn1"), part("relu"), part("maxpool")),
        stages=[part(f"layer{i}") for i in range(1, 5)],
        head=nn.Sequential(part("avgpool"), nn.Flatten(), part("fc")),
    )


def efficientnet_network() -> Network:
    """EfficientNet-Lite0 as `Network`: the standard one where the full-size weights cannot be had.

    Raises:
        ImportError: If the extra `embedded` is not installed.
    """
    parts = load_efficientnet_lite0()
    return Network(
        name="standard",
        description="EfficientNet-Lite0 (embedded, trained on ImageNet)",
        prepare=Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        stem=parts.stem,
        stages=parts.stages,
        head=parts.head,
    )


SMALL_NETWORKS = {
    "robust": (
        "robust_animals57.safetensors",
        "small ResNet (embedded, trained on 57 animals against an L2 adversary)",
    ),
    "standard_twin": ("standard_animals57.safetensors", "small ResNet (embedded, trained on 57 animals, no adversary)"),
}


class Resize(nn.Module):
    """Resizes images (B, 3, H, W) to (B, 3, side, side), differentiably."""

    def __init__(self, side: int) -> None:
        """Takes the side of the square in pixels."""
        super().__init__()
        self.side = side

    def forward(self, pixels: Tensor) -> Tensor:
        """Resized images."""
        return resize(pixels, self.side)


def small_network(name: Literal["robust", "standard_twin"]) -> Network:
    """One of the two small networks that come with the course; its logits are log-probabilities.

    Softmax leaves a constant free. Fixed so that the probabilities need no further division, a class's logit cannot
    grow by lifting all others with it: an attack on the raw logit does here what one on the log-probability does.

    Raises:
        FileNotFoundError: If its weights are missing.
    """
    file_name, description = SMALL_NETWORKS[name]
    path: Path = data_folder() / file_name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it comes with the course: install it again")
    small = load_small_resnet(path)
    for block in small.modules():
        if isinstance(block, PreActivationBlock) and isinstance(block.norm2, nn.BatchNorm2d):
            block.conv1, block.norm2 = folded(block.conv1, block.norm2), nn.Identity()
    return Network(
        name=name,
        description=description,
        prepare=nn.Sequential(Resize(SIDE), Normalise(small.mean.flatten().tolist(), small.std.flatten().tolist())),
        stem=small.stem,
        stages=list(small.stages),
        head=nn.Sequential(small.head, nn.LogSoftmax(dim=1)),
        known_classes=ANIMAL_CLASSES,
    )
