"""Every sentence of the contract that can be broken has wrong answers that break it, and each of them loses.

That they lose exactly what they declare is tested with the bank; here, that nothing of the contract has no answer.
"""

import re

import bank_tools
import pytest

from autograder.answers import all_answers, answers_for
from autograder.course.folders import REPOSITORY
from autograder.exams import EXAMS
from autograder.exams.slips import SLIPS, slip_named
from autograder.exams.verdict import SLIP_KEEPS
from pset4.checks.judging.registry import attempt, misconceptions_for, same, show
from pset4.checks.judging.signs import signs_for

SENTENCES = {
    "p1a_conv1d": {
        "(N,) -> (N,)": ["a dimension too many", "no padding", "the full convolution"],
        "the kernel is flipped": ["the kernel is not flipped"],
        "zero-padded on each side": [
            "padded with ones",
            "only the left end padded",
            "the signal reflected at its ends",
        ],
        "kernel[0] holds W[-(k-1)/2]": ["kernel[m] with a negative m", "the kernel begins at n"],
        "m runs to (k-1)/2": ["range() without its end", "the first tap skipped"],
        "the middle N values, also for k > N": [
            "as long as the longer of the two",
            "a kernel longer than the signal is refused",
        ],
        "any odd k": ["slices that are empty for k = 1"],
        "ValueError for an even kernel": ["even kernels accepted", "an assertion instead of a ValueError"],
        "ValueError for an empty kernel": ["an empty kernel accepted"],
        "ValueError for an empty x_in": ["an empty signal accepted"],
        "ValueError for an x_in that is not 1-D": ["a 2-D signal flattened"],
        "the message names the argument": [
            "a ValueError that does not name the argument",
            "a ValueError without a message",
        ],
        "the message names what was given": ["a ValueError that says nothing"],
        "the input's dtype": ["single precision always", "single precision inside", "whole numbers"],
        "a tensor": ["a list", "a NumPy array", "printed, not returned"],
        "inputs are never changed": ["the signal is overwritten"],
        "any tensor, however it lies in memory": ["strides taken for granted"],
        "from scratch": ["torch's convolution", "a convolution layer", "NumPy's convolution under another name"],
    },
    "p1b_maxpool1d": {
        "pool_size = n_in - n_out + 1": ["the size one too small", "the lengths divided"],
        "pool_size -> int": ["the size as a fraction"],
        "ValueError for n_out < 1": ["n_out = 0 accepted"],
        "ValueError for n_out > n_in": ["an n_out above n_in accepted"],
        "the maximum": ["average pooling", "minima"],
        "no factor 1/k": ["divided by the size"],
        "no padding": ["padded with zeros to keep the length", "the maximum starts from zero"],
        "each complete window": ["the last window forgotten", "windows that run over the end"],
        "stride 1": ["windows that do not overlap"],
        "ValueError for size < 1": ["size = 0 taken for 1"],
        "ValueError for size > N": ["a window too long raises no ValueError"],
        "a message": ["a ValueError without a message"],
        "the input's dtype": ["single precision always"],
        "inputs are never changed": ["the signal is changed on the way"],
        "from scratch": ["torch's max pooling", "SciPy's filter"],
    },
    "p2a_last_layer": {
        "inputs": ["the outputs"],
        "the last nn.Linear": ["the first linear layer", "the last linear layer but one", "the largest linear layer"],
        "in model.modules()": ["only the outermost modules"],
        "raw and wrapped networks of several sizes": ["always 2048", "a layer called fc"],
        "-> int": ["a tensor"],
    },
    "p2b_probabilities": {
        "(B, K) -> (B, K)": ["a column for each image", "one image without its dimension"],
        "probabilities": ["logarithms", "not normalised"],
        "of the classes of each image": ["softmax over the batch", "softmax over everything"],
        "stable for large logits": ["overflow"],
        "stable for logits of any size": ["overflow for small logits alone", "cut off"],
        "dtype": ["single precision always"],
        "inputs are never changed": ["in place"],
    },
    "p2b_top_predictions": {
        "always a list of B lists": ["a flat list for one image", "the first image only"],
        "of k": ["always five", "k - 1 of them", "a single guess"],
        "k = 5 by default": ["three by default", "k must be given"],
        "pairs": ["ids alone", "topk as it is", "a dictionary"],
        "(class_id, probability)": ["pairs the wrong way round"],
        "class_id: int": ["ids as floats", "tensors in the pairs"],
        "probability": ["logits", "percent", "softmax over the best alone"],
        "most probable first": ["least probable first", "in the order of the ids"],
    },
    "p2c_corgi": {
        "what the pretrained network says": ["the random network"],
        "of the photo": ["another image"],
        "predicted_class": ["the second guess", "counted from one"],
        "int and float": ["tensors"],
        "within 0.01": ["the probability a little off"],
    },
    "p3a_conv_matrix": {
        "x_out = M @ x_in": ["transposed", "upside down"],
        "(n, n)": ["only complete rows", "columns for the padding"],
        "zeros beyond the ends": ["the kernel comes back in"],
        "also for k > n": ["long kernels do not fit"],
        "ValueError for an even kernel": ["even kernels accepted"],
        "ValueError for an empty kernel": ["an empty kernel accepted"],
        "a message": ["a ValueError without a message"],
        "the input's dtype": ["single precision always"],
        "a tensor": ["nested lists"],
        "inputs are never changed": ["the kernel is flipped in place"],
        "from scratch": ["columns from torch's convolution", "a Jacobian by machine"],
    },
    "p3a_backward_input": {
        "dC/dx_in": ["the forward convolution again", "minus the gradient"],
        "(N,)": ["no padding", "a dimension too many"],
        "boundaries": ["grad_out goes on at its other end", "negative indices read the end"],
        "also for k > N": ["long kernels do not fit"],
        "also for k = 1": ["slices that are empty for k = 1"],
        "the input's dtype": ["single precision always", "single precision inside"],
        "inputs are never changed": ["grad_out is overwritten"],
        "from scratch": ["torch's transposed convolution", "autograd", "NumPy's correlation"],
    },
    "p3b_backward_kernel": {
        "dC/dW": ["minus the gradient", "the mean over n", "divided by N"],
        "(k,)": ["all shifts", "a dimension too many"],
        "the kernel's order": ["reversed"],
        "boundaries": ["only outputs away from the ends", "x_in repeated at its ends"],
        "also for k > N": ["long kernels do not fit"],
        "the input's dtype": ["single precision always", "single precision inside"],
        "inputs are never changed": ["the signal is changed"],
        "from scratch": ["torch's convolution", "autograd", "the gradient from torch.nn.grad"],
    },
    "p3b_update": {
        "against the gradient": ["uphill"],
        "times the learning rate": ["no learning rate", "half a step", "normalised gradient"],
        "a new kernel": ["in place", "the step alone"],
        "the input's dtype": ["single precision always"],
    },
    "p3d_maxpool_backward": {
        "dC/dx_in (N,)": ["grad_out returned", "a dimension too many"],
        "the gradient goes to the maximum": ["the minimum", "shared evenly by the window"],
        "overlapping windows add up": ["= in place of +=", "only the first window of a maximum"],
        "tied shares are >= 0": ["a tied maximum with a negative share"],
        "tied shares sit on maxima": ["a tie shared with the window", "equal values outside the window too"],
        "tied shares sum to 1": ["half of a tie to nobody", "every tied maximum gets the whole gradient"],
        "the input's dtype": ["single precision always", "single precision inside"],
        "inputs are never changed": ["the signal is changed"],
        "from scratch": ["autograd", "indices from torch's pooling", "torch's unpooling"],
    },
    "p4a_attack": {
        "towards class_id": ["wrong_sign", "untargeted", "class_after_the_target"],
        "class_id: an int": ["uses_the_notebooks_network"],
        "class_id: a 0-d tensor": ["a_tensor_means_one_for_each_image", "class_id_as_int_only"],
        "class_id: one for each image": ["every_target_for_every_image"],
        "(B, 3, H, W)": ["first_image_of_the_batch", "class_id_in_a_list", "stops_for_the_first_of_a_batch"],
        "n_iter = 200 by default": ["two_steps_by_default", "no_default_for_n_iter"],
        "at most n_iter calls of step.step": ["one_step_too_many", "always_the_notebooks_number_of_steps"],
        "the only way x moves": ["own_step", "noise_at_the_start"],
        "starts from x": ["starts_from_the_steps_original"],
        "n_iter = 0 returns a copy": ["returns_the_very_tensor"],
        "detached": ["result_requires_a_gradient"],
        "the gradient at x": ["gradient_before_the_loop", "random_directions"],
        "in [0, 1]": ["scaled_to_255"],
        "images": ["returns_the_perturbation", "returns_image_and_costs"],
        "the input's dtype": ["rounds_to_float32"],
        "inputs are never changed": ["marks_and_moves_the_callers_image"],
        "any sensible objective": ["slope_of_the_probability"],
        "its own arguments": ["uses_the_notebooks_step", "starts_from_the_corgi"],
        "adversarial_tarantula": ["photo_is_missing", "photo_with_another_target", "photo_with_the_robust_budget"],
    },
    "p4b_tiger_cat": {
        "class 282": ["still_the_tarantula", "wrong_sign"],
        "within eps": ["budget_of_the_robust_network"],
        "has the shape": ["without_the_batch_dimension"],
        "in [0, 1]": ["pixels_from_0_to_255", "the_change_alone"],
        "finite pixels": ["bytes"],
        "attacked": ["the_photo_itself", "noise_of_the_right_size"],
    },
    "p4d_layer_norm": {
        "larger norm": ["wrong_sign"],
        "L2": ["sum_of_the_features", "mean_of_the_features", "l1_norm", "maximum", "norm_over_the_channels"],
        "of each image": ["first_image_of_the_batch", "norm_of_the_mean_features"],
        "of the features": ["norm_of_the_pixels"],
        "the gain": ["gradient_before_the_loop", "result_of_the_step_is_dropped"],
        "within the budget": ["far_outside_the_budget"],
        "the only way x moves": ["own_step"],
        "n_iter = 200 by default": ["no_default_for_n_iter"],
        "at most n_iter calls": ["one_step_too_many", "always_ten_steps"],
        "images": ["returns_the_features", "no_return"],
        "n_iter = 0 returns a copy": ["returns_the_very_tensor"],
        "detached": ["result_requires_a_gradient"],
        "the input's dtype": ["rounds_to_float32"],
        "inputs are never changed": ["changes_the_callers_image"],
    },
    "p4e_robust": {
        "on the robust network": ["standard_network_attacked"],
        "robust_target": ["the_tarantula_again", "wrong_sign"],
        "robust_step": ["budget_of_the_standard_network", "no_projection"],
        "of the photo": ["another_photo_of_a_cat"],
        "has the shape": ["without_the_batch_dimension"],
    },
    "p4g_inversion": {
        "close to the target": ["wrong_sign", "maximises_the_norm"],
        "the distance": ["difference_of_the_norms", "signed_differences_cancel", "largest_difference"],
        "each image": ["first_image_of_the_batch"],
        "the gradient at x": ["gradient_before_the_loop"],
        "the only way x moves": ["own_step", "returns_a_copy"],
        "at most n_iter calls": ["one_step_too_many"],
        "n_iter = 200 by default": ["no_default_for_n_iter"],
        "n_iter = 0 returns a copy": ["returns_the_very_tensor"],
        "detached": ["result_requires_a_gradient"],
        "inputs are never changed": ["changes_the_callers_image", "changes_the_target"],
    },
}
NOTHING = {
    "p1a_conv1d": [
        "zeros",
        "the signal as it is",
        "the signal times the kernel's first value",
        "printed, not returned",
    ],
    "p2a_last_layer": ["always 2048", "how many linear layers"],
    "p2b_probabilities": ["the logits", "printed, not returned"],
    "p2c_corgi": ["nothing"],
    "p3a_conv_matrix": ["zeros", "the diagonal of the kernel's centre"],
    "p3a_backward_input": ["zeros", "grad_out passed through", "only the centre of the kernel"],
    "p3b_backward_kernel": ["zeros", "the same for all taps", "nothing returned"],
    "p3b_update": ["nothing changed"],
    "p3d_maxpool_backward": ["zeros", "the signal's maximum takes everything", "the first of each window"],
    "p4a_attack": ["returns_a_copy", "random_directions"],
    "p4b_tiger_cat": ["the_photo_itself", "noise_of_the_right_size", "never_set"],
    "p4d_layer_norm": ["sum_of_the_features", "maximum"],
    "p4e_robust": ["the_photo_itself", "noise_of_the_right_size", "another_photo_of_a_cat"],
    "p4g_inversion": ["returns_a_copy"],
}
"""Answers that compute nothing of their exercise."""
FORMULA = re.compile(
    r"W\[n|x_in\[n [-+] [mj(]|grad_out\[n\] x_in|\.norm\(|divided? .*sum over|exponentials of|root of the sum"
)
"""What no message says that a student gets without asking for more."""


def by_name(exercise):
    return {answer.name: answer for answer in answers_for(exercise)}


@pytest.mark.parametrize("exercise", SENTENCES)
def test_every_sentence_has_a_wrong_answer(exercise):
    known = by_name(exercise)
    for sentence, names in SENTENCES[exercise].items():
        assert names, sentence
        assert [name for name in names if name not in known or known[name].right] == [], sentence
        assert all(known[name].loses for name in names)


def test_no_exercise_is_forgotten():
    # Tests of the engine register small exercises of their own.
    assert SENTENCES.keys() == {exercise for exercise in EXAMS if exercise.startswith("p")}


@pytest.mark.parametrize("exercise", NOTHING)
def test_what_computes_nothing_keeps_less_than_a_tenth(exercise):
    for name in NOTHING[exercise]:
        verdict = bank_tools.verdict_on(by_name(exercise)[name])
        assert verdict.points <= verdict.max_points / 10, name


def test_one_slip_keeps_a_third():
    tried = 0
    for answer in all_answers():
        if slip_named(answer.exercise, answer.misconception) and answer.exercise[1] in "123":
            verdict = bank_tools.verdict_on(answer)
            assert verdict.points >= SLIP_KEEPS * verdict.max_points - 0.05, answer.name
            tried += 1
    assert tried > 60


def test_every_slip_is_a_diagnosis():
    for exercise, names in SLIPS.items():
        told = {answer.misconception for answer in answers_for(exercise)}
        assert names - told <= {sign.name for sign in signs_for(exercise)}, exercise


def test_a_counter_example_is_what_the_students_function_really_returns():
    compared = 0
    for answer in all_answers():
        known = {m.name: m for m in misconceptions_for(answer.exercise)}
        if answer.right or answer.misconception not in known or not known[answer.misconception].example:
            continue
        misconception = known[answer.misconception]
        function = bank_tools.namespace_of(answer)[misconception.function.name]
        returned, said = (attempt(f, misconception.example) for f in (function, misconception.imitate))
        assert same(returned, said), f"{answer.exercise}, {answer.name}: {show(returned)}, not {show(said)}"
        compared += 1
    assert compared > 150


def test_the_page_for_graders_lists_every_wrong_answer_with_its_points():
    page = (REPOSITORY / "docs" / "wrong_answers.md").read_text(encoding="utf-8")
    sections = {part.split(",")[0]: part for part in page.split("\n## ")[1:]}
    for answer in all_answers():
        if not answer.right:
            row = f"| {answer.name} | {answer.points:g} | "
            assert row in sections[answer.exercise], f"{answer.exercise}: {row}; write the page anew (tests/helpers)"


def test_almost_every_wrong_answer_has_a_diagnosis():
    wrong = [answer for answer in all_answers() if not answer.right]
    assert len([answer for answer in wrong if answer.misconception]) >= 0.98 * len(wrong)


@pytest.mark.parametrize("exercise", EXAMS)
def test_no_first_message_states_the_formula(exercise):
    said = [m.explanation for m in (*misconceptions_for(exercise), *signs_for(exercise))]
    said += [p.missed for p in EXAMS[exercise].properties]
    assert [text for text in said if FORMULA.search(text)] == []
