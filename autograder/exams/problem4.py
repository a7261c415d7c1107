"""Exams of problem 4: attacks on small networks made for the exam, and attacked photos judged from the image alone.

What is asked of each function is drawn anew for every seed: networks, images, targets, budgets. Nothing that a notebook
holds (its photo, its steps, its networks) plays a part in the functions' exams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.exams.exam import EXAMS, Examination, exam
from autograder.exams.slips import slip_named
from autograder.exams.verdict import Property
from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec, build
from pset4.checks.judging import trials
from pset4.checks.judging.attacks import (
    BATCH,
    CERTAIN,
    CLASS_ID,
    CLOSE,
    COPY,
    COUNTS,
    EACH,
    FORM,
    GROWS,
    L2,
    MOVES,
    OWN,
    REACHES,
    SIGN,
    TOWARDS,
    UNCHANGED,
    Experiment,
    features_of,
    judge_attack,
    judge_inversion,
    judge_layer_norm,
    judge_photo,
    unlikely_for_all,
)
from pset4.checks.judging.photos import ROBUST_EPS, STANDARD_EPS, TARANTULA, TIGER_CAT, judging_photo
from pset4.checks.judging.trials import Trial
from pset4.networks.network import NetworkName
from pset4.settings import load_settings
from pset4.steps import L2Step

CLASSES = 10
STEPS = 24
DRAWS = 3
"""How often a trial is drawn anew where rounding to 8 bits alone undid a success (1 attack in about 300)."""


def attack_form(points: dict[str, float]) -> list[Property]:
    """What every attack keeps, whatever it aims at."""
    sentences = {
        MOVES: "`step.step` is the only way in which x may move, and its budget holds.",
        COUNTS: "The step was taken more often than n_iter allows.",
        COPY: "With n_iter=0 the result is a copy of x.",
        UNCHANGED: "What the function was given is not the same afterwards.",
        FORM: "The result has x's shape and dtype, and requires no gradient.",
    }
    return [Property(name, points[name], sentence, kind="form") for name, sentence in sentences.items()]


def draw_seed(random: torch.Generator) -> int:
    """Seed of a network's weights."""
    return int(torch.randint(2**31, (), generator=random))


def draw_images(random: torch.Generator, batch: int, dtype: str = "float32", device: str = "cpu") -> Tensor:
    """Images (B, 3, 8, 8), away from black and white so that an attack has room."""
    return (0.2 + 0.6 * torch.rand(batch, 3, 8, 8, generator=random)).to(device, getattr(torch, dtype))


def draw_uneven_images(random: torch.Generator, batch: int, dtype: str = "float32", device: str = "cpu") -> Tensor:
    """Images (B, 3, 8, 8) with bright and dark corners: there, a norm for each position is not one of all features."""
    bright = torch.rand(batch, 1, 2, 2, generator=random) < 0.5
    bright[:, :, 0, 0], bright[:, :, 1, 1] = True, False
    brightness = torch.where(bright, 0.85, 0.05).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    return (0.05 + torch.rand(batch, 3, 8, 8, generator=random) * brightness).to(device, getattr(torch, dtype))


def classifier(random: torch.Generator, dtype: str = "float32", sharpness: float = 8.0) -> NetworkSpec:
    """A classifier with random weights."""
    return NetworkSpec(
        "exam_classifier", draw_seed(random), {"dtype": dtype, "sharpness": sharpness, "classes": CLASSES}
    )


def budget(original: Tensor) -> StepSpec:
    """A budget that lets every sensible objective reach every class within `STEPS` steps."""
    return StepSpec(original, step_size=0.25, eps=1.5)


def unlikely_classes(spec: NetworkSpec, x: Tensor, random: torch.Generator) -> Tensor:
    """For each image one of the five least probable classes, another one for each image if there are at most five."""
    logits = build(spec, x.device)(x)
    order = torch.argsort(logits, dim=1)  # least probable first
    return order[range(len(x)), torch.randperm(5, generator=random)[: len(x)].to(x.device)]


FOOLED = "adversarial_tarantula fools the network"
ATTACK_FORMS = {
    MOVES: 1.0,
    COUNTS: 0.5,
    COPY: 0.5,
    UNCHANGED: 0.5,
    FORM: 0.5,
}


@exam(
    "p4a_attack",
    points=12,
    properties=[
        Property(TOWARDS, 1.0, "The first direction has nothing to do with the target's logit or probability."),
        Property(SIGN, 1.0, "The first step makes the target less probable."),
        Property(REACHES, 2.5, "The attack does not reach its target on a small network."),
        Property(BATCH, 1.0, "In a batch, each image is attacked as if it were alone."),
        Property(CLASS_ID, 1.0, "class_id may be an int, a 0-d tensor, or one class for each image."),
        Property(CERTAIN, 0.5, "Where the network is certain of another class, the attack does not get away."),
        Property(FOOLED, 2.0, "The photo must be taken for a tarantula, within the budget of 3.", function="the photo"),
        *attack_form(ATTACK_FORMS),
    ],
)
def attack_exam(ex: Examination) -> None:
    """Targeted attacks on small networks, and the photo."""
    for device in ex.devices:
        attack_on_small_networks(ex, device)
    judge_photo(ex, "adversarial_tarantula", "standard", TARANTULA, success=FOOLED)


def attack_on_small_networks(ex: Examination, device: str) -> None:
    """The function's own properties on one device."""
    ask = Experiment(ex, "generate_adversarial_example")
    for label, batch, dtype in (("single", 1, "float32"), ("double", 1, "float64"), ("batch", 3, "float32")):
        succeed(ask, ex.random, label, batch, dtype, device)
    for label, batch in (("scalar", 1), ("each", 4), ("each of one", 1)):
        succeed(ask, ex.random, label, batch, "float32", device)
    succeed(ask, ex.random, "certain", 1, "float32", device, sharpness=3000.0)
    short_attacks(ask, ex.random, device)
    judge_attack(ask)


def succeed(
    ask: Experiment, random: torch.Generator, label: str, batch: int, dtype: str, device: str, sharpness: float = 8.0
) -> None:
    """A full attack; it is drawn anew where rounding alone undid the success."""
    for _ in range(DRAWS):
        spec = classifier(random, dtype, sharpness)
        x = draw_images(random, batch, dtype, device)
        original = x
        if label == "each":  # one photo, expanded to a batch: four views of the same memory
            original, x = x[:1], x[:1].expand(batch, -1, -1, -1)
        targets = unlikely_classes(spec, x, random)
        goal: Any = int(targets[0])
        if label.startswith("each"):
            goal = targets
        elif label == "scalar":
            goal = targets[0]
        elif batch > 1:
            goal = unlikely_for_all(spec, x)
        if not trials.undone_by_rounding(ask(label, spec, x, goal, budget(original), STEPS)):
            return


def short_attacks(ask: Experiment, random: torch.Generator, device: str) -> None:
    """No step, one step, and no `n_iter` at all; the start is not the centre of the ball."""
    for label, n_iter in (("copy", 0), ("one", 1), ("three", 3)):
        spec, original = classifier(random), draw_images(random, 2, device=device)
        x = (original + 0.02 * torch.randn(original.shape, generator=random).to(device)).clamp(0, 1)
        ask(label, spec, x, unlikely_for_all(spec, x), StepSpec(original, step_size=0.2, eps=1.0), n_iter)
    spec, x = classifier(random), draw_images(random, 1, device=device)
    # Steps so short that it takes dozens of them.
    ask("default", spec, x, int(unlikely_classes(spec, x, random)[0]), StepSpec(x, step_size=0.025, eps=1.5), None)
    spec, x, target = one_is_there(random, device)
    ask("one is there", spec, x, target, budget(x), STEPS)
    spec, x, target = one_is_there(random, device)
    ask("scalar for all", spec, x, torch.tensor(target, device=x.device), budget(x), STEPS)
    spec, x = mixed_batch(random, device)
    target = unlikely_for_all(spec, x)
    ask("together", spec, x, target, budget(x), 1)
    ask("alone", spec, x[1:2], target, budget(x[1:2]), 1)


def one_is_there(random: torch.Generator, device: str) -> tuple[NetworkSpec, Tensor, int]:
    """Images of which the second alone is taken for the target from the start: an attack must not stop for it."""
    for _ in range(50):
        spec, x = classifier(random), draw_images(random, 3, device=device)
        seen = build(spec, device)(x).argmax(dim=1).tolist()
        if seen.count(seen[1]) == 1:
            break
    return spec, x, seen[1]


def mixed_batch(random: torch.Generator, device: str) -> tuple[NetworkSpec, Tensor]:
    """Images whose mean logits say another class than those of the second image: mixing them shows in its direction."""
    for _ in range(50):
        spec, x = classifier(random, sharpness=60.0), draw_images(random, 3, device=device)
        logits = build(spec, device)(x)
        if logits.mean(dim=0).argmax() != logits[1].argmax():
            break
    return spec, x


GAINS, SUCCESS, WITHIN = "target gains", "target is the most probable class", "image within the budget"
LIKE_EACH_OTHER = 0.5
"""Cosine between the changes of two images that one attack makes of one photo; other targets have less than 0.2."""


def photo_properties(within: float, closer: float, success: float, eps: float, target: str) -> list[Property]:
    """What an attacked photo is worth."""
    return [
        Property(WITHIN, within, f"The image must lie in [0, 1] and within {eps:g} of the photo.", "form"),
        Property(
            GAINS,
            closer,
            f"The {target} must become e times (2.7 times) as probable, and one of the five most probable.",
        ),
        Property(SUCCESS, success, f"The network must take the image for the {target}."),
    ]


@exam("p4b_tiger_cat", points=4, properties=photo_properties(0.5, 1.0, 2.5, STANDARD_EPS, "tiger cat"))
def tiger_cat_exam(ex: Examination) -> None:
    """The photo as a tiger cat, on the standard network."""
    judge_photo_in_parts(ex, "adversarial_tiger_cat", "standard")


@exam("p4e_robust", points=8, properties=photo_properties(1.0, 2.0, 5.0, ROBUST_EPS, "target"))
def robust_exam(ex: Examination) -> None:
    """The photo as a tiger cat, or the nearest class, on the robust network."""
    judge_photo_in_parts(ex, "robust_example", "robust")


def judge_photo_in_parts(ex: Examination, name: str, network: NetworkName) -> None:
    """An attacked photo whose budget, gain and success are properties of their own."""
    before = len(ex.found)
    photo = judge_photo(ex, name, network, TIGER_CAT, success=SUCCESS, closer=GAINS, within=WITHIN)
    # What is wrong with the function has cost its points in p4a_attack; here, it is only called again.
    if not photo.success and photo.in_budget and is_what_the_function_makes(ex, name, network, photo.target):
        del ex.found[before:]
        ex.pardon(f"`{name}` is what your function makes of the right arguments; its mistake is judged in p4a_attack")


def is_what_the_function_makes(ex: Examination, name: str, network: NetworkName, target: int) -> bool:
    """Whether the student's attack has a slip, and its image, called rightly, is the one that was handed in."""
    first = Examination(EXAMS["p4a_attack"], ex.student, seed=0)
    attack_on_small_networks(first, "cpu")
    if slip_named("p4a_attack", first.recognised()[0]) is None:
        return False
    original = judging_photo()
    eps, size = (STANDARD_EPS, 0.5) if network == "standard" else (ROBUST_EPS, 2.0)
    outcome = ex.ask(
        "generate_adversarial_example",
        NetworkSpec("course_network", options={"name": network}),
        original,
        target,
        StepSpec(original, size, eps),
        load_settings().n_iter_while_grading,
    )
    handed_in = ex.student.value(name).value
    made = outcome.value
    if not (isinstance(made, Tensor) and isinstance(handed_in, Tensor) and made.shape == handed_in.shape):
        return False
    # An attack is chaotic: the two ways go apart, but not in opposite directions, nor at right angles.
    return float(trials.cosines(made.to(original) - original, handed_in.to(original) - original)) > LIKE_EACH_OTHER


FORMS_OF_FEATURES = {
    MOVES: 0.75,
    COUNTS: 0.25,
    COPY: 0.25,
    UNCHANGED: 0.25,
    FORM: 0.5,
}


def linear_features(random: torch.Generator, dtype: str = "float32") -> FeaturesSpec:
    """Features that are linear in the pixels, after one or two layers."""
    layer = int(torch.randint(2, (), generator=random))
    return FeaturesSpec(NetworkSpec("exam_linear_features", draw_seed(random), {"dtype": dtype}), layer)


def deep_features(random: torch.Generator, dtype: str = "float32") -> FeaturesSpec:
    """The second layer of a classifier with random weights."""
    return FeaturesSpec(classifier(random, dtype), layer=1)


@exam(
    "p4d_layer_norm",
    points=8,
    properties=[
        Property(L2, 2.5, "The first direction is not that of the L2 norm's gradient."),
        Property(GROWS, 2.5, "The features' norm grows by less than 80 % of what the gradient of the norm reaches."),
        Property(OWN, 1.0, "In a batch, each image follows the gradient of its own features' norm."),
        *attack_form(FORMS_OF_FEATURES),
    ],
)
def layer_norm_exam(ex: Examination) -> None:
    """Directions on linear features, and the gain on a network."""
    for device in ex.devices:
        layer_norm_on_small_networks(ex, device)


def layer_norm_on_small_networks(ex: Examination, device: str) -> None:
    """The function's properties on one device."""
    ask, random = Experiment(ex, "maximize_layer_norm", has_goal=False), ex.random
    for label, batch, dtype in (("single", 1, "float32"), ("double", 1, "float64"), ("batch", 3, "float32")):
        x = draw_uneven_images(random, batch, dtype, device)
        ask(label, linear_features(random, dtype), x, None, StepSpec(x, step_size=0.05, eps=1.0), 1)
    for label, dtype in (("deep", "float32"), ("deep double", "float64")):
        x = draw_images(random, 1, dtype, device)
        ask(label, deep_features(random, dtype), x, None, budget(x), STEPS)
    short_feature_attacks(ask, random, device, with_target=False)
    judge_layer_norm(ask, lambda trial: trials.feature_norms(trial, follow_gradient(trial, lambda h: h.norm(dim=1))))


def short_feature_attacks(ask: Experiment, random: torch.Generator, device: str, *, with_target: bool) -> None:
    """No step, three steps, and no `n_iter` at all; the start is not the centre of the ball."""
    for label, n_iter in (("copy", 0), ("three", 3), ("default", None)):
        # One image where it is only asked whether there is a default.
        spec, original = deep_features(random), draw_images(random, 1 if n_iter is None else 2, device=device)
        x = (original + 0.02 * torch.randn(original.shape, generator=random).to(device)).clamp(0, 1)
        goal = features_of(spec, draw_images(random, len(x), device=device)) if with_target else None
        ask(label, spec, x, goal, StepSpec(original, step_size=0.2, eps=1.0), n_iter)


def follow_gradient(trial: Trial, measure: Callable[[Tensor], Tensor]) -> Tensor:
    """Images after the allowed number of steps up the gradient of a measure of the features, (B, F) -> (B,)."""
    step = L2Step(trial.step.original.to(trial.x), trial.step.step_size, trial.step.eps)
    x = trial.x.detach().clone()
    with torch.enable_grad():
        for _ in range(trial.allowed):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(measure(trial.model(x).flatten(1)).sum(), x)
            x = step.step(x, gradient)
    return x


FORMS_OF_INVERSION = {
    MOVES: 0.5,
    COUNTS: 0.25,
    COPY: 0.25,
    UNCHANGED: 0.25,
    FORM: 0.25,
}


@exam(
    "p4g_inversion",
    points=4,
    properties=[
        Property(CLOSE, 2.0, "The features stay further from the target's than following the gradient brings them."),
        Property(EACH, 0.5, "In a batch, each image comes close to its own target."),
        *attack_form(FORMS_OF_INVERSION),
    ],
)
def inversion_exam(ex: Examination) -> None:
    """Distances to the features of images that the student does not see."""
    for device in ex.devices:
        inversion_on_small_networks(ex, device)


def inversion_on_small_networks(ex: Examination, device: str) -> None:
    """The function's properties on one device."""
    ask, random = Experiment(ex, "invert_features", goal_first=True), ex.random
    for label, batch, dtype in (("single", 1, "float32"), ("double", 1, "float64"), ("batch", 3, "float32")):
        spec, x = deep_features(random, dtype), draw_images(random, batch, dtype, device)
        goal = features_of(spec, draw_images(random, batch, dtype, device))
        # Few steps, so that no attack is near enough to jump about its goal: what is left is a matter of direction.
        ask(label, spec, x, goal, StepSpec(x, step_size=0.15, eps=4.0), 10)
    short_feature_attacks(ask, random, device, with_target=True)
    judge_inversion(ask, distance_left)


def distance_left(trial: Trial) -> Tensor:
    """How far from the target's features the reference stays."""
    goal = trial.goal.flatten(1)
    return trials.feature_distances(trial, follow_gradient(trial, lambda h: -(h - goal).norm(dim=1)))
