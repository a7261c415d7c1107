"""Explorers: pictures that follow what you drag, drawn from what your own functions answer."""

from pset4.explore.attacks import attack
from pset4.explore.backward import convolution_backward, pooling_backward
from pset4.explore.descent import learning
from pset4.explore.photo import classification
from pset4.explore.signals import convolution, pooling
from pset4.explore.step import one_step

__all__ = [
    "attack",
    "classification",
    "convolution",
    "convolution_backward",
    "learning",
    "one_step",
    "pooling",
    "pooling_backward",
]
