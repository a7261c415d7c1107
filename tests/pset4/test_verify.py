"""`pset4 verify`: a saved attack is judged as the exam judges the image that was saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from pset4 import load_corgi, round_to_8_bits, save_image
from pset4.checks.judging.photos import judging_network, look_at
from pset4.command_line import main
from pset4.images import load_image, load_photo
from pset4.steps import L2Step

TARGET = 76
Verify = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def original() -> Tensor:
    return load_corgi("cpu", verbose=False)


def attack(original: Tensor, *, step_size: float, eps: float, n_iter: int) -> Tensor:
    """An attack on the standard network."""
    network, step, x = judging_network("standard"), L2Step(original, step_size, eps), original
    for _ in range(n_iter):
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(x).log_softmax(dim=1)[0, TARGET], x)
        x = step.step(x, gradient)
    return x


@pytest.fixture(scope="module")
def tarantula(original: Tensor) -> Tensor:
    return attack(original, step_size=0.5, eps=3, n_iter=12)


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Runs the command in a folder of the test's own; returns status, all lines, and the last one."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, target: int = TARGET) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["verify", *arguments, "--target", str(target)])
        captured = capsys.readouterr()
        text = captured.out + captured.err
        return status, text, text.splitlines()[-1]

    return run


def test_a_success_is_one_with_the_exams_figures(verify: Verify, tarantula: Tensor, original: Tensor) -> None:
    save_image(tarantula, "tarantula.png")
    status, text, verdict = verify("tarantula.png")
    photo = look_at(tarantula, judging_network("standard"), original, target=TARGET, eps=3)
    assert photo.success
    assert (status, verdict) == (
        0,
        "SUCCESS: the network takes it for class 76 (tarantula), and it is within the budget of 3.",
    )
    assert "<- target" in text and "target's probability" in text and "L-infinity norm" in text
    rows = text.split("most probable classes\n")[1].split("\n\n")[0].splitlines()
    assert len(rows) == 5 and "tarantula" in rows[0]


def test_every_reason_stands_in_the_verdict(verify: Verify, tarantula: Tensor) -> None:
    save_image(tarantula, "tarantula.png")
    status, _, verdict = verify("tarantula.png", "--eps", "1", target=282)
    assert status == 1
    assert verdict.startswith(
        "NOT A SUCCESS: the network takes it for class 76 (tarantula), not for class 282 (tiger cat)"
    )
    assert "away from the original (L2 norm), and the budget is 1" in verdict


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("eps", "option"), [(3.0, []), (10.0, ["--eps", "10"])])
def test_an_image_at_the_edge_of_the_budget_stays_in_it_when_it_is_saved(
    verify: Verify,
    original: Tensor,
    seed: int,
    eps: float,
    option: list[str],
) -> None:
    direction = torch.randn(original.shape, generator=torch.Generator().manual_seed(seed))
    save_image(L2Step(original, 2 * eps, eps).step(original, direction), "edge.png")
    assert "away from the original" not in verify("edge.png", *option)[2]


def test_an_image_beyond_the_budget_is_out_of_it(verify: Verify, original: Tensor) -> None:
    direction = torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    save_image(L2Step(original, 9, 3.05).step(original, direction), "beyond.png")
    assert "and the budget is 3" in verify("beyond.png")[2]


def test_a_jpeg_is_judged_and_said_to_be_another_image(verify: Verify, tarantula: Tensor) -> None:
    save_image(tarantula, "tarantula.png")
    Image.open("tarantula.png").save("tarantula.jpg", quality=95)
    assert "tarantula.jpg is a JPEG file, and its compression changed the pixels" in verify("tarantula.jpg")[1]
    assert "Note" not in verify("tarantula.png")[1]


@pytest.mark.parametrize(
    ("arguments", "target", "sentence"),
    [
        (["large.png"], 76, "large.png has 640 x 480 pixels; expected 224 x 224"),
        (["nothing.png"], 76, "there is no file nothing.png here"),
        (["corgi"], 76, "there is no file corgi here"),
        (["words.png"], 76, "words.png is not an image that can be read"),
        (["black.png"], 1000, "there is no ImageNet class 1000"),
        (["black.png", "--network", "robust"], 999, "does not know class 999"),
        (["black.png", "--eps", "-1"], 76, "--eps must be a positive number"),
        (["black.png", "--eps", "nan"], 76, "--eps must be a positive number"),
        (["black.png", "--original", "nothing.png"], 76, "there is no image file 'nothing.png'"),
        (["black.png", "--original", "words.png"], 76, "words.png is not an image"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_judged_is_a_sentence(verify: Verify, arguments: list[str], target: int, sentence: str) -> None:
    Image.new("RGB", (640, 480)).save("large.png")
    Image.new("RGB", (224, 224)).save("black.png")
    Path("words.png").write_text("no image")
    status, text, _ = verify(*arguments, target=target)
    assert status == 2
    assert "CANNOT BE JUDGED: " in text and sentence in text and "Traceback" not in text


def test_the_robust_networks_budget_and_nearest_class_are_the_exams(verify: Verify, original: Tensor) -> None:
    save_image(original, "same.png")
    status, text, verdict = verify("same.png", "--network", "robust", target=282)
    assert status == 1
    assert "budget 30" in text and "L2 norm              0.000" in text
    if not judging_network("robust").knows(282):
        assert "does not know class 282 (tiger cat); as in the exam" in text and "not for class 281 (tabby)" in verdict


def test_a_photo_of_ones_own_is_cut_as_the_notebooks_cut_it(verify: Verify) -> None:
    ramp = torch.linspace(0, 1, 300).expand(1, 3, 280, 300)
    Image.fromarray((ramp[0].permute(1, 2, 0) * 255).byte().numpy()).save("own.png")
    save_image(load_photo("own.png", "cpu"), "attacked.png")
    for original in ("own.png", "attacked.png"):
        assert "L2 norm              0.000" in verify("attacked.png", "--original", original)[1]


@pytest.mark.parametrize("shape", [(1, 3, 5, 4), (3, 5, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_what_save_image_writes_is_the_image_rounded_to_8_bits(
    shape: tuple[int, ...], dtype: torch.dtype, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    save_image(image, tmp_path / "image.png")
    assert capsys.readouterr().out == f"{tmp_path / 'image.png'}\n"
    levels = load_image(tmp_path / "image.png") * 255
    expected = round_to_8_bits(image.detach()).reshape(1, 3, 5, 4).float() * 255
    assert torch.equal(levels.round(), expected.round())


@pytest.mark.parametrize(
    ("image", "name", "sentence"),
    [
        (torch.zeros(2, 3, 4, 4), "a.png", r"one image.*\(2, 3, 4, 4\).*one after the other"),
        (torch.zeros(4, 4), "a.png", r"one image.*\(4, 4\)"),
        (torch.zeros(1, 4, 4), "a.png", r"one image.*\(1, 4, 4\)"),
        (torch.zeros(1, 3, 0, 4), "a.png", r"one image.*\(1, 3, 0, 4\)"),
        (torch.full((3, 4, 4), 255.0), "a.png", r"pixels in \[0, 1\].*255"),
        (torch.full((3, 4, 4), float("nan")), "a.png", r"pixels in \[0, 1\].*nan"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "a.png", r"floating point, not torch.uint8"),
        (torch.zeros(3, 4, 4), "a.jpg", r"'a.jpg' does not end in .png.*'a.png'"),
        (torch.zeros(3, 4, 4), "a", r"'a' does not end in .png.*'a.png'"),
    ],
)
def test_save_image_refuses_what_is_no_image_or_no_png(
    image: Tensor, name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        save_image(image, name)
    assert list(tmp_path.iterdir()) == []
