"""Figures: what stands on them, what they refuse, and that they fit into a notebook."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from IPython.display import Image as DisplayedImage
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from torch import Tensor, nn

from pset4.figures import charts
from pset4.figures import photos as figures
from pset4.figures.display import encoded
from pset4.figures.paths import Path, class_probabilities, follow
from pset4.images import round_to_8_bits
from pset4.networks.imagenet import class_name
from pset4.steps import L2Step

PEMBROKE, TARANTULA, TIGER_CAT = 263, 76, 282
WIDEST_PIXELS = 900


class ByColour(nn.Module):
    """A network of 1000 classes: red speaks for the Pembroke, green for the tarantula, blue for the tiger cat."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3))  # (B, 3)
        logits = x.new_zeros(len(x), 1000)
        return logits.index_add(1, torch.tensor([PEMBROKE, TARANTULA, TIGER_CAT]), 20 * mean)


def image(red: float, green: float, blue: float, side: int = 16) -> Tensor:
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1).expand(1, 3, side, side).clone()


def towards(model_fn: nn.Module, x: Tensor, class_id: int, step: L2Step, n_iter: int) -> Tensor:
    """An attack for these tests: it raises one colour channel."""
    direction = torch.zeros_like(x)
    direction[:, {PEMBROKE: 0, TARANTULA: 1, TIGER_CAT: 2}[class_id]] = 1
    for _ in range(n_iter):
        x = step.step(x, direction)
    return x


def texts(figure: Figure) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_text().strip()]


def rendered(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return Image.open(buffer)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[DisplayedImage]:
    """What a notebook would have displayed."""
    displayed: list[DisplayedImage] = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    return displayed


RED = image(0.8, 0.5, 0.3)
GREENER = image(0.8, 0.9, 0.3)
STEP = L2Step(RED, step_size=1, eps=20)
PATHS = [follow(towards, ByColour(), RED, target, STEP, n_iter=12) for target in (TARANTULA, TIGER_CAT)]
LAYERS = [figures.LayerResult(layer, GREENER, before=2.0, after=3.0 + layer) for layer in range(3)]
EVERY_FIGURE = {
    "top five": lambda: charts.draw_top5(class_probabilities(ByColour(), RED), title="t", target=TARANTULA),
    "top five and image": lambda: charts.draw_top5([(669, 0.9), (638, 1e-7)], title="t" * 60, image=RED),
    "attack": lambda: figures.draw_attack(RED, GREENER, title="t" * 80),
    "one image": lambda: figures.draw_row([RED], ["red"]),
    "row": lambda: figures.draw_row([RED, GREENER] * 3, ["two\nlines"] * 6, original=RED, title="t"),
    "sweep": lambda: charts.draw_sweep(
        [0.25, 1, 4], {"standard": [0, 0.5, 1], "robust": [0, 0, 0.2], "twin": [0, 1, 1]}, target=TIGER_CAT
    ),
    "paths": lambda: charts.draw_paths(PATHS),
    "layers": lambda: figures.draw_layer_norms(RED, LAYERS, title="t"),
}


@pytest.mark.parametrize("name", EVERY_FIGURE)
def test_every_figure_renders_no_wider_than_a_notebook_cell(name: str) -> None:
    picture = rendered(EVERY_FIGURE[name]())
    assert 200 < picture.width <= WIDEST_PIXELS
    assert picture.getextrema() != ((255, 255),) * 4


@pytest.mark.parametrize("name", EVERY_FIGURE)
def test_nothing_is_cut_off_at_the_edge_of_a_figure(name: str) -> None:
    pixels = np.asarray(rendered(EVERY_FIGURE[name]()).convert("L"))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert int(edge.min()) == 255


@pytest.mark.parametrize("name", ["attack", "row", "sweep", "paths", "layers"])
def test_the_axes_say_what_they_show(name: str) -> None:
    for axes in EVERY_FIGURE[name]().axes:
        assert axes.get_title() or axes.get_xlabel() or not axes.axison


class TestTopFive:
    def test_names_ids_and_probabilities_stand_beside_and_on_the_bars(self) -> None:
        figure = charts.draw_top5([(PEMBROKE, 0.912), (TARANTULA, 0.05), (TIGER_CAT, 0.0123)])
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert labels == ["Pembroke  263", "tarantula  76", "tiger cat  282"]
        assert {"0.912", "0.050", "0.012"} <= set(texts(figure))

    def test_the_most_probable_class_is_on_top(self) -> None:
        figure = charts.draw_top5(class_probabilities(ByColour(), RED))
        axes = figure.axes[0]
        assert axes.get_yticklabels()[0].get_text() == "Pembroke  263"
        assert axes.yaxis_inverted()
        assert len(axes.patches) == 5

    def test_the_target_is_marked_by_hatching_and_by_a_word(self) -> None:
        figure = charts.draw_top5([(PEMBROKE, 0.7), (TARANTULA, 0.3)], target=TARANTULA)
        assert [bar.get_hatch() for bar in figure.axes[0].patches] == [None, "//"]
        assert any("target" in text for text in texts(figure))

    def test_a_tiny_probability_is_not_rounded_to_zero(self) -> None:
        assert "2e-5" in texts(charts.draw_top5([(PEMBROKE, 0.99), (TARANTULA, 2e-5)]))

    def test_long_names_are_shortened(self) -> None:
        longest = max(range(1000), key=lambda class_id: len(class_name(class_id)))
        figure = charts.draw_top5([(longest, 0.5)])
        assert len(figure.axes[0].get_yticklabels()[0].get_text()) < 32

    @pytest.mark.parametrize("shape", [(1000,), (1, 1000)])
    def test_probabilities_come_as_a_vector_or_as_a_batch_of_one(self, shape: tuple[int, ...]) -> None:
        probabilities = torch.zeros(1000).index_fill(0, torch.tensor([TIGER_CAT]), 1.0).view(shape)
        assert "tiger cat  282" in texts(charts.draw_top5(probabilities))

    @pytest.mark.parametrize("wrong", [torch.randn(1000), torch.full((1000,), 0.5)])
    def test_logits_are_refused_with_a_hint(self, wrong: Tensor) -> None:
        with pytest.raises(ValueError, match=r"Logits must go through the softmax first"):
            charts.draw_top5(wrong)

    def test_several_images_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"one image.*\(2, 1000\)"):
            charts.draw_top5(torch.full((2, 1000), 0.001))

    @pytest.mark.parametrize("picture", [GREENER, GREENER[0]])
    def test_a_network_is_asked_for_its_five_best(self, picture: Tensor) -> None:
        bars = charts.draw_prediction(ByColour(), picture).axes[1]
        assert bars.get_yticklabels()[0].get_text() == "tarantula  76"
        widths = [bar.get_width() for bar in bars.patches]
        assert len(widths) == 5 and widths == sorted(widths, reverse=True)

    def test_the_text_alternative_says_the_whole_chart(self, shown: list[DisplayedImage]) -> None:
        charts.show_prediction(ByColour(), GREENER, title="After the attack", target=TARANTULA)
        [picture] = shown
        assert picture.alt.startswith("After the attack: tarantula 0.8")
        assert picture.alt.count(",") == 4


class TestChange:
    def test_norms_by_hand(self) -> None:
        changed = RED.clone()
        changed[0, 0, 0, 0] += 0.03
        changed[0, 2, 5, 5] -= 0.04
        change = figures.measure_change(RED, changed)
        assert change.l2 == pytest.approx(0.05, rel=1e-5)
        assert change.linf == pytest.approx(0.04, rel=1e-5)
        assert str(change) == "L2 = 0.05,  L∞ = 0.040 (10/255)"

    def test_both_norms_stand_in_the_caption_of_an_attack(self) -> None:
        figure = figures.draw_attack(RED, GREENER)
        assert any("L2 = 6.40" in text and "L∞ = 0.400" in text for text in texts(figure))

    def test_the_magnification_is_named_and_applied(self) -> None:
        difference, factor = figures.magnified_difference(RED, RED + 0.008)
        assert factor == 50
        assert torch.allclose(difference, torch.full_like(difference, 0.9), atol=1e-4)
        assert any("× 50" in text for text in texts(figures.draw_attack(RED, RED + 0.008)))

    def test_no_change_is_grey(self) -> None:
        difference, factor = figures.magnified_difference(RED, RED)
        assert factor == 1
        assert bool((difference == 0.5).all())

    def test_below_an_unchanged_image_stands_nothing_and_the_others_are_still_magnified(self) -> None:
        figure = figures.draw_row([RED, RED + 0.01], ["original", "changed"], original=RED)
        assert sum("difference" in text for text in texts(figure)) == 1
        assert any("difference × 50" in text for text in texts(figure))

    def test_a_row_magnifies_all_its_differences_alike(self) -> None:
        figure = figures.draw_row([RED + 0.01, RED + 0.1], ["small", "large"], original=RED)
        assert sum("difference × 5" in text for text in texts(figure)) == 2

    @pytest.mark.parametrize("shape", [(2, 3, 8, 8), (8, 8), (1, 4, 8, 8)])
    def test_only_single_colour_images_are_drawn(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="one image"):
            figures.draw_attack(torch.zeros(shape), torch.zeros(shape))

    @pytest.mark.parametrize(("images", "titles"), [([], []), ([RED], []), ([RED], ["a", "b"])])
    def test_a_row_needs_one_title_for_each_image(self, images: list[Tensor], titles: list[str]) -> None:
        with pytest.raises(ValueError, match="one title for each image"):
            figures.draw_row(images, titles)


class TestSweep:
    def test_networks_differ_in_marker_and_dash_and_not_only_in_colour(self) -> None:
        lines = [line for line in EVERY_FIGURE["sweep"]().axes[0].lines if len(line.get_xdata()) == 3]
        assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == len(lines) == 3

    def test_the_axis_shows_the_budgets_themselves(self) -> None:
        figure = EVERY_FIGURE["sweep"]()
        rendered(figure)
        assert {"0.25", "1", "4"} <= set(texts(figure))

    def test_curves_of_another_length_are_refused(self) -> None:
        with pytest.raises(ValueError, match="robust: 2 probabilities for 3 budgets"):
            charts.draw_sweep([1, 2, 3], {"robust": [0.1, 0.2]}, target=TIGER_CAT)


class TestPaths:
    @pytest.mark.parametrize(("path", "steps", "l2"), [(PATHS[0], 5, 5.0), (PATHS[1], 9, 9.0)])
    def test_the_smallest_success_by_hand(self, path: Path, steps: int, l2: float) -> None:
        # Green must rise by 0.3 and blue by 0.5 to pass red; one step raises a channel by 1/16.
        assert path.smallest_success() == steps
        assert float(path.l2[steps]) == pytest.approx(l2, abs=0.1)

    def test_the_way_begins_at_the_original_and_keeps_every_step(self) -> None:
        assert torch.equal(PATHS[0].images[:1], RED)
        assert torch.allclose(PATHS[0].l2[:8], torch.arange(8.0), atol=1e-3)
        assert len(PATHS[0].images) == 13

    def test_success_is_judged_after_rounding_to_8_bits(self) -> None:
        almost = image(0.5, 0.5 + 0.4 / 255, 0.1)
        even = image(0.5 + 0.45 / 255, 0.5, 0.1)  # rounds to the same pixels as `almost`
        path = follow(lambda model, x, class_id, step, n_iter: almost, ByColour(), even, TARANTULA, STEP, n_iter=0)
        assert torch.equal(path.probabilities, class_probabilities(ByColour(), round_to_8_bits(even)))

    def test_no_success_is_none_and_said_so(self, shown: list[DisplayedImage]) -> None:
        path = follow(towards, ByColour(), RED, TARANTULA, L2Step(RED, step_size=1, eps=1), n_iter=3)
        assert path.smallest_success() is None
        charts.show_paths([path])
        assert "no image on the way fools the network" in shown[0].alt

    def test_the_closest_of_several_successes_counts(self) -> None:
        images = torch.cat([RED, GREENER, GREENER - 0.05, image(0.8, 0.85, 0.3)])
        path = Path(images, class_probabilities(ByColour(), images), TARANTULA)
        assert path.smallest_success() == 3

    def test_the_distance_stands_at_the_ring(self) -> None:
        assert any("tarantula" in text and "at step 5" in text for text in texts(charts.draw_paths(PATHS)))

    def test_a_batch_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"one image .*\(2, 3, 16, 16\)"):
            follow(towards, ByColour(), RED.expand(2, -1, -1, -1), 0, L2Step(RED, step_size=1, eps=1), n_iter=1)


def test_layer_norms_print_the_gain_of_each_layer() -> None:
    found = texts(EVERY_FIGURE["layers"]())
    assert {"× 1.5", "× 2", "× 2.5"} <= set(found)


@pytest.mark.parametrize(
    "show",
    [
        lambda: charts.show_top5([(PEMBROKE, 0.5)]),
        lambda: figures.show_attack(RED, GREENER),
        lambda: figures.show_row([RED], ["red"]),
        lambda: charts.show_sweep([1, 2], {"robust": [0.1, 0.2]}, target=TIGER_CAT),
        lambda: charts.show_paths(PATHS),
        lambda: figures.show_layer_norms(RED, LAYERS),
    ],
)
def test_a_shown_figure_is_one_picture_with_a_text_alternative(show: object, shown: list[DisplayedImage]) -> None:
    assert callable(show)
    assert show() is None
    [picture] = shown
    data, metadata = picture._repr_mimebundle_()
    [kind] = data
    assert kind in ("image/png", "image/jpeg") and len(metadata[kind]["alt"]) > 10


def test_photos_are_stored_as_jpegs_and_charts_without_loss() -> None:
    random = torch.Generator().manual_seed(0)
    photo = F.interpolate(torch.rand(1, 3, 14, 14, generator=random), size=(224, 224), mode="bilinear")
    noise = (photo + 0.03 * torch.randn(photo.shape, generator=random)).clamp(0, 1)
    for draw, kind in ((lambda: figures.draw_attack(photo, noise), "jpeg"), (lambda: charts.draw_paths(PATHS), "png")):
        data, stored_as = encoded(draw())
        stored, drawn = Image.open(io.BytesIO(data)), rendered(draw()).convert("RGB")
        assert stored_as == kind and stored.format == kind.upper() and stored.size == drawn.size
        difference = np.asarray(stored).astype(float) - np.asarray(drawn)
        assert np.abs(difference).mean() < (6 if kind == "jpeg" else 1e-9)
