"""Images as a page holds them, and what networks say of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pset4.figures.photos import single_image
from pset4.networks.imagenet import class_name

MOST_CHARACTERS = 4_000_000
MOST_PIXELS = 1024 * 1024
PNG_START = "data:image/png;base64,"

Row = tuple[str, float, bool]
"""Name of a class, its probability, and whether an attack aimed at it."""


def as_webp(image: Tensor, *, side: int, quality: int = 60) -> str:
    """An image as a data URL for a page: WebP, which loses a little.

    Args:
        image: (3, H, W) or (1, 3, H, W), pixels in [0, 1].
        side: Pixels of a side in the page; an image that is larger is made smaller.
        quality: 0..100.
    """
    picture = as_picture(image)
    if max(picture.size) > side:
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="webp", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def as_picture(image: Tensor) -> Image.Image:
    """An image (3, H, W) or (1, 3, H, W) for Pillow."""
    pixels = (single_image(image).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def from_page(url: str, *, side: int) -> Tensor:
    """The square photo that a page sent.

    Args:
        url: A PNG as a data URL.
        side: Pixels of a side.

    Returns:
        (1, 3, side, side), float32, multiples of 1/255; what was transparent is white.

    Raises:
        ValueError: If it is no such PNG.
    """
    if not url.startswith(PNG_START) or len(url) > MOST_CHARACTERS:
        raise ValueError(f"expected a PNG as a data URL of at most {MOST_CHARACTERS} characters")
    with Image.open(io.BytesIO(base64.b64decode(url[len(PNG_START) :])), formats=["PNG"]) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise ValueError(f"a photo of {picture.width} × {picture.height} pixels is too large")
        photo = picture.convert("RGBA")
    white = Image.new("RGBA", photo.size, "white")
    square = Image.alpha_composite(white, photo).convert("RGB").resize((side, side))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).unsqueeze(0).float() / 255


def rows(guesses: Sequence[tuple[int, float]], target: int | None = None) -> list[Row]:
    """What a page shows of pairs (class id, probability)."""
    return [(f"{class_name(i)} ({i})", float(probability), i == target) for i, probability in guesses]


def five_best(probabilities: Tensor) -> list[tuple[int, float]]:
    """The five most probable classes of one image, (K,), as pairs (class id, probability)."""
    best = probabilities.topk(min(5, len(probabilities)))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
