"""The embedded network and its training, on a handful of small random photos."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pset4.networks.imagenet import class_name
from pset4.networks.small_resnet import ANIMAL_CLASSES, SIDE, SmallResNet, load_small_resnet, resize
from pset4.steps import l2_norms
from training import evaluate as evaluation
from training import fit, photos
from training.__main__ import main
from training.adversary import one_step, random_in_ball, resists_pgd
from training.card import write_card
from training.evaluate import read_recipe
from training.meaning import draw_targets, same_norm, sign_flip_test
from training.measure import measure_autoattack, measure_pgd
from training.muon import orthogonalise
from training.photos import Photos
from training.recipe import SHIPPED, Recipe, between
from training.sheet import draw_sheet

CPU = torch.device("cpu")
SHORT = Recipe(budget=((0, 0), (1, 1)), sides=((0, 16),), rate=((0, 0), (1, 1), (2, 0)), batch_size=8)


@pytest.fixture
def few_photos() -> Photos:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (24, 3, 64, 64), generator=generator, dtype=torch.uint8)
    return Photos(images, torch.arange(24) % 57)


class Brightness(nn.Module):
    """Two classes: bright or dark. It can be attacked by hand: the L2 distance to the border is known."""

    def forward(self, x: Tensor) -> Tensor:
        score = (x.flatten(1).mean(dim=1) - 0.5) * 100
        return torch.stack([score, -score], dim=1)


class TestSmallResNet:
    def test_knows_the_classes_of_the_contract(self) -> None:
        named = {class_name(index): index for index in ANIMAL_CLASSES}
        expected = {"tarantula": 76, "tabby": 281, "German shepherd": 235, "black stork": 128, "king penguin": 145}
        assert expected.items() <= named.items()
        assert len(set(ANIMAL_CLASSES)) == len(photos.ANIMAL_WNIDS) == 57
        # WordNet ids and ImageNet ids are in the same order.
        assert list(ANIMAL_CLASSES) == sorted(ANIMAL_CLASSES)
        assert list(photos.ANIMAL_WNIDS) == sorted(photos.ANIMAL_WNIDS)

    @pytest.mark.parametrize("size", [(224, 224), (64, 64), (30, 50), (65, 128)])
    @pytest.mark.parametrize("side", [64, 40])
    def test_resizes_like_an_antialiased_interpolation(self, size: tuple[int, int], side: int) -> None:
        x = torch.rand(2, 3, *size, dtype=torch.float64)
        expected = nn.functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
        assert torch.allclose(resize(x, side), expected)

    def test_gradient_passes_through_the_resizing(self) -> None:
        x = torch.rand(1, 1, 7, 9, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: resize(x, 4), x)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_takes_pixels_of_any_size(self, dtype: torch.dtype) -> None:
        model = SmallResNet().eval()
        x = torch.rand(2, 3, 224, 100, dtype=dtype, requires_grad=True)
        logits = model(x)
        logits.sum().backward()
        assert logits.shape == (2, 57)
        assert x.grad is not None and x.grad.dtype == dtype and bool(x.grad.abs().sum() > 0)

    def test_stem_stages_and_head_make_up_the_network(self) -> None:
        model, x = SmallResNet().eval(), torch.rand(1, 3, 80, 80)
        assert len(model.stages) == 4
        assert torch.equal(model(x), model.head(model.stages(model.stem(model.prepare(x)))))

    def test_refuses_a_single_image(self) -> None:
        with pytest.raises(ValueError, match=r"\(3, 64, 64\).*unsqueeze"):
            SmallResNet()(torch.rand(3, 64, 64))

    def test_says_what_is_wrong_with_a_weights_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no weights at"):
            load_small_resnet(tmp_path / "missing.safetensors")
        (tmp_path / "other.safetensors").write_bytes(b"no weights at all")
        with pytest.raises(ValueError, match="does not hold the weights"):
            load_small_resnet(tmp_path / "other.safetensors")


class TestAdversary:
    def test_one_step_stays_in_the_ball_and_in_the_box(self) -> None:
        x, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1])
        attacked = one_step(Brightness(), x, labels, eps=0.7, generator=torch.Generator().manual_seed(0))
        assert bool((l2_norms(attacked - x) <= 0.7 + 1e-5).all())
        assert bool(((attacked >= 0) & (attacked <= 1)).all())

    def test_random_starts_are_spread_over_the_ball(self) -> None:
        starts = random_in_ball(torch.zeros(2000, 1, 1, 2), 1.0, torch.Generator().manual_seed(0))
        radii = l2_norms(starts).flatten()
        # In two dimensions a quarter of the disc lies within half its radius.
        assert float(radii.max()) <= 1
        assert float((radii < 0.5).float().mean()) == pytest.approx(0.25, abs=0.04)

    def test_pgd_breaks_exactly_what_lies_within_reach_of_the_border(self) -> None:
        # To move the mean of 48 pixels by m takes an L2 norm of m * sqrt(48).
        margins = torch.tensor([0.01, 0.05, 0.09, 0.11, 0.2])
        x = (0.5 + margins).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
        labels = torch.zeros(5, dtype=torch.long)
        generator = torch.Generator().manual_seed(0)
        resists = resists_pgd(Brightness(), x, labels, eps=0.1 * 48**0.5, n_steps=20, generator=generator)
        assert resists.tolist() == [False, False, False, True, True]

    def test_weights_get_no_gradient(self) -> None:
        model = SmallResNet().eval()
        x, labels = torch.rand(2, 3, 16, 16), torch.tensor([0, 1])
        one_step(lambda x: model.classify(model.normalise(x)), x, labels, eps=1.0, generator=torch.Generator())
        assert all(parameter.grad is None for parameter in model.parameters())


class TestRecipe:
    def test_schedules_are_linear_between_their_anchors(self) -> None:
        anchors = ((1.0, 0.0), (3.0, 1.0), (5.0, 0.5))
        assert [between(anchors, t) for t in (0, 1, 2, 3, 4, 9)] == [0, 0, 0.5, 1, 0.75, 0.5]

    def test_shipped_recipe_begins_without_the_adversary_and_ends_with_all_of_it(self) -> None:
        recipe = Recipe()
        assert recipe.eps_at(0) == 0 and recipe.eps_at(recipe.epochs) == recipe.eps
        assert recipe.rate_at(0) == recipe.rate_at(recipe.epochs) == 0

    def test_shipped_runs_differ_in_the_adversary_alone(self) -> None:
        twin = SHIPPED["none"]
        assert twin == replace(SHIPPED["l2"], eps=0.0)
        assert all(twin.eps_at(epoch) == 0 for epoch in range(twin.epochs))

    def test_stretching_keeps_the_course(self) -> None:
        recipe = Recipe()
        longer = recipe.stretched(2 * recipe.epochs)
        assert longer.epochs == 2 * recipe.epochs
        for epoch in (1.0, 4.0, 7.5):
            assert longer.rate_at(2 * epoch) == pytest.approx(recipe.rate_at(epoch))
            assert longer.side_at(2 * epoch) == recipe.side_at(epoch)

    def test_survives_json(self) -> None:
        assert Recipe.from_json(json.loads(json.dumps(asdict(SHORT)))) == SHORT


def test_orthogonalised_matrix_has_singular_values_near_one() -> None:
    matrix = torch.randn(32, 90, generator=torch.Generator().manual_seed(0))
    for m in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonalise(m))
        assert float(values.min()) > 0.4 and float(values.max()) < 1.6


class TestPhotos:
    def test_augmentation_draws_from_its_generator_and_stays_in_the_box(self, few_photos: Photos) -> None:
        first, again, other = (
            photos.augment(few_photos.images, 48, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
        )
        assert first.shape == (24, 3, 48, 48)
        assert torch.equal(first, again) and not torch.equal(first, other)
        assert bool(((first >= 0) & (first <= 1)).all())

    def test_crops_and_mirror_images_show_the_photo(self) -> None:
        ramp = torch.arange(64, dtype=torch.uint8).expand(200, 3, 64, 64)
        drawn = photos.augment(ramp, 64, torch.Generator().manual_seed(0)) * 255
        centre = drawn[:, 0, 10, 6:58]
        steps = centre.diff(dim=1)
        assert bool((steps.abs() - 1).abs().max() < 1e-4), "neighbours stay neighbours"
        rising = steps[:, 0] > 0
        assert 0.35 < float(rising.float().mean()) < 0.65
        assert {round(v) for v in centre[rising, 0].tolist()} == set(range(13)), "every shift from -6 to 6"

    def test_zip_in_stanfords_format_is_read_class_by_class(self, tmp_path: Path) -> None:
        training, validation = photos.load_photos(write_zip(tmp_path / "tiny.zip"))
        assert training.images.shape == (3 * 57, 3, 64, 64)
        assert training.labels.tolist() == [label for label in range(57) for _ in range(3)]
        assert validation.labels.tolist() == list(reversed(range(57)))
        # The test's photos are grey, of a brightness that says which one it is; JPEG keeps it roughly.
        assert training.images.float().mean(dim=(1, 2, 3))[:4].tolist() == pytest.approx([0, 1, 2, 4], abs=1)

    def test_zip_is_downloaded_and_checked(self, tmp_path: Path, serve: Callable[[Path], str]) -> None:
        served = tmp_path / "served"
        served.mkdir()
        archive = write_zip(served / "tiny.zip")
        url = serve(served) + "/tiny.zip"
        md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        with pytest.raises(ValueError, match="expected 0000"):
            photos.fetch_zip(tmp_path / "cache", url=url, md5="0000", size=None)
        found = photos.fetch_zip(tmp_path / "cache", url=url, md5=md5, size=None)
        assert found.read_bytes() == archive.read_bytes()
        archive.unlink()
        assert photos.fetch_zip(tmp_path / "cache", url=url, md5=md5, size=None) == found, "it is kept"

    def test_wrong_files_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="leave out --data"):
            photos.load_photos(tmp_path / "missing.npz")
        np.savez(tmp_path / "wrong.npz", x=np.zeros(3))
        with pytest.raises(ValueError, match="SHA-256"):
            photos.load_photos(tmp_path / "wrong.npz")
        with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
            archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "")
        with pytest.raises(ValueError, match="no training photos of n01443537"):
            photos.load_photos(tmp_path / "empty.zip")

    def test_packed_files_are_read(self, tmp_path: Path) -> None:
        files = [grey_jpeg(value) for value in (10, 20, 30)]
        offsets = np.cumsum([0, *map(len, files)])
        blob = np.frombuffer(b"".join(files), dtype=np.uint8)
        np.savez(tmp_path / "p.npz", blob=blob, offsets=offsets, label=np.int16([3, 4, 5]), is_val=np.uint8([0, 1, 0]))
        training, validation = photos.load_packed(tmp_path / "p.npz")
        assert (training.labels.tolist(), validation.labels.tolist()) == ([3, 5], [4])
        assert float(validation.images.float().mean()) == pytest.approx(20, abs=1)


class TestTraining:
    def test_interrupted_run_ends_where_an_unbroken_one_does(self, few_photos: Photos, tmp_path: Path) -> None:
        unbroken = fit.train(SHORT, few_photos, few_photos, tmp_path / "unbroken", CPU)
        trainer = fit.Trainer(SHORT, few_photos, CPU)
        trainer.run_epoch()
        (tmp_path / "resumed").mkdir()
        trainer.save(tmp_path / "resumed" / fit.CHECKPOINT)
        resumed = fit.train(SHORT, few_photos, few_photos, tmp_path / "resumed", CPU)
        for one, other in zip(unbroken.state_dict().values(), resumed.state_dict().values(), strict=True):
            assert torch.allclose(one.float(), other.float(), atol=1e-5)
        log = [json.loads(line) for line in (tmp_path / "unbroken" / fit.LOG).read_text().splitlines()]
        assert [row["epoch"] for row in log] == [1, 2]
        assert {"loss", "clean", "pgd10", "seconds"} <= log[0].keys()

    def test_another_recipe_is_not_mixed_in(self, few_photos: Photos, tmp_path: Path) -> None:
        fit._check_same_recipe(SHORT, tmp_path / fit.RECIPE)
        fit._check_same_recipe(SHORT, tmp_path / fit.RECIPE)
        with pytest.raises(ValueError, match="another run"):
            fit._check_same_recipe(replace(SHORT, seed=1), tmp_path / fit.RECIPE)

    def test_the_twin_is_the_same_network_until_the_adversary_sets_in(self, few_photos: Photos) -> None:
        late = replace(SHORT, budget=((1, 0), (2, 1)))
        states = []
        for recipe in (late, replace(late, eps=0.0)):
            trainer = fit.Trainer(recipe, few_photos, CPU)
            trainer.run_epoch()
            states.append(trainer.model.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(*(state.values() for state in states), strict=True))

    def test_it_learns(self) -> None:
        """Two classes that differ by brightness: a few steps suffice."""
        labels = torch.arange(32) % 2
        images = (labels * 200 + 20).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 64, 64).contiguous()
        recipe = replace(SHORT, rate=((0, 0), (1, 1), (6, 0)), ema_decay=0.5)
        trainer = fit.Trainer(recipe, Photos(images, labels), CPU)
        losses = [trainer.run_epoch() for _ in range(6)]
        assert losses[-1] < losses[0] / 2

    def test_exported_weights_give_the_same_answers(self, few_photos: Photos, tmp_path: Path) -> None:
        network = fit.Trainer(SHORT, few_photos, CPU).averaged(SIDE)
        fit.export(network, tmp_path / "w.safetensors", {"recipe": json.dumps({"seed": 3})})
        loaded = load_small_resnet(tmp_path / "w.safetensors")
        x = few_photos.pixels()[:4]
        assert torch.allclose(network(x), loaded(x), atol=0.02), "half precision costs a little"
        assert (tmp_path / "w.safetensors").stat().st_size < 7_000_000
        assert read_recipe(tmp_path / "w.safetensors") == {"seed": 3}
        assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())

    def test_command_line_trains_and_exports(
        self, few_photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("training.__main__.load_photos", lambda path: (few_photos, few_photos))
        common = ["--data", "any.npz", "--device", "cpu"]
        main(["train", "--adversary", "none", "--epochs", "1", "--output", str(tmp_path / "run"), *common])
        main(["export", str(tmp_path / "run"), str(tmp_path / "w.safetensors"), *common])
        assert read_recipe(tmp_path / "w.safetensors")["eps"] == 0
        load_small_resnet(tmp_path / "w.safetensors")


class TestMeasures:
    def test_pgd_counts_fall_with_the_budget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.measure.CHUNK", 3)
        brightness = torch.tensor([60, 120, 127, 129, 132, 140, 200], dtype=torch.uint8)
        images = brightness.view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
        counts = measure_pgd(Brightness(), Photos(images, (brightness < 128).long()), CPU)
        # The border is 0.5 = 127.5 / 255 away; 192 pixels move by eps / sqrt(192) each.
        assert counts == {"photos": 7, "restarts": 3, "standing": {"0.0": 7, "0.5": 3, "1.0": 2, "2.0": 2}}

    def test_autoattack_counts_the_survivors_of_each_component(self, few_photos: Photos) -> None:
        model = SmallResNet().eval().requires_grad_(False)
        with torch.no_grad():
            labels = model(few_photos.pixels()).argmax(dim=1)
        some = Photos(few_photos.images[:3], labels[:3])
        result = measure_autoattack(model, some, CPU, components=("apgd-ce",), batch_size=2)
        assert list(result["standing"]) == ["clean", "apgd-ce"]
        assert 3 == result["standing"]["clean"] >= result["standing"]["apgd-ce"]

    def test_the_contact_sheet_has_a_row_for_each_network(self, tmp_path: Path) -> None:
        networks = {"one": SmallResNet().eval(), "other": SmallResNet().eval()}
        draw_sheet(networks, torch.rand(1, 3, 32, 32), tmp_path / "new" / "sheet.png", n_steps=1)
        with Image.open(tmp_path / "new" / "sheet.png") as sheet:
            assert sheet.size == (704, 402)

    def test_targets_are_other_classes_without_repetition(self) -> None:
        labels = torch.arange(57)
        targets = draw_targets(labels, 5, seed=0)
        assert targets.shape == (57, 5)
        assert not bool((targets == labels[:, None]).any())
        assert all(len(set(row)) == 5 for row in targets.tolist())

    def test_perturbations_are_given_the_norm_of_the_shorter(self) -> None:
        x = torch.zeros(2, 3, 4, 4)
        one, other = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4) * 0.1
        lengths = [l2_norms(a) for a in same_norm(x, one, other)]
        assert torch.allclose(*lengths)
        assert torch.allclose(lengths[0], l2_norms(other))

    def test_sign_flip_test_tells_an_effect_from_none(self) -> None:
        noise = torch.randn(40, generator=torch.Generator().manual_seed(0))
        assert sign_flip_test(noise + 1) < 1e-3
        assert sign_flip_test(noise - noise.mean()) > 0.9

    def test_evaluation_goes_on_where_it_stopped_and_starts_afresh_with_new_weights(
        self, few_photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        monkeypatch.setattr(evaluation, "measure_meaning", lambda *_: calls.append("meaning") or {})
        monkeypatch.setattr(
            evaluation,
            "_seconds_of_an_attack",
            lambda *_: {"seconds": 1.0, "processor_seconds": 1.5, "device": "cpu", "threads": 2},
        )

        def run(parts: list[str]) -> dict[str, Any]:
            return evaluation.evaluate(parts, few_photos, CPU, weights=tmp_path, output=tmp_path / "out", photo=None)

        for name, recipe in (("robust", SHIPPED["l2"]), ("standard", SHIPPED["none"])):
            network = SmallResNet()
            fit.export(network, tmp_path / evaluation.FILES[name], {"recipe": json.dumps(asdict(recipe))})
        run(["pgd", "meaning"])
        results = run(["pgd", "meaning", "time"])
        assert calls == ["meaning"]
        assert results["pgd"]["robust"]["photos"] == results["pgd"]["standard"]["photos"] == 24
        assert json.loads((tmp_path / "out" / evaluation.RESULTS).read_text(encoding="utf-8")) == results
        assert "1.0 s" in (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
        fit.export(SmallResNet(), tmp_path / evaluation.FILES["robust"], {"recipe": json.dumps(asdict(Recipe()))})
        assert "pgd" not in run([]), "figures of other weights are not kept"

    @pytest.mark.parametrize("measured", [False, True])
    def test_card_holds_every_figure_that_was_measured(self, tmp_path: Path, measured: bool) -> None:
        results = {
            "weights": {"robust": "a" * 64, "standard": "b" * 64},
            "recipes": {"robust": asdict(Recipe()), "standard": asdict(SHIPPED["none"])},
        }
        if measured:
            counts = {"photos": 200, "restarts": 3, "standing": {"0.0": 99, "0.5": 80, "1.0": 61, "2.0": 31}}
            gain = {"mean": 3.25, "spread": 1.5, "called_the_target": 0.5}
            results |= {
                "clean": {"robust": {"photos": 200, "right": 99}, "standard": {"photos": 200, "right": 111}},
                "pgd": {"robust": counts, "standard": counts},
                "autoattack": {"photos": 50, "eps": 1.0, "standing": {"clean": 25, "apgd-ce": 17}},
                "meaning": {
                    "photos": 100, "targets": 5, "steps": 40, "eps": 8.57, "norm": 8.5, "robust": gain,
                    "standard": gain, "difference": {"mean": 1.125, "spread": 0.5}, "p_value": 1e-5,
                    "robust_gains_more": 0.9,
                },
                "sheet": {"photo": "corgi"},
                "time": {"seconds": 2.04, "processor_seconds": 1.5, "device": "cpu", "threads": 2},
            }  # fmt: skip
        write_card(results, tmp_path / "card.md")
        text = (tmp_path / "card.md").read_text(encoding="utf-8")
        assert "adversary: none" in text and "a" * 64 in text
        for figure in (
            "49.5 %",
            "55.5 %",
            "30.5 %",
            "34.0 % after apgd-ce",
            "3.25",
            "p < 0.0001",
            "2.0 s",
            "contact_sheet.png",
        ):
            assert (figure in text) == measured


def grey_jpeg(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), value).save(buffer, "JPEG")
    return buffer.getvalue()


def write_zip(path: Path) -> Path:
    """An archive in the format of Stanford's: three training photos a class, in no order, and one for validation."""
    root = "tiny-imagenet-200"
    with zipfile.ZipFile(path, "w") as archive:
        for label, wnid in enumerate((*photos.ANIMAL_WNIDS, "n99999999")):
            for i in (10, 0, 2):
                archive.writestr(
                    f"{root}/train/{wnid}/images/{wnid}_{i}.JPEG", grey_jpeg(4 * label + (0, 1, 2)[(0, 2, 10).index(i)])
                )
        rows = []
        for i, wnid in enumerate(reversed(photos.ANIMAL_WNIDS)):
            archive.writestr(f"{root}/val/images/val_{i}.JPEG", grey_jpeg(i))
            rows.append(f"val_{i}.JPEG\t{wnid}\t0\t0\t62\t62")
        archive.writestr(f"{root}/val/val_annotations.txt", "\n".join(rows))
    return path


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """A loopback server for a folder."""
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
