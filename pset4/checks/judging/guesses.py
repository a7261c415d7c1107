"""What is wrong with a network's guesses as a student hands them back: lists of (class id, probability), or a pair.

Each `Finding` names the property that it speaks against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from pset4.checks.calling.outcome import Opaque
from pset4.checks.calling.specs import NetworkSpec, build_network
from pset4.checks.judging.inquiry import Finding, Inquiry
from pset4.checks.judging.symptoms import error_symptom
from pset4.checks.judging.values import number

LISTS = "a list for each image, also for a single one"
CLASSES = "the most probable classes"
PROBABILITIES = "their probabilities"
ORDER = "most probable first"
COUNT = "k guesses"
PLAIN = "plain numbers"

GUESSED_CLASS = "the network's first guess"
GUESSED_PROBABILITY = "its probability"

TOLERANCE = 1e-4
PHOTO_TOLERANCE = 0.01


def _pairs(row: Any) -> list[tuple[float, float]] | None:
    """The pairs of one image as floats, or None if there is something else in the list."""
    if not isinstance(row, (list, tuple)):
        return None
    pairs = []
    for entry in row:
        if not isinstance(entry, (list, tuple)) or len(entry) != 2:
            return None
        first, second = number(entry[0]), number(entry[1])
        if first is None or second is None:
            return None
        pairs.append((first, second))
    return pairs


def _is_flat(value: Any) -> bool:
    """Whether this is the list of pairs of a single image, without the list round it."""
    return bool(value) and _pairs(value) is not None


def judge_top_predictions(inquiry: Inquiry, spec: NetworkSpec, x: Tensor, k: int | None, where: str = "") -> None:
    """Asks for the top `k` of a network, five if `k` is None, and notes what is wrong."""
    outcome = inquiry.ask("top_predictions", spec, x, *([] if k is None else [k]))
    if k is None and outcome.error == "TypeError" and "'k'" in outcome.message:
        inquiry.fail(COUNT, "k has no default: without it, there are five guesses.", symptom="no_default")
        return
    if outcome.error:
        found = error_symptom("top_predictions", outcome.error, where)
        detail = f" The error says: {outcome.message}" if inquiry.public and outcome.message else ""
        for name in (CLASSES, PROBABILITIES, ORDER, LISTS, COUNT, PLAIN):
            inquiry.fail(name, found.text + detail, symptom=found.name)
        return
    with torch.no_grad():
        logits = build_network(spec)(x)
    for finding in find_in_guesses(outcome.value, logits, 5 if k is None else k):
        text = f"For {where}: {finding.text}" if inquiry.public else finding.text
        inquiry.fail(finding.property, text, symptom=finding.name)


def judge_first_guess(inquiry: Inquiry, logits: Tensor) -> None:
    """Looks at `predicted_class` and `predicted_probability`, and notes what is wrong.

    Args:
        inquiry: The check or exam.
        logits: What the network says of the photo, (1, K).
    """
    values = []
    for name, prop in (("predicted_class", GUESSED_CLASS), ("predicted_probability", GUESSED_PROBABILITY)):
        outcome = inquiry.student.value(name)
        if outcome.error:
            inquiry.fail(prop, f"your notebook does not define `{name}`: run its cell.", symptom="missing_variable")
        values.append(outcome.value)
    for finding in find_in_first_guess(values[0], values[1], logits):
        inquiry.fail(finding.property, finding.text, symptom=finding.name)


def _kind(value: Any) -> str:
    """Name of the value's type, wherever it comes from."""
    return value.type_name if isinstance(value, Opaque) else type(value).__name__


def find_in_guesses(value: Any, logits: Tensor, k: int) -> list[Finding]:
    """What is wrong with the result of `top_predictions`.

    Args:
        value: What the student's function returned.
        logits: What the network says, (B, K).
        k: How many guesses were asked for.
    """
    batch = len(logits)
    findings: list[Finding] = []
    value = _unpacked(value, findings)
    rows = value
    if batch == 1 and isinstance(value, (list, tuple)) and _is_flat(value):
        text = "for a single image you return its list alone. Return a list with that one list in it."
        findings.append(Finding(LISTS, "flat_for_one_image", text))
        rows = [value]
    if type(rows) not in (list, tuple):
        return _all_wrong("no_list", f"the result must be a list of lists, not a {_kind(value)}.")
    if len(rows) != batch:
        text = f"for {batch} images there must be {batch} lists; you return {len(rows)}."
        if len(rows) > batch or not rows or _is_flat(rows):
            return _all_wrong("wrong_batch", text)
        findings += [Finding(LISTS, "wrong_batch", text), Finding(CLASSES, "wrong_batch", text)]
        logits = logits[: len(rows)]
    rows = [_with_pairs(row, findings) for row in rows]
    guesses = [_pairs(row) for row in rows]
    if any(guess is None for guess in guesses):
        return _all_wrong("no_pairs", "each inner list must hold pairs (class_id, probability).")
    findings += _judge_rows([guess or [] for guess in guesses], logits.double().cpu(), k)
    if not _all_plain(rows):
        text = "class ids must be ints and probabilities floats; `.item()` or `.tolist()` makes them from tensors."
        findings.append(Finding(PLAIN, "not_plain", text))
    return findings


def _unpacked(value: Any, findings: list[Finding]) -> Any:
    """What torch's `topk` packs together, as lists of pairs, so that what is right in it counts."""
    packed = value.content if isinstance(value, Opaque) else value
    if not (type(packed) is tuple and len(packed) == 2 and all(isinstance(part, Tensor) for part in packed)):
        return value
    numbers, ids = packed
    if numbers.dim() != 2 or numbers.shape != ids.shape:
        return value
    text = "you return all values and all class ids. Make one list for each image, of pairs (class_id, probability)."
    findings.append(Finding(LISTS, "topk_as_it_is", text))
    return [list(zip(mine, beside, strict=True)) for mine, beside in zip(ids.tolist(), numbers.tolist(), strict=True)]


def _with_pairs(row: Any, findings: list[Finding]) -> Any:
    """A row of class ids alone, or a dictionary of them, as pairs."""
    if isinstance(row, Opaque) and row.type_name == "dict" and isinstance(row.content, list):
        text = "each inner list must hold pairs (class_id, probability); you return a dictionary."
        findings.append(Finding(LISTS, "dictionaries", text))
        return row.content
    if isinstance(row, (list, tuple)) and row and all(number(entry) is not None for entry in row):
        text = "each inner list must hold pairs (class_id, probability); yours holds single numbers."
        findings.append(Finding(PROBABILITIES, "ids_alone", text))
        return [(entry, math.nan) for entry in row]
    return row


def _all_wrong(name: str, text: str) -> list[Finding]:
    return [Finding(prop, name, text) for prop in (LISTS, CLASSES, PROBABILITIES, ORDER, COUNT, PLAIN)]


def _all_plain(rows: Sequence[Any]) -> bool:
    pairs = [pair for row in rows for pair in row]
    return all(type(pair[0]) is int and type(pair[1]) is float for pair in pairs)


def _judge_rows(guesses: list[list[tuple[float, float]]], logits: Tensor, k: int) -> list[Finding]:
    findings = []
    if any(len(guess) != k for guess in guesses):
        lengths = sorted({len(guess) for guess in guesses})
        text = f"each inner list must hold k = {k} pairs; yours hold {', '.join(map(str, lengths))}."
        few = any(len(guess) < k for guess in guesses)
        findings.append(Finding(COUNT, "too_few_guesses" if few else "k_ignored", text))
        if few:
            findings.append(Finding(CLASSES, "too_few_guesses", text))
        if k > 1 and all(len(guess) == 1 for guess in guesses):
            findings.append(Finding(ORDER, "too_few_guesses", text))
    probabilities = logits.log_softmax(dim=1).exp()
    shown = [guess[:k] for guess in guesses]
    if not all(shown):
        return findings + _all_wrong("no_guesses", "there are no guesses in the inner lists.")
    right = [
        row.argsort(descending=True).tolist()[: len(guess)] for row, guess in zip(probabilities, shown, strict=True)
    ]
    ids = [[pair[0] for pair in guess] for guess in shown]
    if any(set(mine) != set(best) for mine, best in zip(ids, right, strict=True)):
        findings.append(Finding(CLASSES, *_wrong_classes(ids, right)))
    if not all(_probable(guess, row) for guess, row in zip(shown, probabilities, strict=True)):
        findings.append(Finding(PROBABILITIES, *_wrong_probabilities(shown, logits, probabilities)))
    if not all(_falling(mine, row) for mine, row in zip(ids, probabilities, strict=True)):
        text = "the most probable class must come first, and the others after it in falling order."
        findings.append(Finding(ORDER, "wrong_order", text))
    return findings


def _known(class_id: float, row: Tensor) -> bool:
    return class_id == int(class_id) and 0 <= class_id < len(row)


def _probable(guess: list[tuple[float, float]], row: Tensor) -> bool:
    return all(_known(c, row) and abs(float(row[int(c)]) - p) <= TOLERANCE for c, p in guess)


def _falling(ids: list[float], row: Tensor) -> bool:
    if not all(_known(c, row) for c in ids):
        return False
    values = [float(row[int(c)]) for c in ids]
    return all(a >= b for a, b in pairwise(values))


def _wrong_classes(ids: list[list[float]], right: list[list[int]]) -> tuple[str, str]:
    if any(c != int(c) for mine in ids for c in mine):
        return "pairs_swapped", "the class id comes first in each pair, and its probability second."
    if all({c - 1 for c in mine} == set(best) for mine, best in zip(ids, right, strict=True)):
        return "counts_from_one", "your class ids are one too large: ids count from 0."
    return (
        "other_classes",
        "these are not the k most probable classes. Sort each image's own probabilities.",
    )


def _wrong_probabilities(
    shown: list[list[tuple[float, float]]], logits: Tensor, probabilities: Tensor
) -> tuple[str, str]:
    """Compares what stands beside the class ids with what students put there by mistake."""
    mistakes = {
        "logits_instead": (logits, "these are the logits. Turn them into probabilities first."),
        "percent": (100 * probabilities, "these are percentages. A probability lies between 0 and 1."),
        "log_probabilities": (probabilities.log(), "these are logarithms of probabilities."),
        "softmax_over_batch": (
            logits.log_softmax(dim=0).exp(),
            "your probabilities compare the images of the batch. Compare the classes of one image: dim=1.",
        ),
    }
    for name, (table, text) in mistakes.items():
        if all(_probable(guess, row) for guess, row in zip(shown, table, strict=True)):
            return name, text
    return "other_probabilities", "the number beside a class id must be that class's probability, over all classes."


def find_in_first_guess(class_id: Any, probability: Any, logits: Tensor) -> list[Finding]:
    """What is wrong with the pair `predicted_class`, `predicted_probability`.

    Args:
        class_id: The student's variable.
        probability: The student's variable.
        logits: What the network says of the photo, (1, K).
    """
    row = logits[0].double().cpu()
    probabilities = row.log_softmax(dim=0).exp()
    best = int(row.argmax())
    findings = _judge_class(class_id, probability, probabilities, best)
    findings += _judge_probability(probability, row, probabilities, best)
    if type(class_id) is not int or type(probability) is not float:
        text = "predicted_class must be an int and predicted_probability a float; `.item()` makes them from tensors."
        findings.append(Finding(PLAIN, "not_plain", text))
    return findings


def _judge_class(class_id: Any, probability: Any, probabilities: Tensor, best: int) -> list[Finding]:
    if isinstance(class_id, str):
        text = "predicted_class is the class's name. It must be its id, an int from 0 to 999."
        return [Finding(GUESSED_CLASS, "name_instead_of_id", text)]
    if class_id is None:
        return [Finding(GUESSED_CLASS, "missing_variable", "your notebook does not set `predicted_class`.")]
    given = number(class_id)
    if given is None:
        text = f"predicted_class must be one int, not an object of type {_kind(class_id)}."
        return [Finding(GUESSED_CLASS, "no_number", text)]
    if given == best:
        return []
    if number(probability) == best:
        text = "predicted_class holds the probability, and predicted_probability the class id."
        return [Finding(GUESSED_CLASS, "pair_swapped", text)]
    # A dog breed's neighbour in the list of classes is often the network's second guess: the probability decides.
    second = int(probabilities.argsort(descending=True)[1])
    beside = number(probability)
    if given == second and beside is not None and abs(beside - float(probabilities[second])) <= PHOTO_TOLERANCE:
        return [Finding(GUESSED_CLASS, "second_guess", "this is the network's second guess, not its first.")]
    if given == best + 1:
        return [Finding(GUESSED_CLASS, "counts_from_one", "your class id is one too large: ids count from 0.")]
    if given == int(probabilities.argmin()):
        return [Finding(GUESSED_CLASS, "least_probable", "this is the least probable class of all.")]
    text = "this is not what the pretrained network says of the photo. Did you ask another network, or another image?"
    return [Finding(GUESSED_CLASS, "another_class", text)]


def _judge_probability(probability: Any, row: Tensor, probabilities: Tensor, best: int) -> list[Finding]:
    given = number(probability)
    if given is None:
        text = f"predicted_probability must be one float, not an object of type {_kind(probability)}."
        return [Finding(GUESSED_PROBABILITY, "no_number", text)]
    right = float(probabilities[best])
    if abs(given - right) <= PHOTO_TOLERANCE:
        return []
    mistakes = {
        "percent": (100 * right, "this is a percentage. A probability lies between 0 and 1."),
        "logits_instead": (float(row[best]), "this is the logit. Turn the logits into probabilities first."),
        "log_probabilities": (float(probabilities[best].log()), "this is the logarithm of the probability."),
        "remaining_probability": (1 - right, "this is the probability of all other classes together."),
    }
    for name, (wrong, text) in mistakes.items():
        if abs(given - wrong) <= PHOTO_TOLERANCE * max(1.0, abs(wrong)):
            return [Finding(GUESSED_PROBABILITY, name, text)]
    text = "this is not the probability that the pretrained network gives to its first guess."
    return [Finding(GUESSED_PROBABILITY, "other_probability", text)]
