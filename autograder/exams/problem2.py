"""Exams of problem 2: what a network says, and how to read it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autograder.exams.exam import Examination, exam
from autograder.exams.inputs import DTYPES, Inputs
from autograder.exams.verdict import Property
from pset4.checks.calling.specs import NetworkSpec
from pset4.checks.judging.expected import stored_inputs
from pset4.checks.judging.functions import LAST_LAYER_INPUTS, OUTPUT2PROB
from pset4.checks.judging.guesses import (
    CLASSES,
    COUNT,
    GUESSED_CLASS,
    GUESSED_PROBABILITY,
    LISTS,
    ORDER,
    PLAIN,
    PROBABILITIES,
    judge_first_guess,
    judge_top_predictions,
)
from pset4.checks.judging.photos import judging_network, judging_photo
from pset4.checks.judging.values import SHAPE, UNCHANGED, judge, judge_devices, judge_integer

LAST_LAYER = "inputs of the last linear layer"
WRAPPED = "wrapped networks"
RESNET = "ResNet-50"
INTEGER = "an int"


@exam(
    "p2a_last_layer",
    points=2,
    properties=(
        Property(LAST_LAYER, 1.0, "count the inputs of the last nn.Linear that model.modules() visits."),
        Property(WRAPPED, 0.5, "the network may be wrapped in other modules: model.modules() visits every depth."),
        Property(RESNET, 0.25, "the last linear layer of ResNet-50 has 2048 inputs.", "edge"),
        Property(INTEGER, 0.25, "return an int.", "form"),
    ),
)
def last_layer_exam(exam: Examination) -> None:
    """Networks of sizes that are drawn anew, bare and wrapped, and ResNet-50."""
    for name, spec in last_layer_networks(Inputs(exam.random)):
        judge_integer(exam, LAST_LAYER_INPUTS, name, (spec,), stored_inputs(spec), kind=INTEGER)


def last_layer_networks(inputs: Inputs) -> Iterator[tuple[str, NetworkSpec]]:
    """Pairs of the property that a network decides and its description."""

    def deep(*, wrapped: bool) -> NetworkSpec:
        # The last layer is neither the first nor the largest, and has neither as many inputs as outputs.
        options = {"channels": inputs.integer(5, 9), "hidden": inputs.integer(41, 60), "last": inputs.integer(15, 19)}
        return NetworkSpec("exam_deep_head", options={**options, "classes": inputs.integer(6, 12), "wrapped": wrapped})

    def single(*, wrapped: bool) -> NetworkSpec:
        options = {"channels": inputs.integer(5, 30), "classes": inputs.integer(6, 12), "wrapped": wrapped}
        return NetworkSpec("exam_one_linear", options=options)

    yield LAST_LAYER, single(wrapped=False)
    yield LAST_LAYER, deep(wrapped=False)
    yield LAST_LAYER, deep(wrapped=False)
    yield WRAPPED, deep(wrapped=True)
    yield WRAPPED, single(wrapped=True)
    yield RESNET, NetworkSpec("exam_resnet50")


BATCH = "the classes of each image share the probability"
ONE_IMAGE = "a single image"
HUGE = "logits of any size"


@exam(
    "p2b_probabilities",
    points=2,
    seconds=5,
    properties=(
        Property(BATCH, 0.75, "each row must hold the probabilities of one image's classes."),
        Property(ONE_IMAGE, 0.25, "it must work for a batch of one image, too.", "edge"),
        Property(HUGE, 0.5, "logits may be as large as they like: the factor that overflows cancels."),
        Property(SHAPE, 0.25, "the result must have the shape, dtype and device of the logits.", "form"),
        Property(UNCHANGED, 0.25, "your function changes its input in place; work on a copy.", "form"),
    ),
)
def probabilities_exam(exam: Examination) -> None:
    """Batches of moderate logits, single images, and logits whose exponentials no float can hold."""

    def check(name: str, output: Tensor, where: str = "") -> None:
        judge(exam, OUTPUT2PROB, name, (output,), where=where)

    def logits(batch: int, classes: int) -> Tensor:
        return torch.randn(batch, classes, generator=exam.random, dtype=torch.float64) * 2

    for dtype in DTYPES:
        for batch, classes in ((4, 6), (3, 11), (5, 2)):
            check(BATCH, logits(batch, classes).to(dtype))
        check(ONE_IMAGE, logits(1, 7).to(dtype), "B = 1")
        # In float32, a logit near 10,000 has no digits left to tell probabilities apart: right answers would differ.
        for shift in (500.0, -500.0) if dtype == torch.float32 else (1e3, -1e3, 1e5):
            check(HUGE, (logits(3, 5) + shift).to(dtype), "logits far from 0")
        spread = torch.tensor([[0.0, 900.0, 899.0], [-2000.0, 3.0, 2.0]], dtype=dtype)
        check(HUGE, spread, "logits far apart")
    judge_devices(exam, OUTPUT2PROB, (logits(3, 4),))


@exam(
    "p2b_top_predictions",
    points=3,
    properties=(
        Property(CLASSES, 0.75, "the k classes with the largest probabilities of each image are asked for."),
        Property(PROBABILITIES, 0.75, "beside each class id stands its probability, over all classes."),
        Property(ORDER, 0.5, "the most probable class comes first."),
        Property(LISTS, 0.5, "the result is a list of B lists, for a single image as well.", "form"),
        Property(COUNT, 0.25, "each inner list holds k pairs; k is 5 if it is not given.", "form"),
        Property(PLAIN, 0.25, "class ids are of type int, probabilities of type float.", "form"),
    ),
)
def top_predictions_exam(exam: Examination) -> None:
    """Small networks with classes and weights drawn anew; batches, single images, several k."""
    inputs = Inputs(exam.random)
    for batch, k in ((3, 4), (1, 3), (2, None), (4, 1), (1, None)):
        classes = inputs.integer(8, 14)
        spec = NetworkSpec("exam_classifier", inputs.integer(0, 10**6), {"classes": classes, "sharpness": 6.0})
        x = torch.rand(batch, 3, 8, 8, generator=exam.random)
        judge_top_predictions(exam, spec, x, k)


@exam(
    "p2c_corgi",
    points=3,
    properties=(
        Property(GUESSED_CLASS, 1.5, "predicted_class must be what the pretrained network says of the photo."),
        Property(GUESSED_PROBABILITY, 1.25, "predicted_probability must be the probability of that class."),
        Property(PLAIN, 0.25, "predicted_class is an int and predicted_probability a float.", "form"),
    ),
)
def corgi_exam(exam: Examination) -> None:
    """The network and the photo are loaded here; the student's variables are only compared."""
    with torch.no_grad():
        judge_first_guess(exam, judging_network("standard")(judging_photo()))
