"""Runs answers of problem 4 on the photo as their notebook does, and measures how safe their success is.

An attack's direction is a rounded sum of many numbers, and an attack is chaotic: where two objectives are nearly equal,
another processor takes another way. So a right answer must succeed with something to spare, and this says how much.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autograder.answers.bank import Answer, answers_for, reference
from pset4.checks.judging.photos import ROBUST_EPS, STANDARD_EPS, TARANTULA, TIGER_CAT, judging_network, judging_photo
from pset4.figures.paths import TracedStep, class_probabilities
from pset4.files.assets import AssetUnavailableError
from pset4.images import load_photo, round_to_8_bits
from pset4.networks.imagenet import class_name
from pset4.networks.network import Network, NetworkName
from pset4.settings import load_settings
from pset4.steps import L2Step

Namespace = dict[str, Any]
FIRST_CELL = "import torch\nimport torch.nn.functional as F\nfrom torch import Tensor\n"
PHOTOS = {
    "p4a_attack": "adversarial_tarantula",
    "p4b_tiger_cat": "adversarial_tiger_cat",
    "p4e_robust": "robust_example",
}
"""The variable that holds each exercise's attacked photo."""
STEP_SIZES: dict[NetworkName, float] = {"standard": 0.5, "robust": 2.0}
"""Of the steps that the notebook gives."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keeps what an answer prints and warns of to itself."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


class Walk:
    """Makes attack steps that keep every image which they return, in one list.

    Attributes:
        steps: The traced steps so far.
    """

    def __init__(self) -> None:
        """Starts with no step."""
        self.steps: list[TracedStep] = []

    def step(self, original: Tensor, step_size: float, eps: float) -> TracedStep:
        """Stands for `L2Step` in a notebook."""
        self.steps.append(TracedStep(L2Step(original, step_size, eps)))
        return self.steps[-1]

    def images(self) -> list[Tensor]:
        """All images in the order of the steps, which an answer takes one after the other."""
        return [image for step in self.steps for image in step.images]


def given_cells(
    exercise: str, *, photo: Tensor | None = None, walk: Walk | None = None, device: str = "cpu"
) -> Namespace:
    """What stands in the notebook before an answer, with the settings that grading uses.

    Args:
        exercise: Its id in the contract.
        photo: Another photo than the course's own.
        walk: Records the steps of the answer.
        device: Where photo and networks are.
    """
    namespace: Namespace = {"__name__": "__main__", "round_to_8_bits": round_to_8_bits}
    exec(FIRST_CELL, namespace)
    corgi = (judging_photo() if photo is None else photo).to(device, copy=True)
    step = L2Step if walk is None else walk.step
    namespace |= {
        "L2Step": step,
        "corgi": corgi,
        "standard": judging_network("standard", device),
        "N_ITER": load_settings().n_iter_while_grading,
        "standard_step": step(corgi, step_size=STEP_SIZES["standard"], eps=STANDARD_EPS),
    }
    if exercise in {"p4b_tiger_cat", "p4e_robust"}:
        exec(reference("p4a_attack").source, namespace)
    if exercise == "p4e_robust":
        robust = judging_network("robust", device)
        namespace |= {
            "robust": robust,
            "robust_target": robust.nearest_known(TIGER_CAT),
            "robust_step": step(corgi, step_size=STEP_SIZES["robust"], eps=ROBUST_EPS),
        }
    return namespace


def run_cells(answer: Answer, namespace: Namespace) -> Namespace:
    """Runs an answer's cells in a namespace, and returns it."""
    with quietly():
        for cell in answer.cells:
            exec(compile(cell, "cell", "exec"), namespace)
    return namespace


@dataclass(frozen=True)
class Margin:
    """How safe an attack's success is.

    A gap is the logarithm of the target's probability over that of the most probable other class, after rounding to
    8 bits; where it is not above 0, there is no success.

    Attributes:
        probability: Of the target, in the returned image after rounding to 8 bits.
        gap: Of the returned image.
        lowest_gap: Over the last quarter of the way: where the steps jump about, another machine may end there.
        kept_from: The step from which on every image on the way is a success; None if the last one is none.
        steps: How many steps there were.
    """

    probability: float
    gap: float
    lowest_gap: float
    kept_from: int | None
    steps: int


def measure(image: Tensor, network: Network, target: int, way: list[Tensor]) -> Margin:
    """Measures what came of an attack.

    Args:
        image: What it returned, (1, 3, H, W).
        network: The network that it attacked.
        target: The class that it aimed at.
        way: The image after each step, (1, 3, H, W).
    """
    returned, *gaps = _gaps(network, torch.cat([image, *way]), target)
    failed = [step for step, gap in enumerate(gaps, start=1) if gap <= 0]
    kept = failed[-1] + 1 if failed else 1
    return Margin(
        probability=float(class_probabilities(network, round_to_8_bits(image))[0, target]),
        gap=returned,
        lowest_gap=min([returned, *gaps[len(gaps) * 3 // 4 :]]),
        kept_from=kept if kept <= len(way) else None,
        steps=len(way),
    )


def _gaps(network: Network, images: Tensor, target: int) -> list[float]:
    probabilities = class_probabilities(network, round_to_8_bits(images))  # (T, K)
    others = probabilities.clone()
    others[:, target] = 0
    gaps: list[float] = (probabilities[:, target] / others.amax(dim=1)).log().tolist()
    return gaps


@dataclass(frozen=True)
class PhotoAttack:
    """A right answer's attack on the photo.

    Attributes:
        answer: The answer; one to `p4a_attack` can be aimed anywhere, others aim where they say.
        network: The network that is attacked.
        target: Class id.
    """

    answer: Answer
    network: NetworkName
    target: int

    def __str__(self) -> str:
        """Exercise, answer, network and class."""
        return f"{self.answer.exercise}: {self.answer.name}, {self.network}, {class_name(self.target)}"

    def run(self, photo: Tensor, start: Tensor) -> Margin:
        """Attacks a photo.

        Args:
            photo: The centre of the budget, (1, 3, H, W).
            start: What the notebook has under the name `corgi`.
        """
        walk = Walk()
        namespace = given_cells(self.answer.exercise, photo=photo, walk=walk) | {"corgi": start.clone()}
        network = judging_network(self.network)
        if self.answer.exercise == "p4a_attack":
            image = self._call(namespace, network, walk)
        else:
            image = run_cells(self.answer, namespace)[PHOTOS[self.answer.exercise]]
        return measure(image.detach(), network, self.target, walk.images())

    def _call(self, namespace: Namespace, network: Network, walk: Walk) -> Tensor:
        """Calls the answer's function, without the cell that attacks the photo as a tarantula."""
        run_cells(dataclasses.replace(self.answer, further=()), namespace)
        original = namespace["standard_step"].original
        size, eps = STEP_SIZES[self.network], STANDARD_EPS if self.network == "standard" else ROBUST_EPS
        attack = namespace["generate_adversarial_example"]
        with quietly():
            return torch.as_tensor(
                attack(network, namespace["corgi"], self.target, walk.step(original, size, eps), namespace["N_ITER"])
            )


def photo_attacks() -> list[PhotoAttack]:
    """Every attack of a right answer that a verdict may depend on, and p4a's on each network and target."""
    robust_target = judging_network("robust").nearest_known(TIGER_CAT)
    aims: dict[str, list[tuple[NetworkName, int]]] = {
        "p4a_attack": [("standard", TARANTULA), ("standard", TIGER_CAT), ("robust", robust_target)],
        "p4b_tiger_cat": [("standard", TIGER_CAT)],
        "p4e_robust": [("robust", robust_target)],
    }
    return [
        PhotoAttack(answer, network, target)
        for exercise, where in aims.items()
        for answer in answers_for(exercise)
        if answer.right
        for network, target in where
    ]


def perturbed(photo: Tensor, seed: int, size: float = 1e-6) -> Tensor:
    """The photo, each pixel moved by about `size`; seed 0 is the photo itself."""
    if seed == 0:
        return photo.clone()
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(seed))
    return (photo + size * noise).clamp(0, 1)


def photos() -> dict[str, Tensor]:
    """The corgi where it can be had, and the photo that takes its place where it cannot; each (1, 3, 224, 224)."""
    package = find_spec("foolbox")
    assert package is not None and package.origin is not None, (
        "foolbox carries the substitute: pip install -e '.[embedded]'"
    )
    found = {"bull mastiff": load_photo(Path(package.origin).parent / "data" / "imagenet_00_243.jpg", "cpu")}
    with contextlib.suppress(AssetUnavailableError):
        found["corgi"] = load_photo("corgi", "cpu")
    return found
