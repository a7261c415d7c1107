"""The explorer of problem 2: what a network sees in a photo, also one of your own, and in what is made of it."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pset4.explore.explorer import Answer, Control, Explorer, State, show
from pset4.explore.pictures import as_webp, from_page, rows
from pset4.figures.cards import Seen, draw_card
from pset4.figures.charts import draw_top5
from pset4.images import round_to_8_bits
from pset4.networks.imagenet import class_name

TopPredictions = Callable[..., Any]
ZOOMS = [1.0, 1.25, 1.5, 1.75, 2.0]
WHOLE: State = {"photo": "", "upload": "", "zoom": 1, "centre": [0.5, 0.5], "mirrored": False, "grey": False, "card": 0}
SIDE = 200
"""Pixels of a photo in the page."""


def classification(
    top_predictions: TopPredictions,
    model: Callable[[Tensor], Tensor],
    image: Tensor | Mapping[str, Tensor],
    *,
    card: str | Path = "my_card.png",
) -> None:
    """Shows what a network sees in a photo while you choose or upload it, cut it, mirror it, and take its colours.

    A button saves a card with the photo before and after, beside the notebook.

    Args:
        top_predictions: Your function: (model, x) -> a list with one list of five pairs (class_id, probability).
        model: Images (B, 3, H, W) in [0, 1] -> logits (B, K).
        image: A photo (1, 3, H, W), H equal to W, or several by their names.
        card: Where the card goes.
    """
    photos = {"the photo": image} if isinstance(image, Tensor) else dict(image)
    session = _Session(top_predictions, model, photos, Path(card))
    start = {**WHOLE, "photo": next(iter(photos))}
    controls = [
        Control("photo", "choice", "photo", options=list(photos)),
        Control("upload", "file", "or your own", side=next(iter(photos.values())).shape[-1]),
        Control("zoom", "slider", "zoom", min=ZOOMS[0], max=ZOOMS[-1], step=0.25, framed=True),
        Control("centre", "values", "what is cut out", step=0.02),
        Control("mirrored", "switch", "mirrored", framed=True),
        Control("grey", "switch", "grey", framed=True),
        Control("card", "button", "Save a card: before and after"),
    ]
    explorer = Explorer(
        "photo",
        "What does the network see? Cut, mirror and grey a photo, also one of your own",
        controls,
        start,
        session.answer,
        lambda: session.still(start),
        frames=[
            {**start, "zoom": zoom, "mirrored": mirrored, "grey": grey}
            for zoom, mirrored, grey in itertools.product(ZOOMS, (False, True), (False, True))
        ],
        constants={"photos": {name: as_webp(photo, side=SIDE) for name, photo in photos.items()}},
    )
    show(explorer, function="explore.classification")


def changed(photo: Tensor, state: State) -> Tensor:
    """The photo as the controls ask for it: cut out and enlarged, mirrored, grey.

    Args:
        photo: (1, 3, H, W), H equal to W.
        state: "zoom" (at least 1), "centre" (two numbers in [0, 1], the second one counted from below), "mirrored" and
            "grey".

    Returns:
        (1, 3, H, W), multiples of 1/255.
    """
    side = photo.shape[-1]
    height = round(side / max(float(state["zoom"]), 1.0))
    right, up = state["centre"]
    left, top = (min(max(round(at * side - height / 2), 0), side - height) for at in (right, 1 - up))
    part = photo[..., top : top + height, left : left + height]
    if height < side:
        part = torch.nn.functional.interpolate(part, size=(side, side), mode="bilinear", antialias=True)
    if state["mirrored"]:
        part = part.flip(-1)
    if state["grey"]:
        part = part.mean(dim=1, keepdim=True).expand_as(part)
    return round_to_8_bits(part)


class _Session:
    """What one explorer holds: the student's function, the network, the photos, and whether a card was asked for."""

    def __init__(
        self,
        top_predictions: TopPredictions,
        model: Callable[[Tensor], Tensor],
        photos: Mapping[str, Tensor],
        card: Path,
    ) -> None:
        self._function, self._model, self._photos, self._card = top_predictions, model, photos, card
        self._saved = 0  # how often the button had been pressed when the last card was saved

    def answer(self, state: State) -> Answer:
        photo = self._photo(state)
        image = changed(photo, state)
        guesses = self._guesses(image)
        best, probability = guesses[0]
        answer: Answer = {
            "picture": as_webp(image, side=SIDE),
            "top": rows(guesses),
            "words": f"The network's first guess: {class_name(best)}, {probability:.3f}.",
        }
        if state["card"] not in (0, self._saved):
            self._saved = state["card"]
            answer |= self._save(photo, Seen(_in_words(state), image, guesses))
        return answer

    def still(self, state: State) -> Figure:
        image = self._photo(state)
        return draw_top5(self._guesses(image), title="What the network sees", image=image)

    def _photo(self, state: State) -> Tensor:
        given = self._photos[state["photo"]]
        return from_page(state["upload"], side=given.shape[-1]).to(given.device) if state["upload"] else given

    def _guesses(self, image: Tensor) -> list[tuple[int, float]]:
        returned = self._function(self._model, image.clone())
        try:
            [pairs] = returned
            guesses = [(int(class_id), float(probability)) for class_id, probability in pairs]
        except (TypeError, ValueError):
            guesses = []
        if not guesses or not all(0 <= probability <= 1 for _, probability in guesses):
            raise ValueError(
                "`top_predictions` was given one image and must return a list with one list of pairs "
                f"(class_id, probability), not {str(returned)[:80]}"
            )
        return guesses[:5]

    def _save(self, photo: Tensor, after: Seen) -> Answer:
        figure, buffer = draw_card(Seen("before", photo, self._guesses(photo)), after), io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        try:
            self._card.write_bytes(buffer.getvalue())
            words = f"The card is saved as {self._card.resolve()}."
        except OSError as error:
            words = f"The card is not saved ({error}), but you can download it."
        url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        return {"card": url, "file": self._card.name, "words": words}


def _in_words(state: State) -> str:
    changes = [name for name in ("mirrored", "grey") if state[name]]
    if state["zoom"] > 1:
        changes.insert(0, f"cut out, enlarged {state['zoom']:g} times")
    return f"after: {', '.join(changes) or 'unchanged'}"
