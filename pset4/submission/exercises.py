"""The exercises as a student knows them: where each answer stands, what it defines and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

NOTEBOOKS = {
    "problem1_forward": "Problem 1: Forward propagation",
    "problem2_classification": "Problem 2: What does a network see?",
    "problem3_backward": "Problem 3: Backpropagation",
    "problem4_adversarial": "Problem 4: Fooling a network, and training one that is harder to fool",
}
"""The four notebooks, without ".ipynb", and their titles."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        id: nbgrader's id of its answer cell.
        notebook: Its notebook, without ".ipynb".
        title: What it asks for.
        points: What it is worth.
        names: The functions and variables that its answer defines; none where it is answered in words.
        bonus: Whether its points come on top.
    """

    id: str
    notebook: str
    title: str
    points: int
    names: tuple[str, ...] = ()
    bonus: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """Ids of the cells that belong to it: the answer, its check, and its exam."""
        if not self.names:
            return (self.id,)
        return (self.id, f"{self.id}_check", f"{self.id}_test") if self.points else (self.id, f"{self.id}_check")

    @property
    def worth(self) -> str:
        """Its points in words."""
        if not self.points:
            return "no points"
        return f"{self.points} {'bonus ' if self.bonus else ''}points"


_FORWARD, _CLASSIFICATION, _BACKWARD, _ADVERSARIAL = NOTEBOOKS

EXERCISES = (
    Exercise("p1a_equation", _FORWARD, "the equation of a convolution", 4),
    Exercise("p1a_conv1d", _FORWARD, "the convolution", 6, ("conv1d",)),
    Exercise("p1b_equation", _FORWARD, "the equation of max pooling", 4),
    Exercise("p1b_maxpool1d", _FORWARD, "the pooling", 6, ("pool_size", "maxpool1d")),
    Exercise("p2a_last_layer", _CLASSIFICATION, "the size of the last layer", 2, ("last_layer_inputs",)),
    Exercise("p2b_probabilities", _CLASSIFICATION, "the softmax", 2, ("output2prob",)),
    Exercise("p2b_top_predictions", _CLASSIFICATION, "the best guesses", 3, ("top_predictions",)),
    Exercise(
        "p2c_corgi", _CLASSIFICATION, "the trained network's guess", 3, ("predicted_class", "predicted_probability")
    ),
    Exercise("p3a_conv_matrix", _BACKWARD, "the matrix", 4, ("conv1d_matrix",)),
    Exercise("p3a_backward_input", _BACKWARD, "the gradient of the input", 8, ("conv1d_backward_input",)),
    Exercise("p3b_backward_kernel", _BACKWARD, "the gradient of the kernel", 8, ("conv1d_backward_kernel",)),
    Exercise("p3b_update", _BACKWARD, "one step of learning", 2, ("update_kernel",)),
    Exercise("p3c_boundaries", _BACKWARD, "the ends of a convolution", 4),
    Exercise("p3d_maxpool_backward", _BACKWARD, "the gradient of max pooling", 10, ("maxpool1d_backward",)),
    Exercise("p3e_boundaries", _BACKWARD, "the ends of a pooling", 4),
    Exercise("p4a_attack", _ADVERSARIAL, "aim at a class", 12, ("generate_adversarial_example",)),
    Exercise("p4a_tarantula", _ADVERSARIAL, "a spider", 0, ("adversarial_tarantula",)),
    Exercise("p4b_tiger_cat", _ADVERSARIAL, "from a dog to a cat", 4, ("adversarial_tiger_cat",)),
    Exercise("p4c_discussion", _ADVERSARIAL, "which change is larger, and who should worry?", 4),
    Exercise("p4d_layer_norm", _ADVERSARIAL, "make the features larger", 8, ("maximize_layer_norm",)),
    Exercise("p4e_robust", _ADVERSARIAL, "the same attack, a harder victim", 8, ("robust_example",)),
    Exercise("p4f_images", _ADVERSARIAL, "attack to other classes", 0, ("robust_images",)),
    Exercise("p4f_other_classes", _ADVERSARIAL, "what does the attack draw?", 4),
    Exercise("p4g_inversion", _ADVERSARIAL, "back from the features to an image", 4, ("invert_features",), bonus=True),
)
