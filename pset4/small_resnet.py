"""The architecture of the embedded networks: a small pre-activation ResNet for 64 x 64 photos of animals."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

SIDE = 64
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class PreActivationBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.act = nn.SiLU()
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels_in == channels_out
            else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        active = self.act(self.norm1(x))
        shortcut = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(active)
        return shortcut + self.conv2(self.act(self.norm2(self.conv1(active))))


class SmallResNet(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, n_classes: int = 57, width: int = 48) -> None:
        super().__init__()
        channels = [width, width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Conv2d(3, width, 4, stride=2, padding=1, bias=False)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    PreActivationBlock(channels[i], channels[i + 1], 1 if i == 0 else 2),
                    PreActivationBlock(channels[i + 1], channels[i + 1], 1),
                )
                for i in range(4)
            )
        )
        self.head = nn.Sequential(
            nn.BatchNorm2d(channels[-1]), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], n_classes)
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def classify(self, z: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(z)))
