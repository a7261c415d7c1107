"""What `explore.classification` answers: the photo that was asked for, the student's five best, and a card to keep."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from pset4 import explore
from pset4.explore.explorer import Explorer, reply
from pset4.explore.photo import WHOLE, changed
from pset4.explore.pictures import from_page
from pset4.figures.cards import Seen, draw_card
from pset4.figures.display import NoFigure
from tests.helpers.explorers import built, displayed

PHOTO = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def brightness(images: Tensor) -> Tensor:
    left, right = images[..., :8].sum(dim=(1, 2, 3)), images[..., 8:].sum(dim=(1, 2, 3))
    return torch.stack([left, right, *[torch.zeros_like(left)] * 4], dim=1)


def top_predictions(model: Any, x: Tensor, k: int = 5) -> list[list[tuple[int, float]]]:
    best = model(x).softmax(dim=1).topk(k, dim=1)
    return [
        list(zip(ids, values, strict=True))
        for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def still_open(model: Any, x: Tensor, k: int = 5) -> list[list[tuple[int, float]]]:
    raise NotImplementedError("exercise p2b_top_predictions is still open")


def state(**changes: Any) -> dict[str, Any]:
    return {**WHOLE, "photo": "the photo", **changes}


def as_url(picture: Image.Image, form: str = "png") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=form)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.fixture
def explorer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Explorer:
    monkeypatch.chdir(tmp_path)
    return built(monkeypatch, lambda: explore.classification(top_predictions, brightness, PHOTO))


def test_mirroring_exchanges_what_the_network_sees_left_and_right(explorer: Explorer) -> None:
    before = reply(explorer, state())["answer"]["top"]
    after = reply(explorer, state(mirrored=True))["answer"]["top"]
    assert {before[0][0], after[0][0]} == {"tench (0)", "goldfish (1)"}
    assert before[0][1] == pytest.approx(after[0][1], abs=1e-3)


def test_what_is_cut_out_stays_inside_the_photo() -> None:
    corner = changed(PHOTO, state(zoom=2, centre=[0, 1]))
    assert corner.shape == PHOTO.shape
    assert corner.mean() == pytest.approx(float(PHOTO[..., :8, :8].mean()), abs=0.02)


def test_grey_has_three_equal_colours() -> None:
    red, green, blue = changed(PHOTO, state(grey=True))[0]
    assert torch.equal(red, green)
    assert torch.equal(green, blue)


def test_an_uploaded_photo_takes_the_place_of_the_given_one(explorer: Explorer) -> None:
    half = Image.new("RGB", (16, 16), "black")
    half.paste("white", (8, 0, 16, 16))
    answer = reply(explorer, state(upload=as_url(half)))["answer"]
    assert list(answer["top"][0]) == ["goldfish (1)", 1.0, False]


def test_what_is_transparent_becomes_white() -> None:
    assert from_page(as_url(Image.new("RGBA", (4, 4), (0, 0, 0, 0))), side=4).min() == 1


@pytest.mark.parametrize(
    "url",
    [
        as_url(Image.new("RGB", (4, 4)), "jpeg"),
        "data:image/png;base64,AAAA",
        as_url(Image.new("1", (2000, 2000))),
        "data:image/png;base64," + "A" * 4_000_001,
    ],
    ids=["JPEG", "no image", "too many pixels", "too long"],
)
def test_what_is_no_square_png_of_the_page_is_refused_in_a_sentence(explorer: Explorer, url: str) -> None:
    assert reply(explorer, state(upload=url))["error"].startswith("Nothing to show here")


def test_a_card_is_saved_once_for_each_press(explorer: Explorer, tmp_path: Path) -> None:
    saved = tmp_path / "my_card.png"
    assert "card" not in reply(explorer, state())["answer"]
    pressed = reply(explorer, state(card=1, grey=True))["answer"]
    assert str(saved) in pressed["words"]
    assert Image.open(saved).format == "PNG"
    assert base64.b64decode(pressed["card"].split(",")[1]) == saved.read_bytes()
    saved.unlink()
    assert "card" not in reply(explorer, state(card=1))["answer"]
    assert not saved.exists()


def test_a_card_that_cannot_be_saved_can_still_be_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "card.png"
    asked = built(monkeypatch, lambda: explore.classification(top_predictions, brightness, PHOTO, card=nowhere))
    answer = reply(asked, state(card=1))["answer"]
    assert "not saved" in answer["words"]
    assert answer["card"].startswith("data:image/png")


def test_the_card_says_what_stands_on_it() -> None:
    label = draw_card(Seen("before", PHOTO, [(0, 0.75)]), Seen("after: grey", PHOTO, [(1, 0.5)])).get_label()
    assert "before: tench 0.750; after: grey: goldfish 0.500" in label


@pytest.mark.parametrize("returned", [None, [], [[]], [[(0, 0.5)], [(1, 0.5)]], [[0, 1]], [[(0, 7.5)]]])
def test_a_result_of_another_form_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, returned: Any) -> None:
    with pytest.raises(NoFigure, match="a list with one list of pairs"):
        explore.classification(lambda model, x: returned, brightness, PHOTO)


def test_an_open_exercise_passes_through() -> None:
    with pytest.raises(NotImplementedError, match="still open"):
        explore.classification(still_open, brightness, PHOTO)


def test_cut_and_switches_move_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = {"one": PHOTO, "two": 1 - PHOTO}
    output = displayed(monkeypatch, lambda: explore.classification(top_predictions, brightness, photos))
    data = output["data"]
    assert len(data["frames"]) == 20
    assert {control["name"] for control in data["controls"] if control["framed"]} == {"zoom", "mirrored", "grey"}
    assert set(data["constants"]["photos"]) == {"one", "two"}
