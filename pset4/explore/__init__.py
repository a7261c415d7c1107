"""Explorers: pictures that follow what you drag, drawn from what your own functions answer."""

from pset4.explore.signals import convolution

__all__ = ["convolution"]
