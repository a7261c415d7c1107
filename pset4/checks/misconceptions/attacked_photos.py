"""Misconceptions that show in an attacked photo."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.outcome import Opaque
from pset4.checks.judging.photos import (
    ROBUST_EPS,
    STANDARD_EPS,
    TARANTULA,
    TIGER_CAT,
    AttackedPhoto,
    judging_network,
    look_at,
)
from pset4.checks.judging.signs import PhotoSign, register_photo_signs
from pset4.checks.judging.trials import cosines
from pset4.networks.network import Network


def fools_standard_network(photo: AttackedPhoto, value: Any, original: Tensor) -> bool:
    """Whether an image for the robust network fools the standard one."""
    if photo.kind not in {"", "budget"}:
        return False
    standard = judging_network("standard", str(original.device))
    return look_at(value, standard, original, target=photo.target, eps=photo.eps).rank_exact == 0


def succeeds(value: Any, photo: AttackedPhoto, original: Tensor, *, target: int | None = None) -> bool:
    """Whether another value than the one that was handed in would be a success, or the same one for another target."""
    network = attacked_network(photo, original)
    if not isinstance(value, Tensor) or value.shape != original.shape:
        return False
    aim = photo.target if target is None else network.nearest_known(target)
    return look_at(value.to(original), network, original, target=aim, eps=photo.eps).success


def attacked_network(photo: AttackedPhoto, original: Tensor) -> Network:
    """The network that the exercise attacks."""
    return judging_network("robust" if photo.eps == ROBUST_EPS else "standard", str(original.device))


def has_another_target(photo: AttackedPhoto, value: Any, original: Tensor) -> bool:
    """Whether an image within the budget is taken for another of the course's targets."""
    return any(succeeds(value, photo, original, target=target) for target in (TARANTULA, TIGER_CAT))


def has_another_budget(photo: AttackedPhoto, value: Any, original: Tensor) -> bool:
    """Whether the photo, still to be seen, reaches the target out of the budget, or not within a tenth of it."""
    if photo.kind not in {"", "budget"}:
        return False
    if photo.in_budget:
        return photo.l2 <= STANDARD_EPS + 0.1 < photo.eps and photo.change > 0.3
    image = value.detach().to(original)
    likeness = torch.nn.functional.cosine_similarity(
        (image - image.mean()).flatten(), (original - original.mean()).flatten(), dim=0
    )
    return photo.rank_exact == 0 and float(likeness) > 0.6


def goes_the_opposite_way(photo: AttackedPhoto, value: Any, original: Tensor) -> bool:
    """Whether the photo lost its target along the gradient of the target's own probability."""
    if photo.change > -3:
        return False
    network, x = attacked_network(photo, original), original.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(network(x).log_softmax(dim=1)[0, photo.target], x)
    return float(cosines(value.detach().to(original) - original, gradient)) < -0.1


def photo_signs(name: str, *first: PhotoSign) -> tuple[PhotoSign, ...]:
    """Misconceptions that show in an attacked photo."""
    return (
        PhotoSign(
            "missing",
            f"The notebook does not set `{name}`. Keep what your function returns under this name.",
            lambda photo, value, original: value is None,
        ),
        PhotoSign(
            "no_batch_dimension",
            f"`{name}` has lost its batch dimension. Its shape must be (1, 3, 224, 224).",
            lambda photo, value, original: (
                isinstance(value, Tensor) and value.dim() == 3 and succeeds(value[None], photo, original)
            ),
        ),
        PhotoSign(
            "an_array",
            f"`{name}` is a NumPy array. It must be a tensor: keep what your function returned.",
            lambda photo, value, original: isinstance(value, Opaque) and succeeds(value.content, photo, original),
        ),
        PhotoSign(
            "bytes_of_pixels",
            f"`{name}` holds pixels from 0 to 255. They must lie in [0, 1], as your function returned them.",
            lambda photo, value, original: (
                isinstance(value, Tensor) and succeeds(value.double() / 255, photo, original)
            ),
        ),
        PhotoSign(
            "change_alone",
            f"`{name}` is the change, not the changed photo. Keep the image that your function returned.",
            lambda photo, value, original: (
                isinstance(value, Tensor)
                and value.shape == original.shape
                and succeeds(value.to(original) + original, photo, original)
            ),
        ),
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
            "other_target",
            f"`{name}` is an attack on another class than this exercise asks for. Look at the class id.",
            has_another_target,
        ),
        PhotoSign(
            "other_budget",
            f"`{name}` was made with another budget than this exercise has. Move the photo with the step that belongs "
            "to it.",
            has_another_budget,
        ),
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
            "opposite_direction",
            f"`{name}` was moved away from its target. `step.step(x, direction)` goes along the direction; to make a "
            "cost smaller, hand it minus the gradient.",
            goes_the_opposite_way,
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
