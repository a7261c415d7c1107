"""Visible checks of problem 4: attacks on small networks with public seeds, and the attacked photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pset4.checks.attacks import Tries, images, uneven
from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec, build
from pset4.checks.failure import CheckFailed, all_good
from pset4.checks.judging import photos as attacked_photo
from pset4.checks.judging import trials
from pset4.checks.judging.photos import AttackedPhoto, judging_network, judging_photo, look_at
from pset4.checks.judging.trials import Trial
from pset4.checks.misconceptions.signs import read_photo
from pset4.networks.imagenet import class_name
from pset4.networks.network import NetworkName

SMALL_STEPS = 20
# Label, images in the batch, seed, dtype.
FULL_TRIALS = (("single", 1, 1, "float32"), ("double", 1, 2, "float64"), ("batch", 3, 3, "float32"))
# What following the gradient reaches on the public networks below, so that no attack needs to stand here.
NORM_AFTER = 4.185
DISTANCES_LEFT = (1.602, 1.608, 1.637)


def p4a_attack(generate_adversarial_example: Any, adversarial_tarantula: Any) -> None:
    """Checks the attack on small networks, then the photo.

    Raises:
        CheckFailed: With a diagnosis.
    """
    tries = tries_of("p4a_attack", "generate_adversarial_example", generate_adversarial_example)
    for label, batch, seed, dtype in FULL_TRIALS:
        attack(tries, label, batch, seed, dtype)
    for label, batch in (("scalar", 1), ("each", 4)):
        attack(tries, label, batch, 4)
    for label, n_iter in (("copy", 0), ("one", 1), ("three", 3)):
        spec = NetworkSpec("exam_classifier", 5, {"sharpness": 8.0})
        short(tries, label, spec, unlikely(spec, images(5, 2)), n_iter)
    together = images(6, 3)
    spec = NetworkSpec("exam_classifier", 6, {"sharpness": 20.0})
    target = unlikely(spec, together)
    for label, x in (("together", together), ("alone", together[1:2])):
        tries(label, spec, x, target, StepSpec(x, 0.25, 1.5), 1)
    attack(tries, "certain", 1, 7, sharpness=3000.0)
    tries.demand(trials.misses_target, ["single", "double"], "On a small network")
    tries.demand(trials.misses_target, ["batch"], "With three images")
    tries.demand(trials.misses_target, ["scalar", "each"], "With class_id as a tensor")
    tries.demand(lambda t: differs_from(t, tries.kept["alone"]), ["together"], "With three images")
    tries.demand(trials.misses_target, ["certain"], "On a network that is certain")
    tries.demand_usual()
    photo = demand_photo("p4a_attack", "adversarial_tarantula", adversarial_tarantula, "standard", 76)
    all_good("p4a_attack", f"Your attack reaches its targets, and {photo.sentence()}.")


def p4b_tiger_cat(adversarial_tiger_cat: Any) -> None:
    """Checks the photo as a tiger cat.

    Raises:
        CheckFailed: With a diagnosis.
    """
    photo = demand_photo("p4b_tiger_cat", "adversarial_tiger_cat", adversarial_tiger_cat, "standard", 282)
    all_good("p4b_tiger_cat", f"As you wanted, {photo.sentence()}.")


def p4d_layer_norm(maximize_layer_norm: Any) -> None:
    """Checks the attack on a layer's norm.

    Raises:
        CheckFailed: With a diagnosis.
    """
    tries = tries_of("p4d_layer_norm", "maximize_layer_norm", maximize_layer_norm, has_goal=False)
    for label, batch, seed, dtype in FULL_TRIALS:
        spec = FeaturesSpec(NetworkSpec("exam_linear_features", seed, {"dtype": dtype}), layer=seed % 2)
        x = uneven(images(seed, batch, getattr(torch, dtype)))
        tries(label, spec, x, None, StepSpec(x, 0.05, 1.0), 1)
    for label, dtype in (("deep", "float32"), ("deep double", "float64")):
        x = images(4, 1, getattr(torch, dtype))
        tries(label, deep_features(4, dtype), x, None, StepSpec(x, 0.25, 1.5), SMALL_STEPS)
    for label, n_iter in (("copy", 0), ("three", 3)):
        short(tries, label, deep_features(5), None, n_iter)
    tries.demand(not_along_norm, ["single", "double"], "On features that are linear in the pixels")
    tries.demand(not_along_norm, ["batch"], "With three images")
    tries.demand(norm_too_small, ["deep", "deep double"], "On a small network")
    tries.demand_usual()
    gain = float(trials.feature_norms(tries.kept["deep"], tries.kept["deep"].image))
    all_good("p4d_layer_norm", f"Each image follows its own norm; on a small network it grew to {gain:.2f}.")


def p4e_robust(robust_example: Any) -> None:
    """Checks the attacked photo on the robust network.

    Raises:
        CheckFailed: With a diagnosis.
    """
    target = judging_network("robust").nearest_known(attacked_photo.TIGER_CAT)
    photo = demand_photo("p4e_robust", "robust_example", robust_example, "robust", target)
    all_good("p4e_robust", f"As you wanted, {photo.sentence()}.")


def p4f_images(robust_images: Any) -> None:
    """Checks the collection of attacked photos on the robust network.

    Raises:
        CheckFailed: With a diagnosis.
    """
    if not isinstance(robust_images, Mapping) or len(robust_images) < 2:
        given = f"{len(robust_images)} of them" if isinstance(robust_images, Mapping) else type(robust_images).__name__
        raise CheckFailed(
            f"`robust_images` must be a dictionary with at least two targets, {{class_id: image, ...}}, not {given}.",
            misconception="not_a_collection",
        )
    network = judging_network("robust")
    for class_id, image in robust_images.items():
        if not isinstance(class_id, int) or not 0 <= class_id < 1000 or not network.knows(class_id):
            raise CheckFailed(
                f"`robust_images` has the key {class_id!r}. Each key must be the id of a class that the robust network "
                "knows; `robust.known_classes` lists them.",
                misconception="unknown_class",
            )
        demand_photo("p4f_images", f"robust_images[{class_id}]", image, "robust", class_id)
    names = ", ".join(class_name(class_id) for class_id in robust_images)
    all_good("p4f_images", f"The robust network sees what you wanted: {names}.")


def p4g_inversion(invert_features: Any) -> None:
    """Checks the way from features back to an image.

    Raises:
        CheckFailed: With a diagnosis.
    """
    tries = tries_of("p4g_inversion", "invert_features", invert_features, goal_first=True)
    for label, batch, dtype in (("single", 1, "float32"), ("double", 1, "float64"), ("batch", 3, "float32")):
        spec, x = deep_features(6, dtype), images(6, batch, getattr(torch, dtype))
        tries(label, spec, x, features_of(spec, images(7, batch, x.dtype)), StepSpec(x, 0.15, 4.0), 10)
    for label, n_iter in (("copy", 0), ("three", 3)):
        short(tries, label, deep_features(5), features_of(deep_features(5), images(8, 2)), n_iter)
    tries.demand(stays_away, ["single", "double"], "On a small network")
    tries.demand(stays_away, ["batch"], "With three images")
    tries.demand_usual()
    all_good("p4g_inversion", "On small networks the features come as close to their targets as they should.")


def tries_of(exercise: str, function: str, student: Any, *, goal_first: bool = False, has_goal: bool = True) -> Tries:
    """The calls of one function, none yet.

    Raises:
        CheckFailed: If it is no function.
    """
    if not callable(student):
        raise CheckFailed(f"`{function}` must be a function, not {type(student).__name__}.")
    return Tries(exercise, function, student, goal_first, has_goal)


def attack(tries: Tries, label: str, batch: int, seed: int, dtype: str = "float32", *, sharpness: float = 8.0) -> None:
    """A full attack on an unlikely class, whose id comes in the form that the label says."""
    spec = NetworkSpec("exam_classifier", seed, {"dtype": dtype, "sharpness": sharpness})
    x = images(seed, batch, getattr(torch, dtype))
    if label == "each":
        x = x[:1].repeat(batch, 1, 1, 1)
    targets = build(spec)(x).argsort(dim=1)[range(batch), torch.arange(batch)]
    goal = {"each": targets, "scalar": targets[0]}.get(label, unlikely(spec, x))
    tries(label, spec, x, goal, StepSpec(x, 0.25, 1.5), SMALL_STEPS)


def unlikely(spec: NetworkSpec, x: Tensor) -> int:
    """The class that no image of the batch is taken for, by the widest margin."""
    logits = build(spec)(x)
    return int((logits - logits.amax(dim=1, keepdim=True)).amax(dim=0).argmin())


def short(tries: Tries, label: str, spec: NetworkSpec | FeaturesSpec, goal: Any, n_iter: int) -> None:
    """A few steps of two images that do not start in the centre of the ball."""
    original = images(5, 2)
    x = (original + 0.02 * torch.randn(original.shape, generator=torch.Generator().manual_seed(5))).clamp(0, 1)
    tries(label, spec, x, goal, StepSpec(original, 0.2, 1.0), n_iter)


def deep_features(seed: int, dtype: str = "float32") -> FeaturesSpec:
    """The second layer of a small network."""
    return FeaturesSpec(NetworkSpec("exam_classifier", seed, {"dtype": dtype}), layer=1)


def features_of(spec: FeaturesSpec, x: Tensor) -> Tensor:
    """The features of images."""
    with torch.no_grad():
        return torch.as_tensor(build(spec)(x))


def differs_from(together: Trial, alone: Trial) -> str:
    """Whether an image of a batch moves in another direction than it does alone."""
    if together.direction is None or alone.direction is None:
        return together.unusable or alone.unusable or "`step.step` was given no direction of the images' shape"
    cosine = float(trials.cosines(together.direction[1:2], alone.direction))
    return "" if cosine > 0.995 else "the second image moves in another direction than it does alone"


def not_along_norm(trial: Trial) -> str:
    """Whether the first direction is another than that of each image's own L2 norm."""
    if trial.direction is None:
        return trial.unusable or "`step.step` was given no direction of the images' shape"
    lowest = float(trials.cosines(trial.direction, trials.norm_gradients(trial.model, trial.x)).min())
    return "" if lowest > 0.99 else f"your first direction has a cosine of {lowest:.2f} with that of the L2 norm"


def norm_too_small(trial: Trial) -> str:
    """Whether the norm grows by less than 80 % of what its gradient reaches."""
    if trial.unusable:
        return trial.unusable
    before, after = (float(trials.feature_norms(trial, x)) for x in (trial.x, trial.image))
    possible = NORM_AFTER
    reached = f"the features' norm went from {before:.2f} to {after:.2f}; {possible:.2f} is within reach"
    return "" if after - before >= 0.8 * (possible - before) else reached


def stays_away(trial: Trial) -> str:
    """Whether the features stay more than 1.25 times as far from the target as they need to."""
    if trial.unusable:
        return trial.unusable
    before, after = (trials.feature_distances(trial, x) for x in (trial.x, trial.image))
    limits = 1.25 * torch.tensor(DISTANCES_LEFT[: len(after)]).to(after)
    worst = int((after - limits).argmax())
    reached = f"the distance to the target's features went from {float(before[worst]):.2f} to {float(after[worst]):.2f}"
    return "" if bool((after <= limits).all()) else f"{reached}; {float(limits[worst]):.2f} is close enough"


def demand_photo(exercise: str, name: str, value: Any, network: NetworkName, target: int) -> AttackedPhoto:
    """Looks at an attacked photo.

    Returns:
        What it shows, if it is a success.

    Raises:
        CheckFailed: If it is not.
    """
    device = str(value.device) if isinstance(value, Tensor) and value.device.type != "meta" else "cpu"
    original = judging_photo(device)
    eps = attacked_photo.STANDARD_EPS if network == "standard" else attacked_photo.ROBUST_EPS
    photo = look_at(value, judging_network(network, device), original, target=target, eps=eps)
    if photo.success:
        return photo
    sign = read_photo(exercise, photo, value, original)
    text = f"`{name}`: {photo.sentence()}."
    raise CheckFailed(f"{sign.explanation}\n{text}" if sign else text, misconception=sign.name if sign else "")
