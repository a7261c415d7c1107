"""Exams of problem 4: attacks on small networks made for the exam, and attacked photos judged from the image alone.

What is asked of each function is drawn anew for every seed: networks, images, targets, budgets. Nothing that a notebook
holds (its photo, its steps, its networks) plays a part in the functions' exams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

import pset4.checks.calling.small_networks
from autograder.exams.exam import Examination, exam
from autograder.exams.verdict import Property
from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec
from pset4.checks.judging import photos as attacked_photo
from pset4.checks.judging import trials
from pset4.checks.judging.photos import judging_network, judging_photo, look_at
from pset4.checks.judging.trials import Trial
from pset4.checks.misconceptions.signs import read_photo, read_trials
from pset4.networks.network import NetworkName
from pset4.steps import L2Step

CLASSES = 10
STEPS = 24
DRAWS = 3
"""How often a trial is drawn anew where rounding to 8 bits alone undid a success (1 attack in about 300)."""

Judge = Callable[[Trial], str]


def form_properties(points: dict[str, float]) -> list[Property]:
    """What every attack keeps, whatever it aims at."""
    sentences = {
        "moves only through the step": "`step.step` is the only way in which x may move, and its budget holds.",
        "at most n_iter steps": "The step was taken more often than n_iter allows.",
        "n_iter = 0 returns a copy": "With n_iter=0 the result is a copy of x.",
        "inputs not changed": "What the function was given is not the same afterwards.",
        "shape, dtype, detached": "The result has x's shape and dtype, and requires no gradient.",
    }
    return [Property(name, points[name], sentence, kind="form") for name, sentence in sentences.items()]


class Trials:
    """The trials of one function: asks the student, keeps what came back, and notes what fails."""

    def __init__(self, ex: Examination, function: str, *, goal_first: bool = False, has_goal: bool = True) -> None:
        self.ex, self.function, self.goal_first, self.has_goal = ex, function, goal_first, has_goal
        self.kept: dict[str, Trial] = {}

    def __call__(
        self, label: str, spec: NetworkSpec | FeaturesSpec, x: Tensor, goal: Any, step: StepSpec, n_iter: int | None
    ) -> Trial:
        """One call of the student's function."""
        pair = [] if not self.has_goal else [goal]
        first = [*pair, x] if self.goal_first else [x, *pair]
        last = [] if n_iter is None else [n_iter]
        outcome = self.ex.ask(self.function, spec, *first, step, *last, device=str(x.device))
        self.kept[label] = Trial(spec, x, goal, step, n_iter, outcome, x_position=2 if self.goal_first else 1)
        return self.kept[label]

    def note(self, name: str, judge: Judge, labels: Iterable[str]) -> None:
        """Fails a property for the first trial that does not satisfy the judge."""
        for label in labels:
            if reason := judge(self.kept[label]):
                self.ex.fail(name, reason)
                return

    def note_forms(self, values: Sequence[str]) -> None:
        """Judges what every attack keeps, on the trials that returned; nothing of it counts without a value."""
        answered = [label for label, trial in self.kept.items() if not trial.outcome.error]
        stepping = [label for label in answered if self.kept[label].allowed > 0 and label != "certain"]
        self.note("moves only through the step", trials.moves_otherwise, stepping)
        self.note("moves only through the step", trials.leaves_budget, stepping)
        self.note("at most n_iter steps", trials.too_many_steps, self.kept)
        self.note("at most n_iter steps", lambda trial: trial.outcome.error and trial.unusable, ["default"])
        self.note("n_iter = 0 returns a copy", trials.not_a_copy, ["copy"])
        self.note("inputs not changed", trials.changed_input, self.kept)
        self.note("shape, dtype, detached", trials.wrong_form, answered)
        if all(name in self.ex.failures for name in values):
            for p in self.ex.exam.properties:
                if p.kind == "form":
                    self.ex.fail(p.name, "counts only once the function does something of what it is for")

    def diagnose(self) -> None:
        """Reads the misconception from the trials."""
        if sign := read_trials(self.ex.exam.exercise, self.kept):
            self.ex.diagnose(sign.name, sign.explanation)


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
    logits = pset4.checks.calling.specs.build(spec, x.device)(x)
    order = torch.argsort(logits, dim=1)  # least probable first
    return order[range(len(x)), torch.randperm(5, generator=random)[: len(x)].to(x.device)]


def unlikely_for_all(spec: NetworkSpec, x: Tensor) -> int:
    """The class that no image of the batch is taken for, by the widest margin: an early stop has to wait for it."""
    logits = pset4.checks.calling.specs.build(spec, x.device)(x)
    return int((logits - logits.amax(dim=1, keepdim=True)).amax(dim=0).argmin())


# ------------------------------------------------------------------------------------------------------------- 4a

TOWARDS = "follows the gradient of the target's score"
SIGN = "steps in the right direction"
REACHES = "target becomes the most probable class"
BATCH = "each image of a batch is attacked"
CLASS_ID = "class_id may be a tensor"
CERTAIN = "works where the network is certain"
TARANTULA = "adversarial_tarantula fools the network"
ATTACK_FORMS = {
    "moves only through the step": 1.0,
    "at most n_iter steps": 0.5,
    "n_iter = 0 returns a copy": 0.5,
    "inputs not changed": 0.5,
    "shape, dtype, detached": 0.5,
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
        Property(TARANTULA, 2.0, "The photo must be taken for a tarantula, within the budget of 3."),
        *form_properties(ATTACK_FORMS),
    ],
)
def attack_exam(ex: Examination) -> None:
    """Targeted attacks on small networks, and the photo."""
    for device in ex.devices:
        attack_on_small_networks(ex, device)
    judge_photo(ex, "adversarial_tarantula", "standard", attacked_photo.TARANTULA, success=TARANTULA)


def attack_on_small_networks(ex: Examination, device: str) -> None:
    """The function's own properties on one device."""
    ask = Trials(ex, "generate_adversarial_example")
    for label, batch, dtype in (("single", 1, "float32"), ("double", 1, "float64"), ("batch", 3, "float32")):
        succeed(ask, label, batch, dtype, device)
    for label in ("scalar", "each"):
        succeed(ask, label, 1 if label == "scalar" else 4, "float32", device)
    succeed(ask, "certain", 1, "float32", device, sharpness=3000.0)
    short_attacks(ask, device)
    ask.note(TOWARDS, lambda t: leaves_direction(t, abs), ["single", "double"])
    ask.note(SIGN, lambda t: leaves_direction(t, float), ["single", "double"])
    ask.note(REACHES, trials.misses_target, ["single", "double"])
    ask.note(BATCH, trials.misses_target, ["batch"])
    ask.note(BATCH, lambda t: depends_on_batch(t, ask.kept["alone"]), ["together"])
    ask.note(CLASS_ID, trials.misses_target, ["scalar", "each"])
    ask.note(CERTAIN, trials.misses_target, ["certain"])
    ask.note_forms([TOWARDS, SIGN, REACHES, BATCH, CLASS_ID, CERTAIN])
    ask.diagnose()


def succeed(ask: Trials, label: str, batch: int, dtype: str, device: str, sharpness: float = 8.0) -> None:
    """A full attack; it is drawn anew where rounding alone undid the success."""
    for _ in range(DRAWS):
        spec = classifier(ask.ex.random, dtype, sharpness)
        x = draw_images(ask.ex.random, batch, dtype, device)
        targets = unlikely_classes(spec, x, ask.ex.random)
        original = x
        if label == "each":  # one photo, expanded to a batch: four views of the same memory
            original, x = x[:1], x[:1].expand(batch, -1, -1, -1)
        goal: Any = targets if label == "each" else targets[0] if label == "scalar" else int(targets[0])
        goal = unlikely_for_all(spec, x) if label == "batch" else goal
        if not trials.undone_by_rounding(ask(label, spec, x, goal, budget(original), STEPS)):
            return


def short_attacks(ask: Trials, device: str) -> None:
    """No step, one step, and no `n_iter` at all; the start is not the centre of the ball."""
    random = ask.ex.random
    for label, n_iter in (("copy", 0), ("one", 1), ("three", 3)):
        spec, original = classifier(random), draw_images(random, 2, device=device)
        x = (original + 0.02 * torch.randn(original.shape, generator=random).to(device)).clamp(0, 1)
        ask(label, spec, x, unlikely_for_all(spec, x), StepSpec(original, step_size=0.2, eps=1.0), n_iter)
    spec, x = classifier(random), draw_images(random, 1, device=device)
    ask("default", spec, x, int(unlikely_classes(spec, x, random)[0]), budget(x), None)
    spec, x = mixed_batch(random, device)
    target = unlikely_for_all(spec, x)
    ask("together", spec, x, target, budget(x), 1)
    ask("alone", spec, x[1:2], target, budget(x[1:2]), 1)


def mixed_batch(random: torch.Generator, device: str) -> tuple[NetworkSpec, Tensor]:
    """Images whose mean logits say another class than those of the second image: mixing them shows in its direction."""
    for _ in range(50):
        spec, x = classifier(random, sharpness=60.0), draw_images(random, 3, device=device)
        logits = pset4.checks.calling.specs.build(spec, device)(x)
        if logits.mean(dim=0).argmax() != logits[1].argmax():
            break
    return spec, x


def leaves_direction(trial: Trial, sign: Callable[[float], float]) -> str:
    """Whether the first direction has too small a part of the target's own direction."""
    if trial.outcome.error:
        return trial.unusable
    found = trials.target_cosines(trial)
    if found is None:
        return "`step.step` was given no direction of the images' shape"
    lowest = min(sign(float(c)) for c in found)
    found_and_expected = f"{lowest:.2f}; expected more than {trials.TOWARDS:g}"
    return "" if lowest > trials.TOWARDS else f"cosine of the first direction with the target's: {found_and_expected}"


def depends_on_batch(together: Trial, alone: Trial) -> str:
    """Whether an image's direction depends on the other images of its batch."""
    if together.direction is None or alone.direction is None:
        return together.unusable or alone.unusable or "`step.step` was given no direction of the images' shape"
    cosine = float(trials.cosines(together.direction[1:2], alone.direction))
    return "" if cosine > 0.995 else "in a batch, an image moves in another direction than it does alone"


def judge_photo(
    ex: Examination,
    name: str,
    network: NetworkName,
    wanted: int,
    *,
    success: str,
    closer: str = "",
    within: str = "",
) -> None:
    """Judges a variable that holds an attacked photo."""
    outcome = ex.student.value(name)
    eps = attacked_photo.STANDARD_EPS if network == "standard" else attacked_photo.ROBUST_EPS
    judge = judging_network(network)
    photo = look_at(outcome.value, judge, judging_photo(), target=judge.nearest_known(wanted), eps=eps)
    reason = f"the notebook does not set `{name}`" if outcome.error else f"`{name}`: {photo.sentence()}"
    for held, prop in ((photo.success, success), (photo.closer, closer), (photo.in_budget, within)):
        if prop and (outcome.error or not held):
            ex.fail(prop, reason)
    if outcome.error:
        ex.diagnose("missing", f"The notebook does not set `{name}`. Keep what your function returns under this name.")
    elif not photo.success and (sign := read_photo(ex.exam.exercise, photo, outcome.value, judging_photo())):
        ex.diagnose(sign.name, sign.explanation)


# ------------------------------------------------------------------------------------------------------- 4b and 4e


def photo_properties(within: float, closer: float, success: float, eps: float, target: str) -> list[Property]:
    """What an attacked photo is worth."""
    return [
        Property(
            "image within the budget", within, f"The image must lie in [0, 1] and within {eps:g} of the photo.", "form"
        ),
        Property(
            "target gains",
            closer,
            f"The {target} must become e times (2.7 times) as probable, and one of the five most probable.",
        ),
        Property("target is the most probable class", success, f"The network must take the image for the {target}."),
    ]


@exam("p4b_tiger_cat", points=4, properties=photo_properties(0.5, 1.0, 2.5, attacked_photo.STANDARD_EPS, "tiger cat"))
def tiger_cat_exam(ex: Examination) -> None:
    """The photo as a tiger cat, on the standard network."""
    judge_photo_in_parts(ex, "adversarial_tiger_cat", "standard")


@exam("p4e_robust", points=8, properties=photo_properties(1.0, 2.0, 5.0, attacked_photo.ROBUST_EPS, "target"))
def robust_exam(ex: Examination) -> None:
    """The photo as a tiger cat, or the nearest class, on the robust network."""
    judge_photo_in_parts(ex, "robust_example", "robust")


def judge_photo_in_parts(ex: Examination, name: str, network: NetworkName) -> None:
    """An attacked photo whose budget, gain and success are properties of their own."""
    judge_photo(
        ex,
        name,
        network,
        attacked_photo.TIGER_CAT,
        success="target is the most probable class",
        closer="target gains",
        within="image within the budget",
    )


# ------------------------------------------------------------------------------------------------------------- 4d

L2 = "follows the gradient of the L2 norm"
OWN = "each image's own norm"
GROWS = "the norm grows"
FORMS_OF_FEATURES = {
    "moves only through the step": 0.75,
    "at most n_iter steps": 0.25,
    "n_iter = 0 returns a copy": 0.25,
    "inputs not changed": 0.25,
    "shape, dtype, detached": 0.5,
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
        *form_properties(FORMS_OF_FEATURES),
    ],
)
def layer_norm_exam(ex: Examination) -> None:
    """Directions on linear features, and the gain on a network."""
    for device in ex.devices:
        layer_norm_on_small_networks(ex, device)


def layer_norm_on_small_networks(ex: Examination, device: str) -> None:
    """The function's properties on one device."""
    ask, random = Trials(ex, "maximize_layer_norm", has_goal=False), ex.random
    for label, batch, dtype in (("single", 1, "float32"), ("double", 1, "float64"), ("batch", 3, "float32")):
        x = draw_uneven_images(random, batch, dtype, device)
        ask(label, linear_features(random, dtype), x, None, StepSpec(x, step_size=0.05, eps=1.0), 1)
    for label, dtype in (("deep", "float32"), ("deep double", "float64")):
        x = draw_images(random, 1, dtype, device)
        ask(label, deep_features(random, dtype), x, None, budget(x), STEPS)
    short_feature_attacks(ask, device, with_target=False)
    ask.note(L2, lambda t: not_along_norm(t, abs), ["single", "double"])
    ask.note(OWN, lambda t: not_along_norm(t, abs), ["batch"])
    ask.note(GROWS, grows_too_little, ["deep", "deep double"])
    ask.note_forms([L2, GROWS, OWN])
    ask.diagnose()


def short_feature_attacks(ask: Trials, device: str, *, with_target: bool) -> None:
    """No step, three steps, and no `n_iter` at all; the start is not the centre of the ball."""
    for label, n_iter in (("copy", 0), ("three", 3), ("default", None)):
        spec, original = deep_features(ask.ex.random), draw_images(ask.ex.random, 2, device=device)
        x = (original + 0.02 * torch.randn(original.shape, generator=ask.ex.random).to(device)).clamp(0, 1)
        goal = features_of(spec, draw_images(ask.ex.random, 2, device=device)) if with_target else None
        ask(label, spec, x, goal, StepSpec(original, step_size=0.2, eps=1.0), n_iter)


def features_of(spec: FeaturesSpec, x: Tensor) -> Tensor:
    """The features of images."""
    with torch.no_grad():
        return torch.as_tensor(pset4.checks.calling.specs.build(spec, x.device)(x))


def not_along_norm(trial: Trial, sign: Callable[[float], float]) -> str:
    """Whether the first direction is another than that of each image's own L2 norm, on linear features."""
    if trial.outcome.error:
        return trial.unusable
    if trial.direction is None:
        return "`step.step` was given no direction of the images' shape"
    found = trials.cosines(trial.direction, trials.norm_gradients(trial.model, trial.x))
    lowest = min(sign(float(c)) for c in found)
    return "" if lowest > 0.99 else f"the first direction has a cosine of {lowest:.2f} with the gradient of the L2 norm"


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


def grows_too_little(trial: Trial) -> str:
    """Whether the norm grows by less than 80 % of what following its gradient reaches."""
    if trial.unusable:
        return trial.unusable
    before = trials.feature_norms(trial, trial.x)
    gain = trials.feature_norms(trial, trial.image) - before
    possible = trials.feature_norms(trial, follow_gradient(trial, lambda h: h.norm(dim=1))) - before
    share = float((gain / possible).min())
    return "" if share >= 0.8 else f"on a small network the norm gains {share:.0%} of what is possible"


# ------------------------------------------------------------------------------------------------------------- 4g

CLOSE = "comes close to the target's features"
EACH = "each image of a batch comes close"
FORMS_OF_INVERSION = {
    "moves only through the step": 0.5,
    "at most n_iter steps": 0.25,
    "n_iter = 0 returns a copy": 0.25,
    "inputs not changed": 0.25,
    "shape, dtype, detached": 0.25,
}


@exam(
    "p4g_inversion",
    points=4,
    properties=[
        Property(CLOSE, 2.0, "The features stay further from the target's than following the gradient brings them."),
        Property(EACH, 0.5, "In a batch, each image comes close to its own target."),
        *form_properties(FORMS_OF_INVERSION),
    ],
)
def inversion_exam(ex: Examination) -> None:
    """Distances to the features of images that the student does not see."""
    for device in ex.devices:
        inversion_on_small_networks(ex, device)


def inversion_on_small_networks(ex: Examination, device: str) -> None:
    """The function's properties on one device."""
    ask, random = Trials(ex, "invert_features", goal_first=True), ex.random
    for label, batch, dtype in (("single", 1, "float32"), ("double", 1, "float64"), ("batch", 3, "float32")):
        spec, x = deep_features(random, dtype), draw_images(random, batch, dtype, device)
        goal = features_of(spec, draw_images(random, batch, dtype, device))
        # Few steps, so that no attack is near enough to jump about its goal: what is left is a matter of direction.
        ask(label, spec, x, goal, StepSpec(x, step_size=0.15, eps=4.0), 10)
    short_feature_attacks(ask, device, with_target=True)
    ask.note(CLOSE, stays_away, ["single", "double"])
    ask.note(EACH, stays_away, ["batch"])
    ask.note_forms([CLOSE, EACH])
    ask.diagnose()


def stays_away(trial: Trial) -> str:
    """Whether an image's features are more than 1.25 times as far from the target as those of the reference."""
    if trial.unusable:
        return trial.unusable
    goal = trial.goal.flatten(1)
    reference = trials.feature_distances(trial, follow_gradient(trial, lambda h: -(h - goal).norm(dim=1)))
    ratio = float((trials.feature_distances(trial, trial.image) / reference).max())
    return (
        ""
        if ratio <= 1.25
        else f"the features stay {ratio:.2f} times as far from the target as they need to (limit 1.25)"
    )
