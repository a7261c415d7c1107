"""The explorer of problem 4 that goes through attacks step by step, on several networks at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from pset4.explore.explorer import Answer, Control, Explorer, State, show
from pset4.explore.pictures import as_webp, five_best, rows
from pset4.figures.networks import draw_attacked_networks
from pset4.figures.paths import Attack, Path, class_probabilities, follow
from pset4.figures.photos import magnified_difference
from pset4.figures.progress import Bar
from pset4.images import round_to_8_bits
from pset4.networks.imagenet import class_name
from pset4.settings import is_grading
from pset4.steps import L2Step

Networks = Mapping[str, Callable[[Tensor], Tensor]]
SIDE = 120
"""Pixels of an image in the page."""


def attack(
    generate_adversarial_example: Attack,
    networks: Networks,
    image: Tensor,
    target: int,
    *,
    budgets: Sequence[float] = (3, 10, 30),
    steps: Sequence[int] = (0, 1, 2, 4, 8, 16),
) -> None:
    """Goes through attacks on several networks, step by step and budget by budget, while you drag.

    Each attack runs once, with a step of 2.5 eps divided by the number of steps, so that it can cross its ball. What
    the networks say of an image is what they say of it once it is rounded to 8 bits.

    Args:
        generate_adversarial_example: Your function: (model_fn, x, class_id, step, n_iter) -> images.
        networks: Name -> images (B, 3, H, W) in [0, 1] to logits (B, K).
        image: The photo (1, 3, H, W).
        target: The class to aim at.
        budgets: Values of eps to choose from, rising.
        steps: Steps to choose from, rising from 0; the last one is the number of steps of each attack.
    """
    # The still, all that is kept while grading, shows the smallest budget.
    run = _run(generate_adversarial_example, networks, image, target, budgets[:1] if is_grading() else budgets, steps)
    start = {"step": len(steps) - 1, "eps": 0}
    controls = [
        Control("step", "slider", "step", max=len(steps) - 1, texts=[str(step) for step in steps], framed=True),
        Control("eps", "slider", "eps", max=len(budgets) - 1, texts=[f"{eps:g}" for eps in budgets], framed=True),
    ]
    explorer = Explorer(
        "attack",
        f"Attacks on {len(networks)} networks, aimed at “{class_name(target)}”: drag the step and the budget",
        controls,
        start,
        run.answer,
        run.still,
        frames=[{"step": s, "eps": e} for e, s in itertools.product(range(len(budgets)), range(len(steps)))],
        constants={"names": list(networks), "target": class_name(target), "pictures": run.pictures, "side": SIDE},
    )
    show(explorer, function="explore.attack")


@dataclass(frozen=True)
class _Image:
    """One image on the way of an attack, as the page shows it; pictures are named by their places in a list."""

    picture: int
    difference: int
    factor: float  # magnification of the difference
    l2: float
    probabilities: Mapping[str, Tensor]  # of each network, (K,)


@dataclass(frozen=True)
class _Run:
    """All attacks, computed once.

    Attributes:
        ways: Budget -> name of the attacked network -> its image at each step to choose from.
        pictures: Data URLs.
        paths: Budget -> name of the attacked network -> the whole path.
    """

    target: int
    steps: Sequence[int]
    ways: Mapping[float, Mapping[str, Sequence[_Image]]]
    pictures: Sequence[str]
    paths: Mapping[float, Mapping[str, Path]]

    def answer(self, state: State) -> Answer:
        """What the page shows at a step and a budget."""
        eps, step = list(self.ways)[int(state["eps"])], int(state["step"])
        here = {name: images[step] for name, images in self.ways[eps].items()}
        return {
            "columns": [self._column(name, image) for name, image in here.items()],
            "eps": eps,
            "words": _words(self.steps[step], eps, here, self.target),
        }

    def _column(self, name: str, image: _Image) -> dict[str, Any]:
        return {
            "picture": image.picture,
            "difference": image.difference,
            "factor": image.factor,
            "l2": round(image.l2, 3),
            "top": rows(five_best(image.probabilities[name]), self.target),
            "others": [
                [round(float(row[self.target]), 4), int(row.argmax()) == self.target]
                for row in image.probabilities.values()
            ],
        }

    def still(self) -> Figure:
        """The last images within the smallest budget."""
        eps, paths = next(iter(self.paths.items()))
        images = {name: path.images[-1:] for name, path in paths.items()}
        probabilities = {name: path.probabilities[-1] for name, path in paths.items()}
        original = next(iter(paths.values())).images[:1]
        return draw_attacked_networks(original, images, probabilities, target=self.target, eps=eps)


def _words(step: int, eps: float, here: Mapping[str, _Image], target: int) -> str:
    judged = [
        (made, by)
        for made, image in here.items()
        for by, row in image.probabilities.items()
        if int(row.argmax()) == target
    ]
    fooled = [made for made, by in judged if made == by]
    passed_on = [f"the image made against {made} fools {by}, too" for made, by in judged if made != by]
    own = f"fools its own network: {', '.join(fooled)}" if fooled else "fools no network"
    return f"Step {step}, eps = {eps:g}: the attack {own}; {'; '.join(passed_on) or 'no image fools another network'}."


def _run(
    function: Attack, networks: Networks, image: Tensor, target: int, budgets: Sequence[float], steps: Sequence[int]
) -> _Run:
    n_iter = steps[-1]
    plan = [(eps, name) for eps in budgets for name in networks]
    paths: dict[float, dict[str, Path]] = {eps: {} for eps in budgets}
    for eps, name in (bar := Bar(plan, desc="attacks ")):
        bar.set_postfix_str(f"{name}, eps {eps:g}", refresh=False)
        step = L2Step(image, step_size=2.5 * eps / n_iter, eps=eps)
        # A `partial` has no bar of its own, which would stand below this one.
        paths[eps][name] = follow(function, partial(networks[name]), image, target, step, n_iter=n_iter)
    pictures: list[str] = []
    return _Run(
        target,
        steps,
        {
            eps: {name: _shown(path, networks, steps, pictures) for name, path in ways.items()}
            for eps, ways in paths.items()
        },
        pictures,
        paths,
    )


def _shown(path: Path, networks: Networks, steps: Sequence[int], pictures: list[str]) -> list[_Image]:
    """The images at the steps to choose from; of a path that ended early, the last one again."""
    # One magnification for all steps of an attack, so that they can be compared.
    _, factor = magnified_difference(path.images[0], path.images[-1])
    places = [min(step, len(path.images) - 1) for step in steps]
    images = path.images[places]
    judged = {name: class_probabilities(model, round_to_8_bits(images)) for name, model in networks.items()}
    shown = []
    for row, image in enumerate(images):
        difference, _ = magnified_difference(path.images[0], image, factor)
        urls = as_webp(image, side=SIDE, quality=50), as_webp(difference, side=SIDE, quality=32)
        picture, magnified = (_place(url, pictures) for url in urls)
        probabilities = {name: rows_of[row] for name, rows_of in judged.items()}
        shown.append(_Image(picture, magnified, factor, float(path.l2[places[row]]), probabilities))
    return shown


def _place(picture: str, pictures: list[str]) -> int:
    """Where a picture stands in the list, to whose end it goes if it is new."""
    if picture not in pictures:
        pictures.append(picture)
    return pictures.index(picture)
