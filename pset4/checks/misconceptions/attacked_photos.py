"""Misconceptions that show in an attacked photo."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pset4.checks.judging.photos import AttackedPhoto, judging_network, look_at
from pset4.checks.judging.signs import PhotoSign, register_photo_signs


def fools_standard_network(photo: AttackedPhoto, value: Any, original: Tensor) -> bool:
    """Whether an image for the robust network fools the standard one."""
    if photo.kind not in {"", "budget"}:
        return False
    standard = judging_network("standard", str(original.device))
    return look_at(value, standard, original, target=photo.target, eps=photo.eps).rank_exact == 0


def photo_signs(name: str, *first: PhotoSign) -> tuple[PhotoSign, ...]:
    """Misconceptions that show in an attacked photo."""
    return (
        PhotoSign(
            "not_an_image",
            f"`{name}` must be one tensor of shape (1, 3, 224, 224): the attacked photo itself, no list, no array, no "
            "figure, and with its batch dimension.",
            lambda photo, value, original: photo.kind in {"type", "shape"},
        ),
        PhotoSign(
            "not_finite",
            f"`{name}` holds NaN, infinity or whole numbers. Its values are pixels in [0, 1].",
            lambda photo, value, original: photo.kind == "not finite",
        ),
        PhotoSign(
            "outside_range",
            f"`{name}` has pixels outside [0, 1]. Return what the step returned: do not normalise it, and do not "
            "multiply by 255.",
            lambda photo, value, original: photo.kind == "range",
        ),
        *first,
        PhotoSign(
            "outside_budget",
            f"`{name}` lies outside the budget. Move the photo with the step that belongs to this exercise, and start "
            "from `corgi`.",
            lambda photo, value, original: photo.kind == "budget",
        ),
        PhotoSign(
            "not_attacked",
            f"`{name}` is the photo itself: nothing has changed. Did you keep what your function returned?",
            lambda photo, value, original: photo.l2 < 1e-3,
        ),
        PhotoSign(
            "undone_by_rounding",
            f"`{name}` fools the network only until it is saved: rounding to 8 bits moves it back over the boundary. "
            "Take more steps.",
            lambda photo, value, original: photo.rank_exact == 0 and photo.rank > 0,
        ),
        PhotoSign(
            "not_towards_target",
            f"`{name}` leaves the photo, but not towards its target, which is no more probable than before. Look at "
            "the class id and at the sign of the direction.",
            lambda photo, value, original: (
                photo.change <= 0.1 and (photo.change < -0.1 or photo.best != _seen(original, photo.eps))
            ),
        ),
        PhotoSign(
            "too_weak",
            f"`{name}` does not reach its target. Follow the gradient of the target's score, with the step of this "
            "exercise, and take `N_ITER` steps.",
            lambda photo, value, original: photo.rank > 0,
        ),
    )


def _seen(original: Tensor, eps: float) -> int:
    """The class that the attacked network sees in the photo."""
    with torch.no_grad():
        return int(judging_network("robust" if eps > 10 else "standard", str(original.device))(original).argmax())


# The photo is judged in its own check, and in the exam of the function.
for _exercise in ("p4a_attack", "p4a_tarantula"):
    register_photo_signs(_exercise, *photo_signs("adversarial_tarantula"))
register_photo_signs("p4b_tiger_cat", *photo_signs("adversarial_tiger_cat"))
for _exercise, _name in (("p4e_robust", "robust_example"), ("p4f_images", "robust_images")):
    _other = PhotoSign(
        "standard_network",
        f"`{_name}` fools the standard network, not the robust one that this exercise attacks. Hand `robust` to your "
        "function.",
        fools_standard_network,
    )
    register_photo_signs(_exercise, *photo_signs(_name, _other))
