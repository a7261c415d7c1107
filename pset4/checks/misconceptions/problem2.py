"""Misconceptions about the outputs of a network: its last layer, and softmax."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import pset4.checks.calling.small_networks  # noqa: F401  (registers the networks)
from pset4.checks.calling.specs import NetworkSpec, build_network
from pset4.checks.judging.expected import RESNET50_INPUTS
from pset4.checks.judging.functions import LAST_LAYER_INPUTS, OUTPUT2PROB
from pset4.checks.judging.registry import Misconception, register
from pset4.checks.misconceptions.table import register_table


def _of_layers(measure: Callable[[list[nn.Linear]], int]) -> Callable[[NetworkSpec], int]:
    def imitate(spec: NetworkSpec) -> int:
        return measure([layer for layer in build_network(spec).modules() if isinstance(layer, nn.Linear)])

    return imitate


_LAYERS = {
    "outputs_instead": (
        lambda layers: layers[-1].out_features,
        "you return the number of outputs (classes) of the last linear layer. Its number of inputs is asked for.",
    ),
    "first_linear_layer": (
        lambda layers: layers[0].in_features,
        "this is the first linear layer. A network may have several; take the last one.",
    ),
    "largest_layer": (
        lambda layers: max(layer.in_features for layer in layers),
        "this is the linear layer with the most inputs. Take the last one, whatever its size.",
    ),
    "number_of_layers": (len, "you count the linear layers. Return the number of inputs of the last one."),
    "number_of_weights": (
        lambda layers: layers[-1].weight.numel(),
        "this is the number of weights, inputs times outputs. Return the number of inputs.",
    ),
}

for _name, (_measure, _text) in _LAYERS.items():
    register(Misconception(_name, LAST_LAYER_INPUTS, _text, _of_layers(_measure)))
register(
    Misconception(
        "always_2048",
        LAST_LAYER_INPUTS,
        "you always return 2048, the size of ResNet-50. Other networks have other sizes: look at the model.",
        lambda spec: RESNET50_INPUTS,
    )
)


def _logits(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows)


register_table(
    OUTPUT2PROB,
    {
        "softmax_over_batch": (
            lambda output: output.softmax(dim=0),
            "you compare the images of the batch with each other. Compare the classes of one image: sum over dim=1.",
        ),
        "softmax_over_everything": (
            lambda output: output.flatten().softmax(dim=0).view_as(output),
            "you normalise over the whole batch. Each image's probabilities must sum to 1 on their own.",
        ),
        "overflow": (
            lambda output: output.exp() / output.exp().sum(dim=1, keepdim=True),
            "exp() of a large logit is infinite, and of a very negative one zero. A factor that cancels helps.",
        ),
        "overflow_over_batch": (
            lambda output: output.exp() / output.exp().sum(dim=0, keepdim=True),
            "you compare the images of the batch with each other, and exp() of a large logit is infinite.",
        ),
        "not_normalised": (
            lambda output: output.exp(),
            "these are the exponentials alone. The probabilities of one image sum to 1.",
        ),
        "normalised_by_largest": (
            lambda output: (output - output.max(dim=1, keepdim=True).values).exp(),
            "subtracting the maximum keeps exp() finite, but one image's probabilities must still sum to 1.",
        ),
        "without_exponential": (
            lambda output: output / output.sum(dim=1, keepdim=True),
            "you divide the logits by their sum. Without the exponential, probabilities can be negative.",
        ),
        "sigmoid": (
            lambda output: output.sigmoid(),
            "this is the sigmoid of each logit alone. The classes of an image must share one unit of probability.",
        ),
        "log_probabilities": (
            lambda output: output.log_softmax(dim=1),
            "these are logarithms of probabilities. Take the exponential.",
        ),
        "one_hot": (
            lambda output: torch.nn.functional.one_hot(output.argmax(dim=1), output.shape[1]).to(output),
            "you give all probability to the largest logit. The others have some, too.",
        ),
        "softmin": (
            lambda output: (-output).softmax(dim=1),
            "the sign is wrong: the largest logit must get the largest probability.",
        ),
        "base_two": (
            lambda output: (output * torch.tensor(2.0).log()).softmax(dim=1),
            "you take powers of 2. The softmax takes powers of e.",
        ),
        "softmax_twice": (
            lambda output: output.softmax(dim=1).softmax(dim=1),
            "you apply softmax twice. The first result is right already.",
        ),
        "scaled_to_unit_range": (
            lambda output: (
                (output - output.amin(1, keepdim=True)) / (output.amax(1, keepdim=True) - output.amin(1, keepdim=True))
            ),
            "you stretch the logits to [0, 1]. They must sum to 1, and depend on the exponentials.",
        ),
        "logits_clamped": (
            lambda output: output.clamp(-50, 50).softmax(dim=1),
            "you cut large logits off, so that their differences are lost. Subtract the maximum instead.",
        ),
        "column_for_each_image": (
            lambda output: output.softmax(dim=1).T,
            "rows and columns are exchanged. Each image has a row, as in the logits.",
        ),
        "logits_returned": (lambda output: output, "these are the logits themselves."),
    },
    examples=(
        (_logits((0.0, 1.0, 2.0), (1.0, 1.0, 4.0)),),
        (_logits((1000.0, 1001.0), (0.0, 3.0)),),
        (_logits((-1000.0, 70.0, 69.0)),),
    ),
)
