"""The exercises: ids, notebooks and points, as they were agreed and as the notebooks must have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["code", "written"]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        id: Id of its answer cell; a code exercise also has `<id>_check` and `<id>_test`.
        notebook: Name of the notebook without ".ipynb".
        form: "code" is graded by an exam, "written" by hand.
        points: What it is worth.
        bonus: Whether its points come on top of the 110.
    """

    id: str
    notebook: str
    form: Form
    points: float
    bonus: bool = False


NOTEBOOKS = ("problem1_forward", "problem2_classification", "problem3_backward", "problem4_adversarial")

_FORWARD, _CLASSIFICATION, _BACKWARD, _ADVERSARIAL = NOTEBOOKS

EXERCISES = (
    Exercise("p1a_equation", _FORWARD, "written", 4),
    Exercise("p1a_conv1d", _FORWARD, "code", 6),
    Exercise("p1b_equation", _FORWARD, "written", 4),
    Exercise("p1b_maxpool1d", _FORWARD, "code", 6),
    Exercise("p2a_last_layer", _CLASSIFICATION, "code", 2),
    Exercise("p2b_probabilities", _CLASSIFICATION, "code", 2),
    Exercise("p2b_top_predictions", _CLASSIFICATION, "code", 3),
    Exercise("p2c_corgi", _CLASSIFICATION, "code", 3),
    Exercise("p3a_conv_matrix", _BACKWARD, "code", 4),
    Exercise("p3a_backward_input", _BACKWARD, "code", 8),
    Exercise("p3b_backward_kernel", _BACKWARD, "code", 8),
    Exercise("p3b_update", _BACKWARD, "code", 2),
    Exercise("p3c_boundaries", _BACKWARD, "written", 4),
    Exercise("p3d_maxpool_backward", _BACKWARD, "code", 10),
    Exercise("p3e_boundaries", _BACKWARD, "written", 4),
    Exercise("p4a_attack", _ADVERSARIAL, "code", 12),
    Exercise("p4a_tarantula", _ADVERSARIAL, "code", 0),
    Exercise("p4b_tiger_cat", _ADVERSARIAL, "code", 4),
    Exercise("p4c_discussion", _ADVERSARIAL, "written", 4),
    Exercise("p4d_layer_norm", _ADVERSARIAL, "code", 8),
    Exercise("p4e_robust", _ADVERSARIAL, "code", 8),
    Exercise("p4f_images", _ADVERSARIAL, "code", 0),
    Exercise("p4f_other_classes", _ADVERSARIAL, "written", 4),
    Exercise("p4g_inversion", _ADVERSARIAL, "code", 4, bonus=True),
)

# `p4a_tarantula` and `p4f_images` have a visible check and no exam: the first is judged with `p4a_attack`.
AUTO_GRADED = tuple(exercise for exercise in EXERCISES if exercise.form == "code" and exercise.points)

POINTS = sum(exercise.points for exercise in EXERCISES if not exercise.bonus)  # 110
BONUS = sum(exercise.points for exercise in EXERCISES if exercise.bonus)  # 4
