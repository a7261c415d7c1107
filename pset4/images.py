"""Photos as tensors of pixels in [0, 1]."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from pset4.device import best_device
from pset4.files.assets import AssetUnavailableError, fetch
from pset4.files.manifest import load_manifest

RESIZED_SIDE = 256
CROPPED_SIDE = 224
# Modes whose pixels mean the same after a conversion to RGB.
LOSSLESS_MODES = {"RGB", "L", "1", "P"}


class ImageError(ValueError):
    """A file that cannot be used as a photo; the message says why and what to do."""


def load_image(source: str | Path, device: torch.device | str | None = None) -> Tensor:
    """Reads a photo at its full size.

    Args:
        source: A path, or the name of one of the course's photos ("corgi", "corgi_2", "tabby").
        device: Where the tensor goes; the CPU by default.

    Returns:
        (1, 3, H, W), float32, pixels in [0, 1], turned upright as the camera recorded it.

    Raises:
        FileNotFoundError: If there is no such file and no such photo.
        ImageError: If the file is not an image, is cut short, or has colours that do not turn into RGB by themselves.
        AssetError: If the course's photo cannot be had; see `pset4.files.assets.fetch`.
    """
    path = _photo_path(source)
    pixels = np.asarray(_read_rgb(path), dtype=np.uint8)  # (H, W, 3)
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0)  # (1, 3, H, W)
    return image.to(device or "cpu").to(torch.float32) / 255


def _photo_path(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    photos = [asset.name for asset in load_manifest().values() if asset.path.startswith("images/")]
    if str(source) in photos:
        return fetch(str(source))
    raise FileNotFoundError(
        f"there is no image file {str(source)!r} here ({Path.cwd()}), and the course has no photo of that name "
        f"(it has {', '.join(photos)})"
    )


def _read_rgb(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read; expected a JPEG, PNG or similar file") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} is damaged or cut short ({error}); get the file again") from None
    return _to_rgb(upright, path)


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        image = _without_alpha(image.convert("RGBA"), path)
    if image.mode not in LOSSLESS_MODES:
        raise ImageError(
            f"{path} has colour mode {image.mode}; expected RGB with 8 bits a channel. "
            "Convert it in an image editor, or with Pillow: Image.open(...).convert('RGB').save(...)"
        )
    return image.convert("RGB")


def _without_alpha(image: Image.Image, path: Path) -> Image.Image:
    lowest, _ = image.getchannel("A").getextrema()
    if lowest != 255:
        raise ImageError(
            f"{path} is partly transparent, and what stands behind it is not known; expected an opaque RGB photo. "
            'Save it without transparency ("flatten" it) first'
        )
    return image.convert("RGB")


def resize_and_crop(image: Tensor, *, resized_side: int = RESIZED_SIDE, cropped_side: int = CROPPED_SIDE) -> Tensor:
    """Brings photos to the networks' size without changing their aspect ratio.

    The shorter side becomes `resized_side` (bilinear, with antialiasing), then the central square is cut out.

    Args:
        image: (B, 3, H, W).
        resized_side: Length of the shorter side before the crop.
        cropped_side: Side of the square.

    Returns:
        (B, 3, cropped_side, cropped_side).

    Raises:
        ValueError: If the image is not a batch, or the square would not fit.
    """
    if image.dim() != 4:
        raise ValueError(f"image must be a batch (B, 3, H, W), not a tensor of shape {tuple(image.shape)}")
    if cropped_side > resized_side:
        raise ValueError(f"cropped_side ({cropped_side}) must not be larger than resized_side ({resized_side})")
    resized = transforms.resize(image, [resized_side], antialias=True)
    return torch.as_tensor(transforms.center_crop(resized, [cropped_side, cropped_side]))


def round_to_8_bits(image: Tensor) -> Tensor:
    """What is left of an image when it is saved as 8-bit PNG: each pixel goes to the nearest multiple of 1/255.

    Args:
        image: Any shape, pixels in [0, 1].

    Returns:
        The same shape and dtype.
    """
    return (image.clamp(0, 1) * 255).round() / 255


def save_image(image: Tensor, path: str | Path) -> None:
    """Saves an image as a PNG file, which loses nothing but what rounding to 8 bits takes, and prints the path.

    `pset4 verify PATH --target CLASS` judges what was saved.

    Args:
        image: (1, 3, H, W) or (3, H, W), floating point, pixels in [0, 1].
        path: Where it goes; the name ends in `.png`.

    Raises:
        ValueError: If it is not one image of that form, or another kind of file is asked for.
        OSError: If the file cannot be written.

    Example:
        >>> save_image(adversarial_tarantula, "tarantula.png")  # doctest: +SKIP
        tarantula.png
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(
            f"{str(path)!r} does not end in .png; other kinds of files, as JPEG, change the pixels. "
            f"Try {path.with_suffix('.png').name!r}"
        )
    pixels = round_to_8_bits(_one_image(image.detach().cpu())) * 255  # (3, H, W)
    Image.fromarray(pixels.round().permute(1, 2, 0).to(torch.uint8).numpy()).save(path)
    print(path)


def _one_image(image: Tensor) -> Tensor:
    """The image without its batch dimension, (3, H, W)."""
    if image.dim() not in {3, 4} or image.shape[-3] != 3 or not image.numel() or (image.dim() == 4 and len(image) != 1):
        raise ValueError(
            f"image must be one image, (1, 3, H, W) or (3, H, W), not a tensor of shape {tuple(image.shape)}; "
            "of a batch, save one after the other: images[0], images[1], ..."
        )
    lowest, highest = image.aminmax()
    # Negated, so that NaN is refused, too.
    if not image.is_floating_point() or not bool((lowest >= -1e-3) & (highest <= 1 + 1e-3)):
        raise ValueError(
            f"image must hold pixels in [0, 1], floating point, not {image.dtype} from {lowest:.3g} to {highest:.3g}"
        )
    return image.reshape(image.shape[-3:])


def load_photo(name: str | Path, device: torch.device | str | None = None) -> Tensor:
    """A photo in the size and the 8-bit precision that the notebooks use.

    Args:
        name: As for `load_image`.
        device: Where the tensor goes; the best device of this machine by default.

    Returns:
        (1, 3, 224, 224), float32, multiples of 1/255.

    Raises:
        FileNotFoundError, ImageError, AssetError: As `load_image`.
    """
    return round_to_8_bits(resize_and_crop(load_image(name))).to(device or best_device())


def load_corgi(device: torch.device | str | None = None, *, verbose: bool = True) -> Tensor:
    """The photo that all four notebooks work on: a Pembroke Welsh corgi (class 263).

    Where it can be had from nowhere, the photo of a bull mastiff (class 243) takes its place; the package foolbox
    brings it. One printed line says so.

    Args:
        device: Where the tensor goes; the best device of this machine by default.
        verbose: Whether to print that line.

    Returns:
        (1, 3, 224, 224), float32, multiples of 1/255.

    Raises:
        AssetError: If the file is there but wrong, or neither photo can be had.
    """
    try:
        return load_photo("corgi", device)
    except AssetUnavailableError as error:
        substitute, why = _bull_mastiff(error), error.short
    if verbose:
        print(f"The corgi's photo {why}; a bull mastiff (class 243) takes its place.")
    return load_photo(substitute, device)


def _bull_mastiff(reason: AssetUnavailableError) -> Path:
    package = find_spec("foolbox")
    photo = Path(package.origin).parent / "data" / "imagenet_00_243.jpg" if package and package.origin else None
    if photo is None or not photo.is_file():
        raise AssetUnavailableError(
            f"{reason} A substitute comes with: pip install 'pset4[embedded]'", short=reason.short
        ) from None
    return photo
