"""Misconceptions about attacks: on classes, on the norm of a layer, on the distance to given features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pset4.checks.judging import trials as judge
from pset4.checks.judging.attacks import TENSORS
from pset4.checks.judging.signs import TrialSign, register_trial_signs
from pset4.checks.judging.trials import Kept, Trial
from pset4.checks.misconceptions.attack_loops import answered, fails, keeping_signs, only_first_moves, usage_signs


def cosines_of(trials: Kept, *labels: str) -> list[Tensor]:
    """For each labelled trial with a first step, the cosines with every class's own direction, (B, K)."""
    found = [judge.class_cosines(trials[label]) for label in labels if label in trials]
    return [cosines for cosines in found if cosines is not None]


def goes_away(trials: Kept) -> bool:
    """Whether the first step lowers the target's score."""
    found = [judge.target_cosines(trials[label]) for label in ("single", "double") if label in trials]
    return any(c is not None for c in found) and all(c is None or bool((c < -judge.LEAST_COSINE).all()) for c in found)


def leading_class(trials: Kept, sign: float) -> list[tuple[Trial, Tensor]]:
    """Single trials whose first step above all raises (1) or lowers (-1) one class, not the target; and which one."""
    found = []
    for label in ("single", "double"):
        cosines = cosines_of(trials, label)
        if not cosines:
            continue
        largest = cosines[0].abs().argmax(dim=1)  # (B,)
        strength = sign * cosines[0].gather(1, largest[:, None])
        if bool((strength > judge.LEAST_COSINE).all()) and bool((largest != trials[label].targets).all()):
            found.append((trials[label], largest))
    return found


def leaves_current_class(trials: Kept) -> bool:
    """Whether the first step above all lowers the class that the network sees."""
    for trial, class_ids in leading_class(trials, -1.0):
        with torch.no_grad():
            if bool((trial.model(trial.x).argmax(dim=1) == class_ids).all()):
                return True
    return False


def seeks_other_class(trials: Kept) -> bool:
    """Whether the first step above all raises one class, and it is not the target."""
    return bool(leading_class(trials, 1.0))


def first_step_is_zero(trials: Kept) -> bool:
    """Whether the first direction is zero for single images."""
    chosen = [trials[label].direction for label in ("single", "double") if label in trials]
    return bool(chosen) and all(d is not None and not bool(d.any()) for d in chosen)


def wanders(trials: Kept) -> bool:
    """Whether the first step has nothing to do with any class."""
    found = cosines_of(trials, "single", "double")
    return bool(found) and all(float(cosines.abs().max()) < judge.LEAST_COSINE for cosines in found)


def other_targets_fail(trials: Kept) -> bool:
    """Whether class_id as an int works, and as a tensor does not."""
    return not fails(trials, judge.misses_target, "single", "batch") and fails(trials, judge.misses_target, *TENSORS)


def raises_on_tensors(trials: Kept) -> bool:
    """Whether a tensor as class_id raises an error."""
    return other_targets_fail(trials) and any(t in trials and bool(trials[t].outcome.error) for t in TENSORS)


def mixes_batch(trials: Kept) -> bool:
    """Whether an image moves in another direction in a batch than alone."""
    if "together" not in trials or "alone" not in trials:
        return fails(trials, judge.misses_target, "batch") and not fails(trials, judge.misses_target, "single")
    if trials["together"].outcome.error:
        return False
    together, alone = trials["together"].direction, trials["alone"].direction
    if together is None or alone is None:
        return alone is not None
    return float(judge.cosines(together[1:2], alone)) < 0.995


def stops_for_one(trials: Kept) -> bool:
    """Whether nothing moves in a batch of which one image is there already."""
    trial = trials.get("one is there")
    return trial is not None and not trial.unusable and trial.outcome.steps == 0


def only_batches_raise(trials: Kept) -> bool:
    """Whether several images with one class_id raise an error, and one image does not."""
    single, batch = trials.get("single"), trials.get("batch")
    return bool(single and batch and not single.outcome.error and batch.outcome.error)


def follows_all_targets(trials: Kept) -> bool:
    """Whether copies of one photo that aim at different classes all move in one direction."""
    trial = trials.get("each")
    if trial is None or trial.direction is None or not bool(trial.direction.any()):
        return False
    return float(judge.cosines(trial.direction[:1].expand_as(trial.direction), trial.direction).min()) > 0.99


ATTACK = "generate_adversarial_example"

register_trial_signs(
    "p4a_attack",
    *usage_signs(ATTACK),
    TrialSign(
        "wrong_sign",
        "Your attack walks away from its target: the first step already makes the target less probable. `step.step(x, "
        "direction)` goes along the direction; to make a cost smaller, hand it minus the gradient.",
        goes_away,
    ),
    TrialSign(
        "other_class",
        "Your attack aims at another class than class_id. Look at which logit, or which column, you pick.",
        seeks_other_class,
    ),
    TrialSign(
        "untargeted",
        "Your attack only leaves the class that the network sees now, and ends in whichever class is nearest. Aim at "
        "class_id: its cost must become smaller.",
        leaves_current_class,
    ),
    TrialSign(
        "gradient_is_zero",
        "The direction that you hand to the step is zero everywhere, so nothing moves. Is the cost a constant? A "
        "softmax over `dim=0` of a single image is always 1; the classes stand along `dim=1`.",
        first_step_is_zero,
    ),
    TrialSign(
        "no_gradient_followed",
        "The directions of your attack have nothing to do with any class's score. Hand the step the gradient of a "
        "cost of the network's output with respect to x.",
        wanders,
    ),
    TrialSign(
        "only_first_image",
        "In a batch your attack moves the first image and leaves the others where they are. Pick the target's score "
        "of every image, not of `output[0]`.",
        only_first_moves,
    ),
    TrialSign(
        "stops_for_one",
        "In a batch your attack stops as soon as one image is taken for the target. Go on until all of them are.",
        stops_for_one,
    ),
    TrialSign(
        "one_image_only",
        "Your attack stops with an error where several images aim at one class_id. Give every image of the batch its "
        "target: `torch.as_tensor(class_id).expand(len(x))` does that.",
        only_batches_raise,
    ),
    TrialSign(
        "mixes_batch",
        "In a batch, your attack mixes the images: one moves in another direction than it does alone. Compute one "
        "cost for each image, and add the costs up; do not average images or logits.",
        mixes_batch,
    ),
    TrialSign(
        "int_only",
        "Your attack works for class_id as an int and stops with an error for a tensor. class_id may be an int, a 0-d "
        "tensor, or a tensor with one class for each image: `torch.as_tensor(class_id).expand(len(x))` turns all three "
        "into one.",
        raises_on_tensors,
    ),
    TrialSign(
        "all_targets_for_all",
        "With one class for each image, your attack drags every image to the targets of all the others: `output[:, "
        "class_id]` picks each class for each image. Pick one entry for each row, for example with `gather`.",
        follows_all_targets,
    ),
    TrialSign(
        "fails_for_tensors",
        "Your attack reaches its target with class_id as an int, and misses it where class_id is a tensor: a 0-d one "
        "holds one class for all images, any other one class for each.",
        other_targets_fail,
    ),
    TrialSign(
        "saturates",
        "Where the network is certain of another class, your attack gets no gradient: the target's probability is 0 "
        "in floating point, and so is its slope (its logarithm is infinite). Use the logits, `log_softmax` or "
        "`F.cross_entropy` of the logits.",
        lambda t: (
            fails(t, judge.misses_target, "certain") and not fails(t, judge.misses_target, "single", "double", "batch")
        ),
    ),
    *keeping_signs(ATTACK),
)


def follows(norm: str, *, sign: float = 1.0) -> Callable[[Kept], bool]:
    """Whether the first directions on linear features are those of this norm or statistic."""

    def shows(trials: Kept) -> bool:
        chosen = [trials[label] for label in ("single", "double") if label in trials]
        if not chosen or any(trial.direction is None for trial in chosen):
            return False
        return all(
            float((sign * judge.cosines(trial.direction, judge.norm_gradients(trial.model, trial.x, norm))).min())
            > 0.99
            for trial in chosen
            if trial.direction is not None
        )

    return shows


def any_follows_l2(trials: Kept) -> bool:
    """Whether the first direction is that of the L2 norm's gradient on one of the linear trials."""
    chosen = [trials[label] for label in ("single", "double") if label in trials]
    return any(follows("l2")({"single": trial}) for trial in chosen)


def follows_pixels(trials: Kept) -> bool:
    """Whether the first direction is the image itself: the gradient of the image's norm."""
    chosen = [trials[label] for label in ("single", "double") if label in trials]
    return bool(chosen) and all(
        trial.direction is not None and float(judge.cosines(trial.direction, trial.x).min()) > 0.99 for trial in chosen
    )


def only_batch_fails(trials: Kept) -> bool:
    """Whether single images follow the norm, and those of a batch do not."""
    batch = trials.get("batch")
    if batch is None or not follows("l2")(trials):
        return False
    if batch.direction is None:
        return True
    return float(judge.cosines(batch.direction, judge.norm_gradients(batch.model, batch.x)).min()) <= 0.99


LAYER_NORM = "maximize_layer_norm"

register_trial_signs(
    "p4d_layer_norm",
    *usage_signs(LAYER_NORM),
    TrialSign(
        "wrong_sign",
        "Your images make the norm smaller. `step.step(x, direction)` goes along the direction, and a norm should "
        "grow: hand it the gradient itself, without a minus.",
        follows("l2", sign=-1.0),
    ),
    TrialSign(
        "norm_of_pixels",
        "You follow the norm of the image, not of its features: the direction is x itself. Call `features_fn(x)` "
        "first.",
        follows_pixels,
    ),
    TrialSign(
        "sum_or_mean",
        "You follow the sum or the mean of the features, where positive and negative ones cancel. In a norm, nothing "
        "cancels.",
        lambda t: follows("sum")(t) or follows("sum", sign=-1.0)(t),
    ),
    TrialSign(
        "l1_norm",
        "You follow the L1 norm, the sum of absolute values, in which each feature counts alike. The L2 norm weighs "
        "each feature with its size.",
        lambda t: follows("l1")(t) or follows("l1", sign=-1.0)(t),
    ),
    TrialSign(
        "maximum",
        "You follow the largest feature alone (the maximum norm). The L2 norm takes all features into account.",
        lambda t: follows("max")(t) or follows("max", sign=-1.0)(t),
    ),
    TrialSign(
        "only_first_image",
        "In a batch, only the first image moves. Add up the norms of all images' features.",
        only_first_moves,
    ),
    TrialSign(
        "mixes_batch",
        "In a batch, your images do not follow the norm of their own features. Flatten the features of each image, "
        "take one norm for each, and add the norms up.",
        only_batch_fails,
    ),
    *keeping_signs(LAYER_NORM),
    TrialSign(
        "other_norm",
        "Your first direction is not that of the L2 norm over all features of an image (channels, rows and columns "
        "together).",
        lambda t: not any_follows_l2(t) and any(trial.direction is not None for trial in t.values()),
    ),
)


def pulled_back(trial: Trial, what: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Cosine of the first direction with the gradient of a weighted sum of the features.

    Args:
        trial: An inversion.
        what: The weights, from features and target.
    """
    if trial.direction is None:
        return 0.0
    pull: Any = torch.func.vjp(trial.model, trial.x)
    features, pull_back = pull
    weights = what(features, trial.goal.expand_as(features)).to(features.dtype)
    return float(judge.cosines(trial.direction, pull_back(weights)[0]).min())


def along(what: Callable[[Tensor, Tensor], Tensor], sign: float | None = None) -> Callable[[Kept], bool]:
    """Whether all first directions on single images are this gradient, with this sign or with either."""

    def shows(trials: Kept) -> bool:
        found = [pulled_back(trials[label], what) for label in ("single", "double") if label in trials]
        return bool(found) and all((abs(c) if sign is None else sign * c) > 0.999 for c in found)

    return shows


def norm_is_reached(trials: Kept) -> bool:
    """Whether the features get the norm of the target's."""
    chosen = [trials[label] for label in ("single", "double") if label in trials and not trials[label].unusable]
    ratios = [judge.feature_norms(t, t.image) / t.goal.flatten(1).norm(dim=1) for t in chosen]
    return bool(ratios) and all(float((ratio - 1).abs().max()) < 0.15 for ratio in ratios)


def features_alone(features: Tensor, target: Tensor) -> Tensor:
    """Weights of the features' norm."""
    return features


INVERSION = "invert_features"

register_trial_signs(
    "p4g_inversion",
    *usage_signs(INVERSION),
    TrialSign(
        "norm_only",
        "Your features get the norm of the target's, but stay far from it. Take the norm of the difference, not the "
        "difference of the norms.",
        lambda t: along(features_alone)(t) and norm_is_reached(t),
    ),
    TrialSign(
        "ignores_target",
        "Your images make the features larger or smaller, as in 4d, whatever the target is. Here the distance to "
        "target_features should become small.",
        along(features_alone),
    ),
    TrialSign(
        "differences_cancel",
        "You add up signed differences of the features, so that positive and negative ones cancel. In a distance, "
        "nothing cancels.",
        along(lambda features, target: torch.ones_like(features)),
    ),
    TrialSign(
        "wrong_sign",
        "Your features move away from the target's. `step.step(x, direction)` goes along the direction; to make the "
        "distance smaller, hand it minus the gradient.",
        along(lambda features, target: features - target, 1.0),
    ),
    TrialSign(
        "only_first_image",
        "In a batch, only the first image moves. Add up the distances of all images.",
        only_first_moves,
    ),
    *keeping_signs(INVERSION),
    TrialSign(
        "other_distance",
        "Your features do not come as close to the target's as they could. Follow the L2 norm of their difference, "
        "over all features of an image (channels, rows and columns together).",
        lambda t: bool(answered(t)) and not along(lambda features, target: target - features)(t),
    ),
)
