"""The architecture of the embedded networks: a small pre-activation ResNet for 57 animals at 64 x 64 pixels.

Residual blocks as in He et al. (2016), "Identity mappings in deep residual networks"; SiLU instead of ReLU, because
adversarial training gains from smooth activations (Xie et al., 2020, "Smooth adversarial training").
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

# The size that every image is brought to. Each step up costs training time with the square of the side.
SIDE = 64
CHANNELS = (32, 64, 128, 256)
BLOCKS = (1, 2, 2, 2)

# ImageNet ids of the 57 outputs, in their order: the animals of Tiny ImageNet-200, sorted by WordNet id.
# fmt: off
ANIMAL_CLASSES: tuple[int, ...] = (
    1, 25, 30, 32, 50, 61, 69, 71, 75, 76, 79, 99, 105, 107, 109, 113, 114, 115, 122,
    123, 128, 145, 146, 149, 151, 187, 207, 208, 235, 267, 281, 283, 285, 286, 291, 294, 301, 308,
    309, 311, 313, 314, 315, 319, 323, 325, 329, 338, 341, 345, 347, 349, 353, 354, 365, 367, 372,
)
# fmt: on


def resize_matrix(n_in: int, n_out: int) -> Tensor:
    """The matrix R of an antialiased linear resampling, `y = R x`.

    Output j averages the inputs i with the weights of a triangle that is centred on j and reaches over one output
    pixel to each side (one input pixel, when the image grows):

        R[j, i] ~ max(0, 1 - |(i + 1/2) - (j + 1/2) s| / max(s, 1)),   s = n_in / n_out,   each row sums to 1

    Args:
        n_in: Length of x.
        n_out: Length of y.

    Returns:
        (n_out, n_in), float64, on the CPU.
    """
    scale = n_in / n_out
    centres = (torch.arange(n_out, dtype=torch.float64) + 0.5) * scale
    positions = torch.arange(n_in, dtype=torch.float64) + 0.5
    weights = (1 - (positions - centres[:, None]).abs() / max(scale, 1.0)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)


def resize(x: Tensor, side: int) -> Tensor:
    """Resizes images to squares, with antialiasing: what `F.interpolate(..., antialias=True)` computes.

    As two matrix products it has exact and repeatable gradients on every device.

    Args:
        x: (B, C, H, W), floating point.
        side: Height and width of the result.

    Returns:
        (B, C, side, side); `x` itself where it already has that size.
    """
    height, width = x.shape[-2:]
    if (height, width) == (side, side):
        return x
    rows = resize_matrix(height, side).to(x.dtype).to(x.device)
    columns = resize_matrix(width, side).to(x.dtype).to(x.device)
    return rows @ x @ columns.T  # (B, C, side, side)


class PreActivationBlock(nn.Module):
    """`x + W2 a(n2(W1 a(n1(x))))`, with a = SiLU and n = batch normalisation.

    Where the block changes the shape, the shortcut is a 1 x 1 convolution of the first activation.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.act = nn.SiLU()
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels_in == channels_out
            else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) -> (B, channels_out, H / stride, W / stride)."""
        active = self.act(self.norm1(x))
        shortcut = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(active)
        out: Tensor = shortcut + self.conv2(self.act(self.norm2(self.conv1(active))))
        return out


class SmallResNet(nn.Module):
    """Pixels in [0, 1] of any size -> logits over the 57 animals `ANIMAL_CLASSES`.

    Attributes:
        stem: A 4 x 4 convolution of stride 2: (B, 3, 64, 64) -> (B, 32, 32, 32).
        stages: Four stages of residual blocks; all but the first halve the side.
        head: Normalisation, activation, global average and the linear layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        n_classes: int = len(ANIMAL_CLASSES),
        channels: tuple[int, ...] = CHANNELS,
        blocks: tuple[int, ...] = BLOCKS,
    ) -> None:
        super().__init__()
        self.stem: nn.Module = nn.Conv2d(3, channels[0], 4, stride=2, padding=1, bias=False)
        stages = []
        for i, (width, depth) in enumerate(zip(channels, blocks, strict=True)):
            before = channels[max(i - 1, 0)]
            stages.append(
                nn.Sequential(
                    PreActivationBlock(before, width, stride=1 if i == 0 else 2),
                    *(PreActivationBlock(width, width, stride=1) for _ in range(depth - 1)),
                )
            )
        self.stages = nn.Sequential(*stages)
        self.head: nn.Module = nn.Sequential(
            nn.BatchNorm2d(channels[-1]),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels[-1], n_classes),
        )
        # ImageNet's mean and standard deviation per channel; constants, so no part of the weights file.
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1), persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        """Subtracts ImageNet's mean and divides by its standard deviation, per channel."""
        return (x - self.mean) / self.std

    def prepare(self, x: Tensor) -> Tensor:
        """What precedes the stem: (B, 3, H, W) pixels in [0, 1] -> (B, 3, 64, 64), resized and normalised.

        Raises:
            ValueError: If `x` is no batch of RGB images.
        """
        if x.dim() != 4 or x.shape[1] != 3:
            raise ValueError(
                f"expected a batch of RGB images (B, 3, H, W), not a tensor of shape {tuple(x.shape)}; "
                "a single image becomes a batch with x.unsqueeze(0)"
            )
        return self.normalise(resize(x.to(self.mean.dtype), SIDE))

    def classify(self, z: Tensor) -> Tensor:
        """Prepared images (B, 3, S, S) -> logits (B, 57). S is 64, or smaller in most of the training."""
        logits: Tensor = self.head(self.stages(self.stem(z)))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) pixels in [0, 1] -> logits (B, 57)."""
        return self.classify(self.prepare(x))


def load_small_resnet(path: str | Path) -> SmallResNet:
    """Loads a network of this project, in eval mode and with frozen float32 weights.

    Args:
        path: A safetensors file written by `python -m training export`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no safetensors file, or one of another architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; they ship with the course in the folder data/")
    model = SmallResNet()
    try:
        # Stored in half precision to halve the download; computed in single precision.
        state = {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
        model.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold the weights of a SmallResNet: {error}") from None
    return model.eval().requires_grad_(False)
