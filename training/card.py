"""The model card: what the weights are, how they were made, and every measured figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pset4.networks.imagenet import class_name
from pset4.networks.small_resnet import ANIMAL_CLASSES, SIDE

Table = dict[str, Any]

TEMPLATE = """\
# Two small networks for 57 animals

`robust_animals57.safetensors` is trained against an L2 adversary; `standard_animals57.safetensors`, its twin, without
one. They show offline, in seconds and on a CPU, what problem 4 is about: an attack on the robust network changes an
image visibly and meaningfully, the same attack on the twin does not.

{commands}

## The networks

A pre-activation ResNet (`pset4/networks/small_resnet.py`): 4 x 4 stem of stride 2, four stages of 32, 64, 128 and 256
channels with 1, 2, 2 and 2 blocks, SiLU, batch normalisation, 2.8 million parameters. Pixels in [0, 1] of any size go
in, are resized to {side} x {side} and normalised inside, and 57 logits come out. Weights are stored in half precision
(the statistics of the normalisations in single precision) and computed in single precision.

The 57 ImageNet classes: {classes}.

## Data

The 57 animal classes of Tiny ImageNet-200 (Stanford CS231n; ImageNet photos at 64 x 64, research use): 500 training and
50 validation photos a class. No validation photo is used in training. No other data and no pretrained weights.

## Recipe

{recipes}

The adversary is one long gradient step from a random start (step 1.25 eps; Wong et al., 2020) on the cross-entropy,
in L2. The first epochs run on small images and without the adversary, whose budget then grows. At a smaller size the
budget shrinks with the side. Augmentation: mirror images and crops from 6 pixels of reflection. The shipped weights are
the running mean; the statistics of its normalisations are measured anew on 2,048 training photos. How long a
run takes stands in `benchmarks/training.md`.

## Measured
{weights}

Budgets are L2 norms in pixels of [0, 1] at 64 x 64. PGD: 50 steps of eps / 20, {restarts} restarts; a photo counts as
robust if no point on any path is misclassified.

{accuracy}

{autoattack}

## Is the change meaningful?

{meaning}

{sheet}

## Time

{time}

## Limits

The networks know 57 animals and nothing else, at {side} x {side} pixels. They were trained on a CPU in the time that a
course's laptop has, and are far from what large robust networks reach. Photos show the biases of ImageNet. They
serve to teach; no decision should rest on them.
"""

COMMANDS = """\
Every figure below is reproduced from the shipped weights by one command, where the training code is: in the course's
own repository (the photos are downloaded, or given with `--data`):

    pip install 'pset4[embedded,training]'
    python -m training evaluate

The networks are trained by

    python -m training train --adversary l2 --output runs/robust
    python -m training export runs/robust data/robust_animals57.safetensors
    python -m training train --adversary none --output runs/standard
    python -m training export runs/standard data/standard_animals57.safetensors"""


def write_card(results: Table, path: Path) -> None:
    """Writes the model card from the results of `evaluate`.

    What has not been measured is said to be so.
    """
    recipes: dict[str, Table] = results["recipes"]
    text = TEMPLATE.format(
        commands=COMMANDS,
        side=SIDE,
        classes=", ".join(f"{class_name(index)} ({index})" for index in ANIMAL_CLASSES),
        recipes="\n".join(f"- {name}: {describe_recipe(recipe)}" for name, recipe in recipes.items()),
        weights="\n".join(f"\nSHA-256 of the {name} network: `{value}`." for name, value in results["weights"].items()),
        restarts=results.get("pgd", {}).get("robust", {}).get("restarts", 3),
        accuracy=accuracy_text(results.get("clean", {}), results.get("pgd", {})),
        autoattack=autoattack_text(results.get("autoattack", {})),
        meaning=meaning_text(results.get("meaning", {})),
        sheet=sheet_text(results.get("sheet", {})),
        time=time_text(results.get("time", {})),
    )
    path.write_text(text, encoding="utf-8")


def describe_recipe(recipe: Table) -> str:
    """The settings of a run in one paragraph."""
    sides = ", ".join(f"{side} from epoch {epoch:g}" for epoch, side in recipe["sides"])
    rate = ", ".join(f"{value:g} at epoch {epoch:g}" for epoch, value in recipe["rate"])
    (first, _), (last, _) = recipe["budget"][0], recipe["budget"][-1]
    budget = f"eps {recipe['eps']:g}, linear from 0 at epoch {first:g} to full at epoch {last:g}"
    return (
        f"{round(recipe['rate'][-1][0])} epochs, seed {recipe['seed']}, batches of {recipe['batch_size']}; "
        f"adversary: {budget if recipe['eps'] else 'none'}; side of the images: {sides}; "
        f"Muon (relative rate {recipe['muon_lr']:g}, momentum 0.9) for the convolutions of the stages and SGD (rate "
        f"{recipe['sgd_lr']:g}, Nesterov momentum 0.9, weight decay {recipe['weight_decay']:g}) for the rest, with the "
        f"factor {rate}; label smoothing {recipe['label_smoothing']:g}; running mean of the weights with decay "
        f"{recipe['ema_decay']:g}."
    )


def _table(heads: list[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def accuracy_text(clean: Table, pgd: Table) -> str:
    """Clean and robust accuracy of both networks, in per cent."""
    if not clean:
        return "Accuracy has not been measured yet."
    rows = [(name, n["photos"], _percent(n["right"], n["photos"])) for name, n in clean.items()]
    text = _table(["network", "photos, without attack", "accuracy"], rows) + "\n\n"
    if not pgd:
        return text + "Accuracy under PGD has not been measured yet."
    heads = ["without attack" if budget == "0.0" else f"PGD, eps {budget}" for budget in pgd["robust"]["standing"]]
    attacked = [
        (name, n["photos"], *(_percent(count, n["photos"]) for count in n["standing"].values()))
        for name, n in pgd.items()
    ]
    return text + _table(["network", "photos, attacked", *heads], attacked)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def autoattack_text(autoattack: Table) -> str:
    """Robust accuracy after each component."""
    if not autoattack:
        return "AutoAttack has not been run yet."
    photos = autoattack["photos"]
    shares = [f"{_percent(count, photos)} after {name}" for name, count in autoattack["standing"].items()]
    text = f"AutoAttack, L2, eps {autoattack['eps']:g}, on {photos} seeded validation photos, robust network: "
    text += ", ".join(shares).replace("after clean", "clean") + "."
    if "square" not in autoattack["standing"]:
        text += " The components that are not named were not run to the end."
    return text


def meaning_text(meaning: Table) -> str:
    """The judgement of the independent network."""
    if not meaning:
        return "This has not been measured yet."
    rows = [
        (name, f"{n['mean']:.2f}", f"{n['spread']:.2f}", f"{100 * n['called_the_target']:.0f} %")
        for name, n in (("robust", meaning["robust"]), ("standard", meaning["standard"]))
    ]
    heads = ["images that attack", "mean gain", "standard deviation", "target is the most probable animal"]
    difference = meaning["difference"]
    return (
        f"{meaning['photos']} validation photos, {meaning['targets']} random target classes each, {meaning['steps']} "
        f"steps, eps {meaning['eps']:.2f} (30 at 224 x 224); both perturbations of a pair are given the same "
        f"norm, {meaning['norm']:.2f} on average. Gain in the target's log-probability (nats) under "
        f"EfficientNet-Lite0, which is independent of both networks:\n\n{_table(heads, rows)}\n\n"
        f"Paired difference: {difference['mean']:.2f}, standard deviation {difference['spread']:.2f}; the robust "
        f"network's image gains more in {100 * meaning['robust_gains_more']:.0f} % of the pairs; sign-flip test over "
        f"the photos: p {_p_value(meaning['p_value'])}."
    )


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.4f}"


def sheet_text(sheet: Table) -> str:
    """The contact sheet, with a description for readers who do not see it."""
    if not sheet:
        return ""
    return (
        "![Two rows of four pictures: a dog, then the same photo attacked towards tabby, tarantula and king penguin. "
        "Upper row, standard twin; lower row, robust network.](contact_sheet.png)\n\n"
        "eps 30 at 224 x 224, 200 steps; upper row the standard twin, lower row the robust network; below each "
        "picture the target and its probability under the attacked network."
    )


def time_text(timing: Table) -> str:
    """Seconds of one attack."""
    if not timing:
        return "This has not been measured yet."
    return (
        f"One attack of 200 steps on one photo of 224 x 224: {timing['seconds']:.1f} s "
        f"({timing['device']}, {timing['threads']} threads, {timing['processor_seconds']:.1f} s of processor time)."
    )
