"""Misconceptions about the loop of an attack and its arguments, whatever the attack follows."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from pset4.checks.judging import trials as judge
from pset4.checks.judging.signs import TrialSign
from pset4.checks.judging.trials import Kept, Trial
from pset4.steps import l2_norms

NO_GRADIENT = ("does not require grad", "'NoneType'", "appears to not have been used", "does not have a grad_fn")


def stepping(trials: Kept) -> list[Trial]:
    """Trials that may take steps."""
    return [trial for trial in trials.values() if trial.allowed > 0]


def answered(trials: Kept) -> list[Trial]:
    """Trials that may take steps and returned usable images."""
    return [trial for trial in stepping(trials) if not trial.unusable]


def says(trials: Kept, *parts: str) -> bool:
    """Whether an error message of any trial holds one of the parts."""
    return any(part in trial.outcome.message for trial in stepping(trials) for part in parts if trial.outcome.error)


def fails(trials: Kept, wrong: Callable[[Trial], str], *labels: str) -> bool:
    """Whether one of the labelled trials is there and wrong."""
    return any(bool(wrong(trials[label])) for label in labels if label in trials)


def never_stepped(trials: Kept) -> bool:
    """Whether the step was never called where it should have been."""
    return bool(answered(trials)) and all(trial.outcome.steps == 0 for trial in answered(trials))


def nothing_moved(trials: Kept) -> bool:
    """Whether no image ever moved."""
    return bool(answered(trials)) and not any(bool(trial.moved.any()) for trial in answered(trials))


def same_count(trials: Kept) -> bool:
    """Whether the number of steps does not depend on n_iter."""
    counts = {trial.outcome.steps for trial in trials.values() if not trial.outcome.error}
    limits = {trial.allowed for trial in trials.values() if not trial.outcome.error}
    return len(counts) == 1 and len(limits) > 1 and counts != {0}


def one_more(trials: Kept) -> bool:
    """Whether there is always one step more than allowed."""
    done = [trial for trial in trials.values() if not trial.outcome.error]
    return bool(done) and all(trial.outcome.steps == trial.allowed + 1 for trial in done)


def only_double_raises(trials: Kept) -> bool:
    """Whether float64 images raise an error about dtypes, and float32 images do not."""
    single, double = trials.get("single"), trials.get("double")
    if single is None or double is None or single.outcome.error or not double.outcome.error:
        return False
    return any(word in double.outcome.message.lower() for word in ("dtype", "double", "float"))


def starts_with_noise(trials: Kept) -> bool:
    """Whether without a step the images are near those that were given, and not the same."""
    copy = trials.get("copy")
    if copy is None or copy.unusable:
        return False
    away = l2_norms(copy.image - copy.x)
    return bool((away > 0).all()) and float(away.max()) < 0.5


def few_by_default(trials: Kept) -> bool:
    """Whether a call without n_iter takes a fixed number of steps, and fewer than 100."""
    default, longest = trials.get("default"), max(trials.values(), key=lambda t: t.outcome.steps)
    return (
        default is not None
        and not default.outcome.error
        and 0 < default.outcome.steps < 100
        and (longest is not default)
    )


def only_first_moves(trials: Kept) -> bool:
    """Whether in a batch the first image moves and the others stay."""
    batch = trials.get("batch")
    if batch is None or batch.direction is None:
        return False
    lengths = l2_norms(batch.direction).flatten()
    return bool(lengths[0] > 0) and not bool((lengths[1:] > 0).any())


def starts_elsewhere(trials: Kept) -> bool:
    """Whether it starts from the step's original instead of x: with no step it returns that."""
    copy = trials.get("copy")
    if copy is None or copy.unusable:
        return False
    original = copy.step.original.to(copy.x)
    away = l2_norms(original - copy.x)
    return bool((away > 0).all()) and bool((l2_norms(copy.image - original) < 0.1 * away).all())


def returns_change(trials: Kept) -> bool:
    """Whether it returns the perturbation instead of the image."""
    copy = trials.get("copy")
    return copy is not None and not copy.unusable and float(copy.image.abs().max()) < 0.15


def other_shape(trials: Kept) -> bool:
    """Whether it always returns a tensor of another shape than x."""
    values = [(trial.outcome.value, trial.x) for trial in trials.values()]
    return all(isinstance(value, Tensor) and value.shape != x.shape for value, x in values)


def form_only(trials: Kept, wrong: Callable[[Trial], str]) -> bool:
    """Whether any trial that returned has this fault."""
    return any(bool(wrong(trial)) for trial in trials.values() if not trial.outcome.error)


def usage_signs(function: str) -> tuple[TrialSign, ...]:
    """Misconceptions about the loop and its arguments, which show before it matters what is followed."""
    return (
        TrialSign(
            "no_default",
            f"Your `{function}` cannot be called without n_iter. Its default is 200.",
            lambda t: "default" in t and "'n_iter'" in t["default"].outcome.message,
        ),
        TrialSign(
            "not_for_float64",
            f"Your `{function}` works with float32 images and stops with an error for float64 ones. Keep the dtype.",
            only_double_raises,
        ),
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
            "gradient_once",
            f"Your `{function}` takes all its steps in one direction. The gradient is another one wherever x has moved "
            "to: compute it anew inside the loop.",
            lambda t: any(x.outcome.same_direction for x in t.values()),
        ),
        TrialSign(
            "starts_with_noise",
            f"Your `{function}` changes the images before the first step. Only `step.step` may move them.",
            starts_with_noise,
        ),
        TrialSign(
            "few_by_default",
            f"Without n_iter, your `{function}` takes too few steps. Its default is 200.",
            few_by_default,
        ),
        TrialSign(
            "changes_input",
            f"Your `{function}` changes what it was given. Work on copies: start from `x = x.detach().clone()`, and "
            "mark only the copy with `requires_grad_()`.",
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
            f"Your `{function}` returns images outside [0, 1] or outside the budget. Return what the step returned.",
            lambda t: form_only(t, lambda x: "" if x.unusable else judge.leaves_budget(x)),
        ),
    )
