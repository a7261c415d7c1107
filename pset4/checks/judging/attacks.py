"""Judges of attacks: a few calls of one function on small networks, and attacked photos.

Visible checks and hidden exams make the same trials, with public and with hidden networks; what the trials show is said
in `trials`, and noted here against the properties of each exercise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.specs import FeaturesSpec, NetworkSpec, StepSpec, build
from pset4.checks.judging import photos, trials
from pset4.checks.judging.inquiry import Inquiry
from pset4.checks.judging.photos import AttackedPhoto, judging_network, judging_photo, look_at
from pset4.checks.judging.signs import read_photo, read_trials
from pset4.checks.judging.trials import Trial
from pset4.networks.network import NetworkName

MOVES, COUNTS = "moves only through the step", "at most n_iter steps"
COPY, UNCHANGED, FORM = "n_iter = 0 returns a copy", "inputs not changed", "shape, dtype, detached"

TOWARDS = "follows the gradient of the target's score"
SIGN = "steps in the right direction"
REACHES = "target becomes the most probable class"
BATCH = "each image of a batch is attacked"
CLASS_ID = "class_id may be a tensor"
CERTAIN = "works where the network is certain"

L2 = "follows the gradient of the L2 norm"
OWN = "each image's own norm"
GROWS = "the norm grows"
ENOUGH_GROWTH = 0.8
"""Share of the norm's possible gain that an attack has to reach."""

CLOSE = "comes close to the target's features"
EACH = "each image of a batch comes close"
CLOSE_ENOUGH = 1.25
"""How much further from the target's features than possible an image may stay."""

NO_DIRECTION = "`step.step` was given no direction of the images' shape"
SMALL, THREE = "On a small network", "With three images"

TENSORS = ("scalar", "scalar for all", "each", "each of one")
"""Trials whose class_id is a tensor."""

Judge = Callable[[Trial], str]
Possible = Callable[[Trial], Tensor]
"""What following the gradient reaches on a trial, for each image (B,): a norm, or a distance."""


class Experiment:
    """The trials of one function: asks the student, keeps what came back, and notes what fails.

    Attributes:
        inquiry: The check or exam.
        function: Name of the student's function.
        kept: The trials by their labels.
    """

    def __init__(self, inquiry: Inquiry, function: str, *, goal_first: bool = False, has_goal: bool = True) -> None:
        self.inquiry, self.function = inquiry, function
        self.kept: dict[str, Trial] = {}
        self._goal_first, self._has_goal = goal_first, has_goal

    def __call__(
        self, label: str, spec: NetworkSpec | FeaturesSpec, x: Tensor, goal: Any, step: StepSpec, n_iter: int | None
    ) -> Trial:
        """One call of the student's function; `n_iter` is left out if it is None."""
        pair = [goal] if self._has_goal else []
        first = [*pair, x] if self._goal_first else [x, *pair]
        last = [] if n_iter is None else [n_iter]
        outcome = self.inquiry.ask(self.function, spec, *first, step, *last, device=str(x.device))
        self.kept[label] = Trial(spec, x, goal, step, n_iter, outcome, x_position=2 if self._goal_first else 1)
        return self.kept[label]

    def note(self, name: str, judge: Judge, labels: Iterable[str], where: str = SMALL) -> None:
        """Fails a property for the first trial that does not satisfy the judge."""
        for label in labels:
            if label in self.kept and (reason := judge(self.kept[label])):
                self.inquiry.fail(name, f"{where}: {reason.rstrip('.')}." if self.inquiry.public else reason)
                return

    def finish(self, too_weak: Judge, value: str) -> None:
        """Judges what every attack keeps, on the trials that returned, and reads the misconception from all.

        Args:
            too_weak: Whether a trial without `n_iter` reached less than 200 steps do.
            value: The property that says whether the attack works with `n_iter`; else nothing is to be learnt without.
        """
        answered = [label for label, trial in self.kept.items() if not trial.outcome.error]
        idle = (
            "certain",
            "one is there",
            "scalar for all",
        )  # where an attack that gives up or stops too early takes no step
        stepping = [label for label in answered if self.kept[label].allowed > 0 and label not in idle]
        self.note(MOVES, trials.moves_otherwise, stepping)
        self.note(MOVES, trials.leaves_budget, stepping)
        self.note(COUNTS, trials.too_many_steps, self.kept)
        self.note(COUNTS, lambda trial: trial.outcome.error and trial.unusable, ["default"])
        if self.inquiry.holds(value):
            self.note(COUNTS, too_weak, ["default"], "Called without n_iter")
        self.note(COPY, trials.not_a_copy, ["copy"])
        self.note(UNCHANGED, trials.changed_input, self.kept)
        self.note(FORM, trials.wrong_form, answered)
        if sign := read_trials(self.inquiry.exercise, self.kept):
            self.inquiry.diagnose(sign.name, sign.explanation)


def judge_attack(experiment: Experiment) -> None:
    """Judges the trials of `generate_adversarial_example`."""
    note = experiment.note
    note(REACHES, trials.misses_target, ["single", "double"])
    note(REACHES, trials.never_looks_again, ["single", "double"])
    note(BATCH, trials.misses_target, ["batch"], THREE)
    note(BATCH, trials.misses_target, ["one is there"], "With three images, of which one is there already")
    note(CLASS_ID, trials.misses_target, TENSORS, "With class_id as a tensor")
    note(BATCH, lambda trial: depends_on_batch(trial, experiment.kept["alone"]), ["together"], THREE)
    note(CERTAIN, trials.misses_target, ["certain"], "On a network that is certain")
    note(TOWARDS, lambda trial: leaves_direction(trial, abs), ["single", "double"])
    note(SIGN, lambda trial: leaves_direction(trial, float), ["single", "double"])
    experiment.finish(trials.never_fools, REACHES)


def leaves_direction(trial: Trial, sign: Callable[[float], float]) -> str:
    """Whether the first direction has too small a part of the target's own direction."""
    if trial.outcome.error:
        return trial.unusable
    found = trials.target_cosines(trial)
    if found is None:
        return NO_DIRECTION
    lowest = min(sign(float(c)) for c in found)
    found_and_expected = f"{lowest:.2f}; expected more than {trials.LEAST_COSINE:g}"
    return (
        "" if lowest > trials.LEAST_COSINE else f"cosine of the first direction with the target's: {found_and_expected}"
    )


def depends_on_batch(together: Trial, alone: Trial) -> str:
    """Whether the second image's direction depends on the other images of its batch."""
    if together.direction is None or alone.direction is None:
        return together.unusable or alone.unusable or NO_DIRECTION
    cosine = float(trials.cosines(together.direction[1:2], alone.direction))
    return "" if cosine > 0.995 else "in a batch, an image moves in another direction than it does alone"


def judge_layer_norm(experiment: Experiment, possible: Possible) -> None:
    """Judges the trials of `maximize_layer_norm`.

    Args:
        experiment: The trials.
        possible: The norm that following its gradient reaches.
    """
    experiment.note(L2, not_along_norm, ["single", "double"], "On features that are linear in the pixels")
    experiment.note(OWN, not_along_norm, ["batch"], THREE)

    def judge(trial: Trial) -> str:
        return grows_too_little(trial, possible(trial), public=experiment.inquiry.public)

    experiment.note(GROWS, judge, ["deep", "deep double"])
    experiment.finish(judge, GROWS)


def not_along_norm(trial: Trial) -> str:
    """Whether the first direction is another than that of the gradient of each image's own L2 norm."""
    if trial.outcome.error:
        return trial.unusable
    if trial.direction is None:
        return NO_DIRECTION
    lowest = float(trials.cosines(trial.direction, trials.norm_gradients(trial.model, trial.x)).min())
    return "" if lowest > 0.99 else f"the first direction has a cosine of {lowest:.2f} with the gradient of the L2 norm"


def grows_too_little(trial: Trial, possible: Tensor, *, public: bool) -> str:
    """Whether the norm grows by less than 80 % of what following its gradient reaches, within the budget."""
    if reason := trials.leaves_budget(trial) or trials.never_looks_again(trial):
        return reason
    before, after = (trials.feature_norms(trial, x) for x in (trial.x, trial.image))
    share = float(((after - before) / (possible - before)).min())
    if share >= ENOUGH_GROWTH:
        return ""
    if public:
        went = f"went from {float(before[0]):.2f} to {float(after[0]):.2f}"
        return f"the features' norm {went}; {float(possible[0]):.2f} is within reach"
    return f"on a small network the norm gains {share:.0%} of what is possible"


def judge_inversion(experiment: Experiment, possible: Possible) -> None:
    """Judges the trials of `invert_features`.

    Args:
        experiment: The trials.
        possible: The distance from the target's features that following its gradient leaves.
    """

    def judge(trial: Trial) -> str:
        return stays_away(trial, possible(trial), public=experiment.inquiry.public)

    experiment.note(CLOSE, judge, ["single", "double"])
    experiment.note(EACH, judge, ["batch"], THREE)
    experiment.finish(judge, CLOSE)


def stays_away(trial: Trial, possible: Tensor, *, public: bool) -> str:
    """Whether an image's features are more than 1.25 times as far from the target as they need to be."""
    if reason := trials.leaves_budget(trial) or trials.never_looks_again(trial):
        return reason
    before, after = (trials.feature_distances(trial, x) for x in (trial.x, trial.image))
    ratios = after / possible
    worst = int(ratios.argmax())
    ratio = float(ratios[worst])
    if ratio <= CLOSE_ENOUGH:
        return ""
    if public:
        went = f"went from {float(before[worst]):.2f} to {float(after[worst]):.2f}"
        return (
            f"the distance to the target's features {went}; {CLOSE_ENOUGH * float(possible[worst]):.2f} is close enough"
        )
    needed = f"{ratio:.2f} times as far from the target as they need to (limit {CLOSE_ENOUGH:g})"
    return f"the features stay {needed}"


def judge_photo(
    inquiry: Inquiry,
    name: str,
    network: NetworkName,
    wanted: int,
    *,
    success: str,
    closer: str = "",
    within: str = "",
    device: str = "cpu",
) -> AttackedPhoto:
    """Judges a variable that holds an attacked photo.

    Args:
        inquiry: The check or exam.
        name: The variable.
        network: The network that it attacks.
        wanted: The target class, or one whose nearest known class is.
        success: The property that an image misses which is not taken for the target.
        closer: The property that an image misses whose target has not gained.
        within: The property that an image misses which is none, or out of the budget.
        device: Where the network looks at it.

    Returns:
        What the image shows.
    """
    outcome = inquiry.student.value(name)
    eps = photos.STANDARD_EPS if network == "standard" else photos.ROBUST_EPS
    judge, original = judging_network(network, device), judging_photo(device)
    photo = look_at(outcome.value, judge, original, target=judge.nearest_known(wanted), eps=eps)
    reason = f"the notebook does not set `{name}`" if outcome.error else f"`{name}`: {photo.sentence()}"
    for held, prop in ((photo.success, success), (photo.closer, closer), (photo.in_budget, within)):
        if prop and (outcome.error or not held):
            inquiry.fail(prop, f"{reason}." if inquiry.public else reason)
    if not photo.success and (sign := read_photo(inquiry.exercise, photo, outcome.value, original)):
        inquiry.diagnose(sign.name, sign.explanation)
    return photo


def unlikely_for_all(spec: NetworkSpec, x: Tensor) -> int:
    """The class that no image of the batch is taken for, by the widest margin: an early stop has to wait for it."""
    logits = build(spec, x.device)(x)
    return int((logits - logits.amax(dim=1, keepdim=True)).amax(dim=0).argmin())


def features_of(spec: FeaturesSpec, x: Tensor) -> Tensor:
    """The features of images."""
    with torch.no_grad():
        return torch.as_tensor(build(spec, x.device)(x))
