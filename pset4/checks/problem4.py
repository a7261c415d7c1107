"""Visible checks of problem 4: attacks on small networks with public seeds, and the attacked photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec, build
from pset4.checks.failure import CheckFailed
from pset4.checks.judging.attacks import (
    Experiment,
    features_of,
    judge_attack,
    judge_inversion,
    judge_layer_norm,
    judge_photo,
    unlikely_for_all,
)
from pset4.checks.judging.photos import TARANTULA, TIGER_CAT, AttackedPhoto, judging_network
from pset4.checks.judging.trials import Trial, feature_norms
from pset4.checks.public import demand_functions, visible_check
from pset4.checks.stages.staged import staged
from pset4.networks.imagenet import class_name
from pset4.networks.network import NetworkName

SMALL_STEPS = 20
# Label, images in the batch, seed, dtype.
FULL_TRIALS = (("single", 1, 1, "float32"), ("double", 1, 2, "float64"), ("batch", 3, 3, "float32"))
# Seed of images of which the second alone is taken for its class, and of a network that takes them so.
ONE_IS_THERE = 8
# What following the gradient reaches on the public networks below, so that no attack needs to stand here.
NORM_AFTER = torch.tensor([4.185])
DISTANCES_LEFT = torch.tensor([1.602, 1.608, 1.637])
NORMS_BY_DEFAULT = torch.tensor([3.568])
DISTANCES_BY_DEFAULT = torch.tensor([2.024])


@staged()
def p4a_attack(generate_adversarial_example: Any) -> str:
    """Checks the attack on small networks.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(generate_adversarial_example=generate_adversarial_example)
    given = {"generate_adversarial_example": generate_adversarial_example}
    with visible_check("p4a_attack", **given) as inquiry:
        experiment = Experiment(inquiry, "generate_adversarial_example")
        for label, batch, seed, dtype in FULL_TRIALS:
            attack(experiment, label, batch, seed, dtype)
        for label, batch in (("scalar", 1), ("each", 4), ("each of one", 1)):
            attack(experiment, label, batch, 4)
        for label in ("one is there", "scalar for all"):
            attack(experiment, label, 3, ONE_IS_THERE)
        for label, n_iter in (("copy", 0), ("one", 1), ("three", 3)):
            spec = NetworkSpec("exam_classifier", 5, {"sharpness": 8.0})
            short(experiment, label, spec, unlikely_for_all(spec, images(5, 2)), n_iter)
        spec, x = NetworkSpec("exam_classifier", 9, {"sharpness": 8.0}), images(9, 1)
        experiment("default", spec, x, unlikely_for_all(spec, x), StepSpec(x, 0.025, 1.5), None)
        together = images(6, 3)
        spec = NetworkSpec("exam_classifier", 6, {"sharpness": 20.0})
        target = unlikely_for_all(spec, together)
        for label, x in (("together", together), ("alone", together[1:2])):
            experiment(label, spec, x, target, StepSpec(x, 0.25, 1.5), 1)
        attack(experiment, "certain", 1, 7, sharpness=3000.0)
        judge_attack(experiment)
    return "Your attack reaches its targets on small networks. The photo comes next."


@staged()
def p4a_tarantula(adversarial_tarantula: Any) -> str:
    """Checks the photo as a tarantula.

    Raises:
        CheckFailed: With a diagnosis.
    """
    photo = demand_photo("p4a_tarantula", "adversarial_tarantula", adversarial_tarantula, "standard", TARANTULA)
    return f"As you wanted, {photo.sentence()}."


@staged()
def p4b_tiger_cat(adversarial_tiger_cat: Any) -> str:
    """Checks the photo as a tiger cat.

    Raises:
        CheckFailed: With a diagnosis.
    """
    photo = demand_photo("p4b_tiger_cat", "adversarial_tiger_cat", adversarial_tiger_cat, "standard", TIGER_CAT)
    return f"As you wanted, {photo.sentence()}."


@staged()
def p4d_layer_norm(maximize_layer_norm: Any) -> str:
    """Checks the attack on a layer's norm.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(maximize_layer_norm=maximize_layer_norm)
    with visible_check("p4d_layer_norm", maximize_layer_norm=maximize_layer_norm) as inquiry:
        experiment = Experiment(inquiry, "maximize_layer_norm", has_goal=False)
        for label, batch, seed, dtype in FULL_TRIALS:
            spec = FeaturesSpec(NetworkSpec("exam_linear_features", seed, {"dtype": dtype}), layer=seed % 2)
            x = uneven(images(seed, batch, getattr(torch, dtype)))
            experiment(label, spec, x, None, StepSpec(x, 0.05, 1.0), 1)
        for label, dtype in (("deep", "float32"), ("deep double", "float64")):
            x = images(4, 1, getattr(torch, dtype))
            experiment(label, deep_features(4, dtype), x, None, StepSpec(x, 0.25, 1.5), SMALL_STEPS)
        for label, n_iter in (("copy", 0), ("three", 3), ("default", None)):
            short(experiment, label, deep_features(5), None, n_iter)
        judge_layer_norm(experiment, lambda trial: NORMS_BY_DEFAULT if trial.n_iter is None else NORM_AFTER)
    gain = float(feature_norms(experiment.kept["deep"], experiment.kept["deep"].image))
    return f"Each image follows its own norm; on a small network it grew to {gain:.2f}."


@staged()
def p4e_robust(robust_example: Any) -> str:
    """Checks the attacked photo on the robust network.

    Raises:
        CheckFailed: With a diagnosis.
    """
    photo = demand_photo("p4e_robust", "robust_example", robust_example, "robust", TIGER_CAT)
    return f"As you wanted, {photo.sentence()}."


@staged()
def p4f_images(robust_images: Any) -> str:
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
    return f"The robust network sees what you wanted: {names}."


@staged()
def p4g_inversion(invert_features: Any) -> str:
    """Checks the way from features back to an image.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(invert_features=invert_features)
    with visible_check("p4g_inversion", invert_features=invert_features) as inquiry:
        experiment = Experiment(inquiry, "invert_features", goal_first=True)
        for label, batch, dtype in (("single", 1, "float32"), ("double", 1, "float64"), ("batch", 3, "float32")):
            spec, x = deep_features(6, dtype), images(6, batch, getattr(torch, dtype))
            experiment(label, spec, x, features_of(spec, images(7, batch, x.dtype)), StepSpec(x, 0.15, 4.0), 10)
        for label, n_iter in (("copy", 0), ("three", 3), ("default", None)):
            short(
                experiment,
                label,
                deep_features(5),
                features_of(deep_features(5), images(8, 1 if n_iter is None else 2)),
                n_iter,
            )
        judge_inversion(experiment, distances_left)
    return "On small networks the features come as close to their targets as they should."


def distances_left(trial: Trial) -> Tensor:
    """How far from their targets the trial's images have to stay."""
    if trial.n_iter is None:
        return DISTANCES_BY_DEFAULT
    return DISTANCES_LEFT[: len(trial.x)].to(trial.x)


def images(seed: int, batch: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Public images (B, 3, 8, 8)."""
    random = torch.Generator().manual_seed(seed)
    return (0.2 + 0.6 * torch.rand(batch, 3, 8, 8, generator=random)).to(dtype)


def uneven(x: Tensor) -> Tensor:
    """The images with bright and dark corners: there, a norm for each position is not one of all features."""
    brightness = torch.tensor([[1.0, 0.1], [0.4, 0.1]], dtype=x.dtype)
    return x * brightness.repeat_interleave(4, 0).repeat_interleave(4, 1)


def attack(
    experiment: Experiment, label: str, batch: int, seed: int, dtype: str = "float32", *, sharpness: float = 8.0
) -> None:
    """A full attack on an unlikely class, whose id comes in the form that the label says."""
    spec = NetworkSpec("exam_classifier", seed, {"dtype": dtype, "sharpness": sharpness})
    x = images(seed, batch, getattr(torch, dtype))
    if label == "each":
        x = x[:1].repeat(batch, 1, 1, 1)
    targets = build(spec)(x).argsort(dim=1)[range(batch), torch.arange(batch)]
    goal = unlikely_for_all(spec, x)
    if label in ("one is there", "scalar for all"):
        goal = int(build(spec)(x)[1].argmax())
    goal = {"each": targets, "each of one": targets, "scalar": targets[0], "scalar for all": torch.tensor(goal)}.get(
        label, goal
    )
    experiment(label, spec, x, goal, StepSpec(x, 0.25, 1.5), SMALL_STEPS)


def short(experiment: Experiment, label: str, spec: NetworkSpec | FeaturesSpec, goal: Any, n_iter: int | None) -> None:
    """A few steps of two images that do not start in the centre of the ball."""
    original = images(5, 1 if n_iter is None else 2)
    x = (original + 0.02 * torch.randn(original.shape, generator=torch.Generator().manual_seed(5))).clamp(0, 1)
    experiment(label, spec, x, goal, StepSpec(original, 0.2, 1.0), n_iter)


def deep_features(seed: int, dtype: str = "float32") -> FeaturesSpec:
    """The second layer of a small network."""
    return FeaturesSpec(NetworkSpec("exam_classifier", seed, {"dtype": dtype}), layer=1)


def demand_photo(exercise: str, name: str, value: Any, network: NetworkName, target: int) -> AttackedPhoto:
    """Looks at an attacked photo.

    Returns:
        What it shows, if it is a success.

    Raises:
        CheckFailed: If it is not.
    """
    device = str(value.device) if isinstance(value, Tensor) and value.device.type != "meta" else "cpu"
    with visible_check(exercise, **{name: value}) as inquiry:
        return judge_photo(inquiry, name, network, target, success="success", device=device)
