"""The second and the third stage of every exercise: the idea in words, and the formula, which says that it is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exercise:
    """What the stages and the summary say of an exercise.

    Attributes:
        notebook: Number of its notebook.
        title: What it asks for, in a few words.
        idea: One or two sentences that lead there; never the formula.
        formula: The formula, without its code.
    """

    notebook: int
    title: str
    idea: str
    formula: str


EXERCISES: dict[str, Exercise] = {
    "p1a_conv1d": Exercise(
        1,
        "1-D convolution",
        "Lay the kernel on the signal with its centre on position n, multiply what lies on top of each other, and add "
        "up. For a convolution the kernel is turned round first; beyond its ends the signal is zero.",
        "x_out[n] = Σ W[m] · x_in[n − m], the sum over m from −(k − 1)/2 to (k − 1)/2, with x_in = 0 outside of "
        "0..N − 1, and W[m] = kernel[m + (k − 1)/2].",
    ),
    "p1b_maxpool1d": Exercise(
        1,
        "max pooling",
        "Slide a window over the signal, one step at a time, and keep the largest value of each position in which the "
        "whole window lies on the signal. For the size, count in how many positions that is so.",
        "x_out[m] = max(x_in[m], ..., x_in[m + size − 1]) for m = 0..N − size; so M = N − size + 1, and "
        "size = N − M + 1.",
    ),
    "p2a_last_layer": Exercise(
        2,
        "inputs of the last layer",
        "Go through all modules of the network, those inside of other modules too, keep the linear ones, and ask the "
        "last of them how many numbers it takes in.",
        "a linear layer computes y = W x + b with W of shape (outputs, inputs); the number is the second one of the "
        "last linear layer's weight.",
    ),
    "p2b_probabilities": Exercise(
        2,
        "logits to probabilities",
        "Make every logit positive in a way that keeps the order, and let each image's numbers share 1 among them. "
        "Only differences between logits count, so you may subtract the largest before anything can overflow.",
        "p_c = exp(z_c − max z) / Σ exp(z_j − max z), the sum over the classes j of one image (a row of the logits).",
    ),
    "p2b_top_predictions": Exercise(
        2,
        "the most probable classes",
        "Ask the network once for all images, turn its logits into probabilities, and sort each image's own. The "
        "position of a probability in its row is the class's id.",
        "for each image b: the k classes c with the largest p[b, c], in falling order, as pairs (c, p[b, c]) of an int "
        "and a float.",
    ),
    "p2c_corgi": Exercise(
        2,
        "what the network says of the photo",
        "You have a function that lists the most probable classes. Give it the pretrained network and the photo, and "
        "take the first pair of the first image.",
        "predicted_class = argmax_c p_c and predicted_probability = max_c p_c, with p the pretrained network's "
        "probabilities for the photo.",
    ),
    "p3a_conv_matrix": Exercise(
        3,
        "the convolution as a matrix",
        "Row n says with which weight each input enters output n. The rows hold the same numbers, moved on by one "
        "from row to row, and cut off at the sides.",
        "M[n, j] = W[n − j] where |n − j| ≤ (k − 1)/2, and 0 elsewhere, with W[m] = kernel[m + (k − 1)/2].",
    ),
    "p3a_backward_input": Exercise(
        3,
        "gradient of the input",
        "An input takes part in several outputs. Each sends its gradient back with the weight with which the input "
        "entered it, and what arrives is added up: the columns of the matrix, where the forward pass uses its rows.",
        "dC/dx_in[j] = Σ W[n − j] · grad_out[n], the sum over the outputs n with |n − j| ≤ (k − 1)/2; that is "
        "grad_in = Mᵀ grad_out.",
    ),
    "p3b_backward_kernel": Exercise(
        3,
        "gradient of the kernel",
        "One weight is used at every position. At each, its derivative is the input that it multiplies there; weight "
        "these inputs with the outputs' gradients, and add up over the positions.",
        "dC/dW[m] = Σ grad_out[n] · x_in[n − m], the sum over n = 0..N − 1, with x_in = 0 outside, for m from "
        "−(k − 1)/2 to (k − 1)/2, which stands at m + (k − 1)/2.",
    ),
    "p3b_update": Exercise(
        3,
        "one step of gradient descent",
        "The gradient points to where the cost grows fastest. Go the other way, by a step as long as the gradient "
        "times the learning rate, and return where you arrive.",
        "W_new = W − η · dC/dW, with the learning rate η.",
    ),
    "p3d_maxpool_backward": Exercise(
        3,
        "gradient of max pooling",
        "Only the largest value of a window decides its output, so it alone gets the window's gradient. An input may "
        "be the largest of several windows: then it collects from all of them.",
        "dC/dx_in[j] = Σ grad_out[m], the sum over the windows m whose maximum stands at j: "
        "j = argmax(x_in[m], ..., x_in[m + size − 1]).",
    ),
    "p4a_attack": Exercise(
        4,
        "the attack",
        "Ask how the cost of the target class changes with each pixel, and let the step move the images the way in "
        "which that cost falls. Ask again after every step, since the images have moved.",
        "repeat n_iter times: g = ∂/∂x Σ_b cost(model_fn(x)_b, target_b), for a cost that falls as the target becomes "
        "more probable (such as −log p_target), and x ← step(x, −g).",
    ),
    "p4a_tarantula": Exercise(
        4,
        "the photo as a tarantula",
        "Let your attack run on the photo, with the standard network, its step and the tarantula's class id.",
        "x_0 = corgi, then N_ITER times x ← standard_step(x, −∂cost(x, 76)/∂x) on the standard network.",
    ),
    "p4b_tiger_cat": Exercise(
        4,
        "the photo as a tiger cat",
        "It is the attack of the tarantula again: only the class id is another one.",
        "x_0 = corgi, then N_ITER times x ← standard_step(x, −∂cost(x, 282)/∂x) on the standard network.",
    ),
    "p4d_layer_norm": Exercise(
        4,
        "the largest features",
        "It is the attack with another goal: a number for each image that says how large its features are, all of "
        "them together. This time the number shall grow, so the images follow the gradient.",
        "repeat n_iter times: g = ∂/∂x Σ_b ‖features_fn(x)_b‖₂, the norm over all features of image b, and "
        "x ← step(x, +g).",
    ),
    "p4e_robust": Exercise(
        4,
        "the attack on the robust network",
        "Same function, same photo. Three things are the robust network's own: the network, its step with the larger "
        "budget, and its target.",
        "x_0 = corgi, then N_ITER times x ← robust_step(x, −∂cost(x, robust_target)/∂x) on the robust network.",
    ),
    "p4f_images": Exercise(
        4,
        "other classes",
        "Do what you did for the robust example once for each further target, and keep each image under its class id.",
        "robust_images[t] = the result of the attack with target t, for at least two class ids t that the robust "
        "network knows.",
    ),
    "p4g_inversion": Exercise(
        4,
        "from features back to an image",
        "It is the attack with another goal: a number for each image that says how far its features are from the given "
        "ones. It shall fall.",
        "repeat n_iter times: g = ∂/∂x Σ_b ‖features_fn(x)_b − target_b‖₂, and x ← step(x, −g).",
    ),
}

FURTHER = {
    ("p1a_conv1d", "cross_correlation"): "A signal with a single 1 tells the two apart: a convolution puts a copy of "
    "the kernel there, and a cross-correlation puts it there backwards.",
    ("p1a_conv1d", "valid_only"): "An output exists for every position on which the kernel's centre can lie, and its "
    "centre can lie on the very first value.",
    ("p1a_conv1d", "negative_index"): "Python counts negative indices from the end. Either leave such terms out, or "
    "put zeros in front of the signal and move the indices with them.",
    ("p1b_maxpool1d", "starts_from_zero"): "Whatever a maximum starts from takes part in it. Let it start from "
    "something that stands in the window.",
    ("p1b_maxpool1d", "windows_apart"): "Write the windows of a signal of four values under each other: neighbours "
    "share all values but one.",
    ("p2b_probabilities", "softmax_over_batch"): "Photos do not compete with each other, classes do: each row sums to "
    "1.",
    ("p2b_probabilities", "overflow"): "The result does not change if the same number is taken from all logits of a "
    "row; choose it so that no exponent is positive.",
    ("p3a_conv_matrix", "transposed"): "Rows are outputs, columns are inputs. Which of the two does your first index "
    "count?",
    ("p3a_backward_input", "flipped_again"): "Draw an arrow from each input to the outputs that it enters, with its "
    "weight. Gradients run along the same arrows, backwards.",
    ("p3b_backward_kernel", "reversed"): "Ask for one weight alone: which input does it multiply in output n? The "
    "weight on the left, with the smallest m, looks to the right of n.",
    ("p3d_maxpool_backward", "overwritten"): "Two windows may have the same winner. What the second brings must not "
    "replace what the first has brought.",
    ("p3d_maxpool_backward", "full_gradient_to_ties"): "Moving one of two equal maxima up by a little moves the output "
    "by as little. Moving both does the same, not twice as much.",
    ("p4a_attack", "wrong_sign"): "The step moves along what it is given. A gradient points to where its number grows.",
    ("p4d_layer_norm", "wrong_sign"): "The step moves along what it is given. A gradient points to where its number "
    "grows.",
}
"""What more can be said where a misconception is known, in place of its explanation, which was read before."""
STAGES = (1, 2, 3)


def idea(exercise: str, misconception: str = "") -> str:
    """The second stage."""
    more = FURTHER.get((exercise, misconception), "")
    return f"The idea: {EXERCISES[exercise].idea} {more}".rstrip()


def formula(exercise: str) -> str:
    """The third stage."""
    return f"This is the formula: {EXERCISES[exercise].formula}"
