"""Misconceptions about attacks: on classes, on the norm of a layer, on the distance to given features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pset4.checks.judging import trials as judge
from pset4.checks.judging.photos import AttackedPhoto, judging_network, look_at
from pset4.checks.judging.trials import Trial, Trials
from pset4.checks.misconceptions.signs import PhotoSign, TrialSign, register_photo_signs, register_trial_signs
from pset4.steps import l2_norms

NO_GRADIENT = ("does not require grad", "'NoneType'", "appears to not have been used", "does not have a grad_fn")


def stepping(trials: Trials) -> list[Trial]:
    """Trials that may take steps."""
    return [trial for trial in trials.values() if trial.allowed > 0]


def answered(trials: Trials) -> list[Trial]:
    """Trials that may take steps and returned usable images."""
    return [trial for trial in stepping(trials) if not trial.unusable]


def says(trials: Trials, *parts: str) -> bool:
    """Whether an error message of any trial holds one of the parts."""
    return any(part in trial.outcome.message for trial in stepping(trials) for part in parts if trial.outcome.error)


def fails(trials: Trials, wrong: Callable[[Trial], str], *labels: str) -> bool:
    """Whether one of the labelled trials is there and wrong."""
    return any(bool(wrong(trials[label])) for label in labels if label in trials)


def never_stepped(trials: Trials) -> bool:
    """Whether the step was never called where it should have been."""
    return bool(answered(trials)) and all(trial.outcome.steps == 0 for trial in answered(trials))


def nothing_moved(trials: Trials) -> bool:
    """Whether no image ever moved."""
    return bool(answered(trials)) and not any(bool(trial.moved.any()) for trial in answered(trials))


def same_count(trials: Trials) -> bool:
    """Whether the number of steps does not depend on n_iter."""
    counts = {trial.outcome.steps for trial in trials.values() if not trial.outcome.error}
    limits = {trial.allowed for trial in trials.values() if not trial.outcome.error}
    return len(counts) == 1 and len(limits) > 1 and counts != {0}


def one_more(trials: Trials) -> bool:
    """Whether there is always one step more than allowed."""
    done = [trial for trial in trials.values() if not trial.outcome.error]
    return bool(done) and all(trial.outcome.steps == trial.allowed + 1 for trial in done)


def only_first_moves(trials: Trials) -> bool:
    """Whether in a batch the first image moves and the others stay."""
    batch = trials.get("batch")
    if batch is None or batch.direction is None:
        return False
    lengths = l2_norms(batch.direction).flatten()
    return bool(lengths[0] > 0) and not bool((lengths[1:] > 0).any())


def starts_elsewhere(trials: Trials) -> bool:
    """Whether it starts from the step's original instead of x: with no step it returns that."""
    copy = trials.get("copy")
    if copy is None or copy.unusable:
        return False
    original = copy.step.original.to(copy.x)
    away = l2_norms(original - copy.x)
    return bool((away > 0).all()) and bool((l2_norms(copy.image - original) < 0.1 * away).all())


def returns_change(trials: Trials) -> bool:
    """Whether it returns the perturbation instead of the image."""
    copy = trials.get("copy")
    return copy is not None and not copy.unusable and float(copy.image.abs().max()) < 0.15


def other_shape(trials: Trials) -> bool:
    """Whether it always returns a tensor of another shape than x."""
    values = [(trial.outcome.value, trial.x) for trial in trials.values()]
    return all(isinstance(value, Tensor) and value.shape != x.shape for value, x in values)


def form_only(trials: Trials, wrong: Callable[[Trial], str]) -> bool:
    """Whether any trial that returned has this fault."""
    return any(bool(wrong(trial)) for trial in trials.values() if not trial.outcome.error)


def usage_signs(function: str) -> tuple[TrialSign, ...]:
    """Misconceptions about the loop and its arguments, which show before it matters what is followed."""
    return (
        TrialSign(
            "gradient_is_lost",
            f"Your `{function}` cannot get a gradient. `step.step` returns a fresh tensor without `requires_grad`, so "
            "call `x.requires_grad_()` inside the loop, before each forward pass, and neither `no_grad` nor `detach` "
            "round it.",
            lambda t: says(t, *NO_GRADIENT),
        ),
        TrialSign(
            "changes_leaf",
            f"Your `{function}` changes a tensor in place that requires a gradient. Let `x = step.step(x, direction)` "
            "give you a new one in every iteration.",
            lambda t: says(t, "leaf Variable", "a leaf variable", "modified by an inplace operation"),
        ),
        TrialSign(
            "uses_notebook_variables",
            f"Your `{function}` mixes its arguments with variables of the notebook (`corgi`, `standard_step`, ...): "
            "the images of this test have another size. Use only x, step and the other arguments inside the function.",
            lambda t: says(t, "224", "Kernel size"),
        ),
        TrialSign(
            "no_images",
            f"Your `{function}` does not return the images alone. Return one tensor of x's shape: no list, no tuple, "
            "no array, and do not forget the `return`.",
            lambda t: all(not x.outcome.error and not isinstance(x.outcome.value, Tensor) for x in t.values()),
        ),
        TrialSign(
            "other_shape",
            f"Your `{function}` returns a tensor of another shape than x. Return the images, not their features or "
            "logits.",
            other_shape,
        ),
        TrialSign(
            "returns_change",
            f"Your `{function}` returns the change, not the changed image. Return x itself after the last step.",
            returns_change,
        ),
        TrialSign(
            "never_moves",
            f"Your `{function}` never calls `step.step`, and returns the images as they were. Each iteration needs a "
            "gradient and then `x = step.step(x, direction)`.",
            lambda t: never_stepped(t) and nothing_moved(t),
        ),
        TrialSign(
            "ignores_step",
            f"Your `{function}` moves x by itself and never calls `step.step`, so the budget and the step size that "
            "were given do not hold. Write `x = step.step(x, direction)`.",
            never_stepped,
        ),
        TrialSign(
            "drops_result",
            f"Your `{function}` calls `step.step` but does not keep what it returns. The step changes nothing in "
            "place: write `x = step.step(x, direction)`.",
            lambda t: nothing_moved(t) and all(x.outcome.steps > 0 for x in answered(t)),
        ),
        TrialSign(
            "ignores_n_iter",
            f"Your `{function}` always takes the same number of steps. Loop `n_iter` times, with the argument and not "
            "with a number or `N_ITER`.",
            same_count,
        ),
        TrialSign(
            "one_step_too_many",
            f"Your `{function}` takes n_iter + 1 steps. `range(n_iter)` counts n_iter iterations, from 0 to n_iter - "
            "1.",
            one_more,
        ),
        TrialSign(
            "starts_from_original",
            f"Your `{function}` starts from `step.original` (or from another photo), not from the x that it is given. "
            "The two need not be the same.",
            starts_elsewhere,
        ),
    )


def keeping_signs(function: str) -> tuple[TrialSign, ...]:
    """Misconceptions about what must stay as it is; they show when all else is right."""
    return (
        TrialSign(
            "changes_input",
            f"Your `{function}` changes the images that it was given. Start from a copy, `x = x.detach().clone()`, "
            "and mark only the copy with `requires_grad_()`.",
            lambda t: form_only(t, judge.changed_input),
        ),
        TrialSign(
            "returns_input",
            f"With n_iter=0 your `{function}` returns the very tensor that it was given. Whoever changes the result "
            "then changes the original. Start from a copy.",
            lambda t: "copy" in t and t["copy"].outcome.same_object,
        ),
        TrialSign(
            "still_requires_grad",
            f"What your `{function}` returns still requires a gradient, and drags the graph along. Return "
            "`x.detach()`.",
            lambda t: any(trial.outcome.requires_grad for trial in t.values()),
        ),
        TrialSign(
            "other_dtype",
            f"Your `{function}` returns another dtype than it was given. float64 in, float64 out: do not convert the "
            "images.",
            lambda t: form_only(t, lambda x: "" if x.unusable else judge.wrong_form(x)),
        ),
        TrialSign(
            "leaves_range",
            f"Your `{function}` changes the images after the last step, so that they leave [0, 1] or the budget. "
            "Return what the step returned.",
            lambda t: form_only(t, lambda x: "" if x.unusable else judge.leaves_budget(x)),
        ),
    )


# --------------------------------------------------------------------------------------------------------------- 4a


def cosines_of(trials: Trials, *labels: str) -> list[Tensor]:
    """For each labelled trial with a first step, the cosines with every class's own direction, (B, K)."""
    found = [judge.class_cosines(trials[label]) for label in labels if label in trials]
    return [cosines for cosines in found if cosines is not None]


def goes_away(trials: Trials) -> bool:
    """Whether the first step lowers the target's score."""
    found = [judge.target_cosines(trials[label]) for label in ("single", "double") if label in trials]
    return any(c is not None for c in found) and all(c is None or bool((c < -judge.TOWARDS).all()) for c in found)


def leading_class(trials: Trials, sign: float) -> list[tuple[Trial, Tensor]]:
    """Single trials whose first step above all raises (1) or lowers (-1) one class, not the target; and which one."""
    found = []
    for label in ("single", "double"):
        cosines = cosines_of(trials, label)
        if not cosines:
            continue
        largest = cosines[0].abs().argmax(dim=1)  # (B,)
        strength = sign * cosines[0].gather(1, largest[:, None])
        if bool((strength > judge.TOWARDS).all()) and bool((largest != trials[label].targets).all()):
            found.append((trials[label], largest))
    return found


def leaves_current_class(trials: Trials) -> bool:
    """Whether the first step above all lowers the class that the network sees."""
    for trial, class_ids in leading_class(trials, -1.0):
        with torch.no_grad():
            if bool((trial.model(trial.x).argmax(dim=1) == class_ids).all()):
                return True
    return False


def seeks_other_class(trials: Trials) -> bool:
    """Whether the first step above all raises one class, and it is not the target."""
    return bool(leading_class(trials, 1.0))


def first_step_is_zero(trials: Trials) -> bool:
    """Whether the first direction is zero for single images."""
    chosen = [trials[label].direction for label in ("single", "double") if label in trials]
    return bool(chosen) and all(d is not None and not bool(d.any()) for d in chosen)


def wanders(trials: Trials) -> bool:
    """Whether the first step has nothing to do with any class."""
    found = cosines_of(trials, "single", "double")
    return bool(found) and all(float(cosines.abs().max()) < judge.TOWARDS for cosines in found)


def other_targets_fail(trials: Trials) -> bool:
    """Whether class_id as an int works, and as a tensor does not."""
    return not fails(trials, judge.misses_target, "single") and fails(trials, judge.misses_target, "scalar", "each")


def raises_on_tensors(trials: Trials) -> bool:
    """Whether a tensor as class_id raises an error."""
    return other_targets_fail(trials) and any(t in trials and bool(trials[t].outcome.error) for t in ("scalar", "each"))


def mixes_batch(trials: Trials) -> bool:
    """Whether an image moves in another direction in a batch than alone."""
    if "together" not in trials or "alone" not in trials:
        return fails(trials, judge.misses_target, "batch") and not fails(trials, judge.misses_target, "single")
    together, alone = trials["together"].direction, trials["alone"].direction
    if together is None or alone is None:
        return alone is not None
    return float(judge.cosines(together[1:2], alone)) < 0.995


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
        "mixes_batch",
        "In a batch, your attack mixes the images: one moves in another direction than it does alone. Compute one "
        "cost for each image, and add the costs up; do not average images or logits.",
        mixes_batch,
    ),
    TrialSign(
        "int_only",
        "Your attack works for class_id as an int and fails for tensors. class_id may be an int, a 0-d tensor, or a "
        "tensor with one class for each image: `torch.as_tensor(class_id).expand(len(x))` turns all three into one.",
        raises_on_tensors,
    ),
    TrialSign(
        "all_targets_for_all",
        "With one class for each image, your attack drags every image to the targets of all the others: `output[:, "
        "class_id]` picks each class for each image. Pick one entry for each row, for example with `gather`.",
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


# --------------------------------------------------------------------------------------------------------------- 4d


def follows(norm: str, *, sign: float = 1.0) -> Callable[[Trials], bool]:
    """Whether the first directions on linear features are those of this norm or statistic."""

    def shows(trials: Trials) -> bool:
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


def follows_pixels(trials: Trials) -> bool:
    """Whether the first direction is the image itself: the gradient of the image's norm."""
    chosen = [trials[label] for label in ("single", "double") if label in trials]
    return bool(chosen) and all(
        trial.direction is not None and float(judge.cosines(trial.direction, trial.x).min()) > 0.99 for trial in chosen
    )


def only_batch_fails(trials: Trials) -> bool:
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
        "You follow the sum or the mean of the features, where positive and negative ones cancel. The L2 norm is the "
        "root of the sum of their squares.",
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
        "together). `features.flatten(1).norm(dim=1)` is one way to write that norm.",
        lambda t: not follows("l2")(t) and any(trial.direction is not None for trial in t.values()),
    ),
)


# --------------------------------------------------------------------------------------------------------------- 4g


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


def along(what: Callable[[Tensor, Tensor], Tensor], sign: float | None = None) -> Callable[[Trials], bool]:
    """Whether all first directions on single images are this gradient, with this sign or with either."""

    def shows(trials: Trials) -> bool:
        found = [pulled_back(trials[label], what) for label in ("single", "double") if label in trials]
        return bool(found) and all((abs(c) if sign is None else sign * c) > 0.999 for c in found)

    return shows


def norm_is_reached(trials: Trials) -> bool:
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
        "You add up signed differences of the features, so that positive and negative ones cancel. Square them first: "
        "the L2 norm is the root of the sum of the squares.",
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


# ----------------------------------------------------------------------------------------------- attacked photos


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


register_photo_signs("p4a_attack", *photo_signs("adversarial_tarantula"))
register_photo_signs("p4b_tiger_cat", *photo_signs("adversarial_tiger_cat"))
for _exercise, _name in (("p4e_robust", "robust_example"), ("p4f_images", "robust_images")):
    _other = PhotoSign(
        "standard_network",
        f"`{_name}` fools the standard network, not the robust one that this exercise attacks. Hand `robust` to your "
        "function.",
        fools_standard_network,
    )
    register_photo_signs(_exercise, *photo_signs(_name, _other))
