"""Batch normalisation that stands still is a part of the convolution before it: the same numbers in fewer passes."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """`norm(convolution(x))` as one convolution with a bias.

    With the scale g = gamma / sqrt(variance + epsilon) of each output channel,

        g (W * x - mean) + beta = (g W) * x + (beta - g mean)

    Args:
        convolution: (B, C, H, W) -> (B, D, H', W').
        norm: Normalises D channels by its running statistics.
    """
    fused: nn.Conv2d = fuse_conv_bn_eval(convolution.eval(), norm.eval())
    return fused
