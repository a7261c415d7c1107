"""Runs answers of the bank as their notebook would, for the tests of exams and checks."""

from __future__ import annotations

from typing import Any

from autograder.answers import Answer, reference
from autograder.answers.photo import FIRST_CELL, given_cells, quietly, run_cells
from autograder.exams import LocalStudent, Verdict, examine
from pset4 import checks
from pset4.checks import CheckFailed
from pset4.checks.judging.photos import judging_network, judging_photo
from pset4.networks.imagenet import class_name
from pset4.networks.network import load_model

TAKES = {
    "p1a_conv1d": ("conv1d",),
    "p1b_maxpool1d": ("pool_size", "maxpool1d"),
    "p2a_last_layer": ("last_layer_inputs",),
    "p2b_probabilities": ("output2prob",),
    "p2b_top_predictions": ("top_predictions",),
    "p2c_corgi": ("predicted_class", "predicted_probability"),
    "p3a_conv_matrix": ("conv1d_matrix",),
    "p3a_backward_input": ("conv1d_backward_input",),
    "p3b_backward_kernel": ("conv1d_backward_kernel",),
    "p3b_update": ("update_kernel",),
    "p3d_maxpool_backward": ("maxpool1d_backward",),
    "p4a_attack": ("generate_adversarial_example",),
    "p4b_tiger_cat": ("adversarial_tiger_cat",),
    "p4d_layer_norm": ("maximize_layer_norm",),
    "p4e_robust": ("robust_example",),
    "p4g_inversion": ("invert_features",),
}
"""What each exercise's visible check takes from the notebook, in its order."""

FURTHER = {"p4a_attack": {"p4a_tarantula": ("adversarial_tarantula",)}}
"""Checks of exercises without points of their own, whose cells belong to another's answer."""


def of_problem(*numbers: int) -> tuple[str, ...]:
    """Ids of the exercises of these problems."""
    return tuple(exercise for exercise in TAKES if int(exercise[1]) in numbers)


def given(exercise: str) -> dict[str, Any]:
    """What the notebook's namespace holds before the answer cell, as far as answers depend on it."""
    if exercise.startswith("p4"):
        return given_cells(exercise)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(FIRST_CELL, namespace)
    if exercise.startswith("p2"):
        exec("from torch import nn", namespace)
        exec(reference("p2b_probabilities").source, namespace)
    if exercise == "p2c_corgi":
        exec(reference("p2b_top_predictions").source, namespace)
        namespace |= {"pretrained": judging_network("standard"), "corgi": judging_photo(), "class_name": class_name}
        namespace["random_network"] = load_model("random", "cpu", verbose=False)
    return namespace


def namespace_of(answer: Answer) -> dict[str, Any]:
    """What the notebook's namespace holds after the answer."""
    return run_cells(answer, given(answer.exercise))


def verdict_on(answer: Answer, *, seed: int = 1, namespace: dict[str, Any] | None = None) -> Verdict:
    """The exam's verdict on an answer, or on the namespace that it left."""
    with LocalStudent(namespace_of(answer) if namespace is None else namespace) as student:
        return examine(answer.exercise, student, seed=seed)


def check_failure(answer: Answer, *, namespace: dict[str, Any] | None = None) -> CheckFailed | None:
    """What the visible check says of an answer, or of the namespace that it left; None if it is content."""
    after = namespace_of(answer) if namespace is None else namespace
    corgi = answer.exercise == "p2c_corgi"
    networks = {"model": judging_network("standard"), "image": judging_photo()} if corgi else {}
    takes = {answer.exercise: TAKES[answer.exercise], **FURTHER.get(answer.exercise, {})}
    try:
        with quietly():
            for exercise, names in takes.items():
                getattr(checks, exercise)(*(after.get(name) for name in names), **networks)
    except CheckFailed as failure:
        return failure
    return None
