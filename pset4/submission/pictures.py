"""Figures and pasted pictures, checked and made small enough for a report."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pset4.submission.notebooks import Cell, text_of

TEXT_WIDTH, TALLEST = 470.0, 600.0  # points on the page
POINTS_PER_PIXEL = 0.55  # a notebook's figure as wide as its column fills a line
MAX_PIXELS = 50_000_000
MAX_BYTES = 7_500_000  # of all pictures of a report
SIZES = ((1600, 90), (1100, 80), (800, 65), (500, 50), (250, 40))  # longest side, JPEG quality
CHART_BYTES = 200_000  # no chart has more as a JPEG
FLAT_BYTES = 60_000  # a chart is smaller than this as a PNG, and sharper


@dataclass(frozen=True)
class Picture:
    """A picture as a notebook holds it.

    Attributes:
        content: Its file's bytes.
        words: Its text alternative, or "".
    """

    content: bytes
    words: str = ""


@dataclass(frozen=True)
class Print:
    """A picture as the report shows it.

    Attributes:
        content: Bytes of a PNG or JPEG file.
        suffix: ".png" or ".jpg".
        width: On the page, in points.
    """

    content: bytes
    suffix: str
    width: float


def figures(cell: Cell) -> list[Picture]:
    """The pictures among a cell's outputs."""
    found = []
    for output in cell.outputs:
        picture = from_bundle(output.get("data"))
        if picture is not None:
            metadata = output.get("metadata")
            inner = metadata.get("image/png", metadata) if isinstance(metadata, dict) else {}
            words = text_of(inner.get("alt")) if isinstance(inner, dict) else ""
            found.append(Picture(picture, words.strip()))
    return found


def from_bundle(data: Any) -> bytes | None:
    """The picture of a MIME bundle, None where it has none."""
    for kind in ("image/png", "image/jpeg"):
        if isinstance(data, Mapping) and (text := text_of(data.get(kind))):
            try:
                return base64.b64decode(text)
            except ValueError:
                return b""
    return None


def make_prints(pictures: Sequence[Picture]) -> list[Print | None]:
    """All pictures, none larger than the page, and together below 7.5 MB; None for what is no picture."""
    prints: list[Print | None] = []
    for longest, quality in SIZES:
        prints = [_print(picture.content, longest, quality) for picture in pictures]
        if sum(len(found.content) for found in prints if found) <= MAX_BYTES:
            break
    return prints


def _print(content: bytes, longest: int, quality: int) -> Print | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about size: what is too large is refused here
            image: Image.Image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "WEBP", "BMP"))
            if image.width * image.height > MAX_PIXELS:
                return None
            width = min(image.width * POINTS_PER_PIXEL, TEXT_WIDTH, TALLEST * image.width / image.height)
            image = _on_white(image)
    except Exception:  # a damaged picture raises many kinds
        return None
    image.thumbnail((longest, longest))
    photo = _saved(image, "JPEG", quality=quality)
    if len(photo) <= CHART_BYTES and len(flat := _saved(image, "PNG")) <= max(FLAT_BYTES, len(photo)):
        return Print(flat, ".png", width)
    return Print(photo, ".jpg", width)


def _on_white(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
