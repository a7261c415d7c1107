"""The names of the 1000 ImageNet classes, in the order of the networks' outputs."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from torchvision.models import ResNet50_Weights

N_CLASSES = 1000
CLASS_NAMES: tuple[str, ...] = tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def check_class_id(class_id: SupportsIndex) -> int:
    """The class id as a Python int.

    Args:
        class_id: An int, a NumPy integer or a 0-d integer tensor.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it lies outside 0..999.
    """
    try:
        index = operator.index(class_id)
    except (TypeError, ValueError):
        raise TypeError(
            f"a class id is one integer from 0 to {N_CLASSES - 1}, not {class_id!r} of type {type(class_id).__name__}"
        ) from None
    if not 0 <= index < N_CLASSES:
        raise ValueError(
            f"there is no ImageNet class {index}: ids run from 0 ({CLASS_NAMES[0]}) "
            f"to {N_CLASSES - 1} ({CLASS_NAMES[-1]})"
        )
    return index


def class_name(class_id: SupportsIndex) -> str:
    """Name of an ImageNet class.

    Raises:
        TypeError: If `class_id` is not an integer.
        ValueError: If it lies outside 0..999.

    Example:
        >>> class_name(282)
        'tiger cat'
    """
    return CLASS_NAMES[check_class_id(class_id)]
