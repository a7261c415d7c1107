"""Which diagnoses are one slip from a right answer, in a grader's eyes: such an answer keeps a third of what it misses.

Points of values alone would be a lottery: a kernel's last tap that is never read spoils every value of every input,
values that are repeated beyond the ends only some. What is not listed here is a wrong idea of the exercise (average
pooling), nothing at all (zeros), or loses little anyway.
"""

from __future__ import annotations

from autograder.exams.verdict import Slip
from pset4.checks.judging.registry import misconceptions_for

_OF_TAPS = ("last_tap_missing", "first_tap_missing")
_OF_A_CONVOLUTION = (*_OF_TAPS, "kernel_not_shifted", "mean_instead_of_sum")
_OF_AN_ATTACK = (
    "wrong_sign",
    "not_for_float64",
    "gradient_is_lost",
    "gradient_once",
    "drops_result",
    "other_shape",
    "no_images",
)
_OF_A_PHOTO = (
    *("other_target", "other_budget", "change_alone", "bytes_of_pixels", "an_array"),
    *("no_batch_dimension", "opposite_direction"),
)
SLIPS: dict[str, frozenset[str]] = {
    "p1a_conv1d": frozenset(
        {
            *_OF_A_CONVOLUTION,
            *("signal_flipped", "valid_only", "full_convolution", "one_zero_too_many", "only_the_past"),
            *("only_the_future", "padded_left_only", "padded_right_only", "last_position_missing", "kernel_normalised"),
            *("rectified", "extra_dimensions", "batch_and_channel_kept", "rounded", "input_changed"),
        }
    ),
    "p1b_maxpool1d": frozenset(
        {
            *("positions", "positions_in_window", "window_too_short", "window_too_long", "extra_dimensions"),
            *("padding_to_the_left", "first_window_missing", "windows_apart", "zero_padding", "infinite_padding"),
            *("divided_by_size", "last_window_missing", "input_changed", "values_and_positions"),
            *("size_off_by_one", "size_off_by_one_more", "size_swapped"),
        }
    ),
    "p2a_last_layer": frozenset({"outputs_instead", "first_linear_layer", "largest_layer"}),
    "p2b_probabilities": frozenset(
        {
            *("softmax_over_batch", "overflow_over_batch", "softmax_over_everything", "not_normalised"),
            *("normalised_by_largest", "without_exponential", "log_probabilities", "softmin", "base_two"),
            *("softmax_twice", "column_for_each_image"),
        }
    ),
    "p2b_top_predictions": frozenset(
        {
            *("softmax_over_batch", "pairs_swapped", "counts_from_one", "other_classes"),
        }
    ),
    "p2c_corgi": frozenset({"another_class", "second_guess", "least_probable", "pair_swapped"}),
    "p3a_conv_matrix": frozenset(
        {
            *_OF_A_CONVOLUTION,
            *("upside_down", "left_right", "valid_rows_only", "full_matrix", "padded_columns", "circulant"),
            *("negative_index", "edges_repeated", "lower_triangle", "upper_triangle", "edge_rows_zero"),
        }
    ),
    "p3a_backward_input": frozenset(
        {
            *_OF_A_CONVOLUTION,
            *("divided_by_length", "wrong_sign", "reversed", "valid_only", "full", "only_the_past"),
            *("only_the_future", "overwritten", "extra_dimensions"),
        }
    ),
    "p3b_backward_kernel": frozenset(
        {
            *_OF_TAPS,
            *("mean_over_positions", "wrong_sign", "last_position_only", "all_lags", "lags_from_zero"),
            *("divided_by_kernel_size", "inner_positions_only", "inner_positions_reversed", "extra_dimensions"),
        }
    ),
    "p3b_update": frozenset(
        {
            *("step_only", "downhill_step_only", "sign_only", "multiplied", "decayed", "turned_round", "uphill"),
            "reversed_gradient",
        }
    ),
    "p3d_maxpool_backward": frozenset(
        {
            *("wrong_sign", "multiplied_by_input", "grad_out_ignored", "last_window_missing", "divided_by_size"),
            *("reversed", "place_in_window", "minimum", "windows_apart", "extra_dimensions"),
        }
    ),
    "p4a_attack": frozenset({*_OF_AN_ATTACK, "other_class", "gradient_is_zero", "returns_change", "leaves_range"}),
    "p4d_layer_norm": frozenset(_OF_AN_ATTACK),
    "p4g_inversion": frozenset({*_OF_AN_ATTACK, "norm_only"}),
    "p4b_tiger_cat": frozenset(_OF_A_PHOTO),
    "p4e_robust": frozenset({*_OF_A_PHOTO, "standard_network"}),
}


def slip_named(exercise: str, name: str) -> Slip | None:
    """The slip that a diagnosis is, or None."""
    if name not in SLIPS.get(exercise, ()):
        return None
    known = next((m.function.name for m in misconceptions_for(exercise) if m.name == name), "")
    return Slip(known)
