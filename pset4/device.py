"""Where the networks run, and the seeds that make a run repeatable."""

from __future__ import annotations

import random

import numpy as np
import torch


def best_device() -> torch.device:
    """The fastest device of this machine: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's and torch's generators (torch's on every device).

    Args:
        seed: An integer from 0 to 2^32 - 1, the range that NumPy accepts.

    Raises:
        ValueError: If the seed lies outside that range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie between 0 and {2**32 - 1}, not {seed}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
