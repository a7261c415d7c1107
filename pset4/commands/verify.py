"""`pset4 verify`: judges a saved attack as the exam does, from the pixels of the file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pset4.checks.judging.photos import (
    ROBUST_EPS,
    STANDARD_EPS,
    AttackedPhoto,
    judging_network,
    look_at,
)
from pset4.checks.judging.trials import TOLERANCE
from pset4.files.assets import AssetError
from pset4.images import CROPPED_SIDE, ImageError, load_corgi, load_image, load_photo
from pset4.networks.imagenet import class_name
from pset4.networks.network import Network

LOSSLESS_FORMATS = {"PNG", "BMP", "TIFF", "PPM"}
ROUNDING = 1 / 255 / 12**0.5
"""Standard deviation of what rounding to multiples of 1/255 does to a pixel."""


@dataclass(frozen=True)
class Attack:
    """A saved attack and what it is held against.

    Attributes:
        image: Pixels of the file (1, 3, 224, 224).
        original: The photo that was attacked, of the same shape.
        network: The network that it should fool.
        target: The class that it should be taken for.
        eps: Budget in the L2 norm, for the image before it was rounded to 8 bits.
    """

    image: Tensor
    original: Tensor
    network: Network
    target: int
    eps: float


def run(options: argparse.Namespace) -> int:
    """Judges a picture.

    Returns:
        0 if it is a success, 1 if not, 2 if it cannot be judged.
    """
    try:
        attack = _load(options)
    except (OSError, ValueError, AssetError, ImportError) as error:
        print(f"CANNOT BE JUDGED: {error}", file=sys.stderr)
        return 2
    photo = judge(attack)
    for line in (*_notes(options, attack), *_measured(attack, photo)):
        print(line)
    reasons = shortcomings(attack, photo)
    print(f"\n{'NOT A SUCCESS' if reasons else 'SUCCESS'}: {'; '.join(reasons or [_praise(attack)])}.")
    return 1 if reasons else 0


def _load(options: argparse.Namespace) -> Attack:
    if options.eps is not None and not 0 < options.eps < float("inf"):
        raise ValueError(f"--eps must be a positive number (L2 norm, pixels in [0, 1]), not {options.eps:g}")
    if not Path(options.picture).is_file():
        raise FileNotFoundError(f"there is no file {options.picture} here ({Path.cwd()})")
    image = load_image(options.picture)
    if image.shape[2:] != (CROPPED_SIDE, CROPPED_SIDE):
        raise ImageError(
            f"{options.picture} has {image.shape[3]} x {image.shape[2]} pixels; expected {CROPPED_SIDE} x "
            f"{CROPPED_SIDE}, as the photo that you attacked. A screenshot is another image; save the attack itself: "
            'save_image(adversarial_tarantula, "tarantula.png")'
        )
    network = judging_network(options.network)
    eps = options.eps or (STANDARD_EPS if options.network in {"standard", "random"} else ROBUST_EPS)
    return Attack(image, _original(options.original), network, network.nearest_known(options.target), eps)


def _original(path: str | None) -> Tensor:
    """The course's photo, or the student's own, cut as the notebooks cut it."""
    if path is None:
        return load_corgi("cpu")  # which says so where another photo takes the corgi's place
    photo = load_image(path)
    return photo if photo.shape[2:] == (CROPPED_SIDE, CROPPED_SIDE) else load_photo(path, "cpu")


def judge(attack: Attack) -> AttackedPhoto:
    """What the exam's own judge says."""
    return look_at(attack.image, attack.network, attack.original, target=attack.target, eps=file_budget(attack))


def file_budget(attack: Attack) -> float:
    """How far a file may be from the original if the image was within the budget before it was rounded.

    The exam measures the distance of the image that the function returned. Rounding then moves each of the n pixels by
    an independent error of variance 1 / (12 * 255^2), which adds n times as much to the squared distance; four standard
    deviations of the product of change and error come on top.
    """
    rounding = ROUNDING * attack.image.numel() ** 0.5
    within: float = ((attack.eps + TOLERANCE) ** 2 + rounding**2) ** 0.5
    return within + 4 * ROUNDING


def _notes(options: argparse.Namespace, attack: Attack) -> list[str]:
    """What a reader of the figures must know."""
    notes = []
    with Image.open(options.picture) as file:
        kind = file.format
    if kind not in LOSSLESS_FORMATS:
        notes.append(
            f"Note: {Path(options.picture).name} is a {kind} file, and its compression changed the pixels. The file is "
            'judged, not the image that your function returned; save that one as PNG: save_image(image, "attack.png")'
        )
    if attack.target != options.target:
        notes.append(
            f"Note: the network does not know class {_name(options.target)}; as in the exam, the nearest class that it "
            f"knows, {_name(attack.target)}, takes its place."
        )
    return notes


def _measured(attack: Attack, photo: AttackedPhoto) -> list[str]:
    with torch.no_grad():
        probabilities = torch.softmax(attack.network(attack.image).double(), dim=1)[0]  # (1000,)
    largest = float((attack.image - attack.original).abs().max())
    values, classes = probabilities.topk(5)
    rows = [
        f"  {value:8.3%}  {index:3d}  {class_name(index)}{'  <- target' if index == attack.target else ''}"
        for value, index in zip(values.tolist(), classes.tolist(), strict=True)
    ]
    return [
        f"network              {attack.network.description}",
        f"L2 norm              {photo.l2:.3f}   budget {attack.eps:g}; rounding makes a change longer, so in a file "
        f"up to {photo.eps:.3f}",
        f"L-infinity norm      {largest:.4f}  {largest * 255:.0f} of 255 levels",
        f"target's probability {probabilities[attack.target]:.3%}",
        "most probable classes",
        *rows,
    ]


def shortcomings(attack: Attack, photo: AttackedPhoto) -> list[str]:
    """Why the picture is not a success; empty if it is one."""
    reasons = []
    if photo.rank > 0:
        reasons.append(f"the network takes it for class {_name(photo.best)}, not for class {_name(attack.target)}")
    if not photo.in_budget:
        reasons.append(f"it is {photo.l2:.3f} away from the original (L2 norm), and the budget is {attack.eps:g}")
    return reasons


def _praise(attack: Attack) -> str:
    return f"the network takes it for class {_name(attack.target)}, and it is within the budget of {attack.eps:g}"


def _name(class_id: int) -> str:
    return f"{class_id} ({class_name(class_id)})"
