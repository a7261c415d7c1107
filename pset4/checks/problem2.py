"""Visible checks of problem 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.specs import NetworkSpec, build_network
from pset4.checks.calling.time_limit import OutOfTime, time_limit
from pset4.checks.failure import CheckFailed, all_good
from pset4.checks.functions import SECONDS, FunctionCheck, Probe, one_thread, run_check
from pset4.checks.judging.guesses import Finding, judge_first_guess, judge_guesses
from pset4.checks.misconceptions import Observation, recognise
from pset4.checks.misconceptions.problem2 import probabilities, stored_inputs
from pset4.checks.misconceptions.symptoms import error_symptom
from pset4.networks.network import Network

# A small network, the same in a wrapping, one with a single linear layer, and the real one.
NETWORKS = (
    (NetworkSpec("exam_deep_head", options={"last": 17, "classes": 9}), "a network with three linear layers"),
    (
        NetworkSpec("exam_deep_head", options={"last": 19, "wrapped": True}),
        "such a network inside another module",
    ),
    (NetworkSpec("exam_one_linear", options={"channels": 11}), "a network with one linear layer"),
    (NetworkSpec("exam_resnet50"), "ResNet-50"),
)

PROBABILITIES = FunctionCheck(
    exercise="p2b_probabilities",
    function="output2prob",
    names=("output",),
    right=probabilities,
    from_scratch=False,
    probes=(
        Probe((torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 4.0]]),)),
        Probe((torch.tensor([[0.5, -1.5, 0.25, 2.0]]),), "B = 1"),
        Probe((torch.tensor([[3.0, -1.0], [0.5, 2.0], [1.0, 1.5]], dtype=torch.float64),), "float64"),
        Probe((torch.tensor([[1000.0, 1001.0, 999.0], [0.0, 3.0, 1.0]]),), "large logits"),
        Probe((torch.tensor([[-1000.0, -1001.0], [-500.0, -501.0]]),), "very negative logits"),
        Probe((torch.tensor([[0.0, 900.0, 899.0]]),), "logits far apart"),
    ),
)


@dataclass(frozen=True)
class Returned:
    """What came of one call."""

    value: Any = None
    error: str = ""
    message: str = ""


def _call(function: str, student: Any, arguments: Sequence[Any]) -> Returned:
    if not callable(student):
        text = f"`{function}` must be a function, not {type(student).__name__}."
        raise CheckFailed(text, misconception="missing_function")
    try:
        with one_thread(), time_limit(SECONDS):
            return Returned(student(*arguments))
    except OutOfTime:
        return Returned(error="Timeout")
    except Exception as error:
        return Returned(error=type(error).__name__, message=str(error))


def _fail_for_error(function: str, returned: Returned, where: str) -> None:
    if returned.error:
        found = error_symptom(function, returned.error, where)
        detail = f" The error says: {returned.message}" if returned.message else ""
        raise CheckFailed(found.text + detail, misconception=found.name)


def p2a_last_layer(last_layer_inputs: Callable[..., Any]) -> None:
    """Checks `last_layer_inputs(model)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    name = "last_layer_inputs"
    results = [(spec, where, _call(name, last_layer_inputs, (build_network(spec),))) for spec, where in NETWORKS]
    observed = [Observation(name, (spec,), result.value, result.error) for spec, _, result in results]
    known = recognise("p2a_last_layer", observed)
    if known:
        raise CheckFailed(known.describe(), misconception=known.name)
    for spec, where, result in results:
        _fail_for_error(name, result, where)
        if type(result.value) is not int:
            kind = type(result.value).__name__
            raise CheckFailed(f"`{name}` returns an object of type {kind}, not an int.", misconception="not_an_integer")
        if result.value != stored_inputs(spec):
            right = stored_inputs(spec)
            raise CheckFailed(f"For {where} you return {result.value}; its last linear layer has {right} inputs.")
    all_good("p2a_last_layer", "The hidden exam tries networks of other sizes.")


def p2b_probabilities(output2prob: Callable[..., Any]) -> None:
    """Checks `output2prob(output)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    run_check(PROBABILITIES, output2prob)
    all_good("p2b_probabilities", "The hidden exam tries random logits of all sizes.")


def p2b_top_predictions(top_predictions: Callable[..., Any]) -> None:
    """Checks `top_predictions(model, x, k=5)`.

    Raises:
        CheckFailed: With a diagnosis.
    """
    spec = NetworkSpec("exam_classifier", 5, {"classes": 9, "sharpness": 6.0})
    network = build_network(spec)
    for batch, k in ((3, 4), (1, 3), (2, None), (1, None)):
        x = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(batch))
        result = _call("top_predictions", top_predictions, (network, x, *([] if k is None else [k])))
        where = f"{batch} image{'s' * (batch > 1)} and {'the default k' if k is None else f'k = {k}'}"
        _fail_for_error("top_predictions", result, where)
        with torch.no_grad():
            logits = network(x)
        _fail_for(judge_guesses(result.value, logits, 5 if k is None else k), f"For {where}: ")
    all_good("p2b_top_predictions", "The hidden exam tries other networks, batches and k.")


def p2c_corgi(predicted_class: Any, predicted_probability: Any, model: Network, image: Tensor) -> None:
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
    _fail_for(judge_first_guess(predicted_class, predicted_probability, logits))
    all_good("p2c_corgi", "The exam loads the network and the photo itself, and compares within 0.01.")


def _fail_for(findings: Sequence[Finding], prefix: str = "") -> None:
    if findings:
        first = findings[0]
        raise CheckFailed(prefix + first.text, misconception=first.name)
