"""Explorers: pictures that follow what you drag, drawn from what your own functions answer."""

from pset4.explore.backward import convolution_backward, pooling_backward
from pset4.explore.descent import learning
from pset4.explore.signals import convolution, pooling

__all__ = ["convolution", "convolution_backward", "learning", "pooling", "pooling_backward"]
