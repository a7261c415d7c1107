"""Visible checks of problem 2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.specs import NetworkSpec
from pset4.checks.judging.expected import stored_inputs
from pset4.checks.judging.functions import LAST_LAYER_INPUTS, OUTPUT2PROB
from pset4.checks.judging.guesses import judge_first_guess, judge_top_predictions
from pset4.checks.judging.values import judge_integer
from pset4.checks.public import VALUES, Case, demand_functions, judge_cases, visible_check
from pset4.checks.stages.staged import staged
from pset4.networks.network import Network

# A small network, the same in a wrapping, one with a single linear layer, and the real one.
NETWORKS = (
    (NetworkSpec("exam_deep_head", options={"last": 17, "classes": 9}), "a network with three linear layers"),
    (NetworkSpec("exam_deep_head", options={"last": 19, "wrapped": True}), "such a network inside another module"),
    (NetworkSpec("exam_one_linear", options={"channels": 11}), "a network with one linear layer"),
    (NetworkSpec("exam_resnet50"), "ResNet-50"),
)
LOGITS: tuple[Case, ...] = (
    ((torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 4.0]]),), ""),
    ((torch.tensor([[0.5, -1.5, 0.25, 2.0]]),), "B = 1"),
    ((torch.tensor([[3.0, -1.0], [0.5, 2.0], [1.0, 1.5]], dtype=torch.float64),), "float64"),
    ((torch.tensor([[1000.0, 1001.0, 999.0], [0.0, 3.0, 1.0]]),), "large logits"),
    ((torch.tensor([[-1000.0, -1001.0], [-500.0, -501.0]]),), "very negative logits"),
    ((torch.tensor([[0.0, 900.0, 899.0]]),), "logits far apart"),
)


@staged()
def p2a_last_layer(last_layer_inputs: Any) -> str:
    """Checks `last_layer_inputs(model)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(last_layer_inputs=last_layer_inputs)
    with visible_check(LAST_LAYER_INPUTS.exercise, last_layer_inputs=last_layer_inputs) as inquiry:
        for spec, where in NETWORKS:
            judge_integer(inquiry, LAST_LAYER_INPUTS, VALUES, (spec,), stored_inputs(spec), where=where)
    return "The hidden exam tries networks of other sizes."


@staged()
def p2b_probabilities(output2prob: Any) -> str:
    """Checks `output2prob(output)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(output2prob=output2prob)
    with visible_check(OUTPUT2PROB.exercise, output2prob=output2prob) as inquiry:
        judge_cases(inquiry, OUTPUT2PROB, LOGITS)
    return "The hidden exam tries random logits of all sizes."


@staged()
def p2b_top_predictions(top_predictions: Any) -> str:
    """Checks `top_predictions(model, x, k=5)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    demand_functions(top_predictions=top_predictions)
    spec = NetworkSpec("exam_classifier", 5, {"classes": 9, "sharpness": 6.0})
    with visible_check("p2b_top_predictions", top_predictions=top_predictions) as inquiry:
        for batch, k in ((3, 4), (1, 3), (2, None), (1, None)):
            x = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(batch))
            where = f"{batch} image{'s' * (batch > 1)} and {'the default k' if k is None else f'k = {k}'}"
            judge_top_predictions(inquiry, spec, x, k, where)
    return "The hidden exam tries other networks, batches and k."


@staged(given={"model": "pretrained", "image": "corgi"})
def p2c_corgi(predicted_class: Any, predicted_probability: Any, model: Network, image: Tensor) -> str:
    """Checks `predicted_class` and `predicted_probability`.

    Args:
        predicted_class: The student's variable.
        predicted_probability: The student's variable.
        model: The pretrained network of the notebook.
        image: The notebook's photo (1, 3, H, W).

    Raises:
        CheckFailed: With a diagnosis.
    """
    with torch.no_grad():
        logits = model(image)
    given = {"predicted_class": predicted_class, "predicted_probability": predicted_probability}
    with visible_check("p2c_corgi", **given) as inquiry:
        judge_first_guess(inquiry, logits)
    return "The exam loads the network and the photo itself, and compares within 0.01."
