"""Photos: what can be read, what is refused and how, and the size that the networks see."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loopback import Shelf, use_shelf
from PIL import Image

from pset4 import images
from pset4.files.assets import AssetUnavailableError, ChecksumError
from pset4.images import (
    ImageError,
    load_corgi,
    load_image,
    load_photo,
    resize_and_crop,
    round_to_8_bits,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    shelf = use_shelf(Shelf(tmp_path), monkeypatch)
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    return shelf


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


# Reading


def test_pixels_come_as_a_batch_in_zero_to_one(tmp_path: Path) -> None:
    image = load_image(saved(Image.fromarray(COLOURS), tmp_path / "photo.png"))
    assert image.shape == (1, 3, 6, 9)
    assert image.dtype == torch.float32
    assert torch.equal(image[0, 1, 2, 3] * 255, torch.tensor(float(COLOURS[2, 3, 1])))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif"])
def test_usual_formats_are_read(suffix: str, tmp_path: Path) -> None:
    flat = Image.new("RGB", (20, 10), (200, 100, 50))
    image = load_image(saved(flat, tmp_path / f"photo.{suffix}"))
    expected = torch.tensor([200, 100, 50]).view(1, 3, 1, 1) / 255
    assert torch.allclose(image, expected.expand(1, 3, 10, 20), atol=0.03)


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image.convert("L"),
        lambda image: image.convert("1"),
        lambda image: image.convert("LA"),
        lambda image: image.quantize(16),
        lambda image: image.convert("RGBA"),
    ],
    ids=["greyscale", "black and white", "greyscale, opaque", "palette", "RGBA, opaque"],
)
def test_what_means_the_same_in_rgb_is_converted(convert, tmp_path: Path) -> None:
    converted = convert(Image.fromarray(COLOURS))
    image = load_image(saved(converted, tmp_path / "photo.png"))
    expected = np.asarray(converted.convert("RGB"), dtype=np.float32) / 255
    assert np.array_equal(image[0].permute(1, 2, 0).numpy(), expected)


def _half_transparent(image: Image.Image) -> Image.Image:
    transparent = image.convert("RGBA")
    transparent.putpixel((0, 0), (1, 2, 3, 100))
    return transparent


@pytest.mark.parametrize(
    ("convert", "suffix", "message"),
    [
        (lambda image: image.convert("CMYK"), "jpg", "colour mode CMYK; expected RGB"),
        (lambda image: image.convert("I;16"), "png", "colour mode I;16; expected RGB"),
        (lambda image: image.convert("F"), "tiff", "colour mode F; expected RGB"),
        (lambda image: image.convert("YCbCr"), "tiff", "colour mode YCbCr; expected RGB"),
        (_half_transparent, "png", "partly transparent"),
    ],
    ids=["CMYK", "16 bits", "float", "YCbCr", "transparent"],
)
def test_colours_that_need_a_choice_are_refused(convert, suffix: str, message: str, tmp_path: Path) -> None:
    path = saved(convert(Image.fromarray(COLOURS)), tmp_path / f"photo.{suffix}")
    with pytest.raises(ImageError, match=message) as error:
        load_image(path)
    assert f"photo.{suffix}" in str(error.value)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_the_camera_recorded_it(orientation: int, tmp_path: Path) -> None:
    turns = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: np.rot90,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(COLOURS), tmp_path / "photo.png", exif=exif)
    image = (load_image(path)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(image, turns[orientation](COLOURS))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image that can be read"),
        (b"<html>Please log in</html>", "not an image that can be read"),
    ],
)
def test_a_file_that_is_no_image_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"photo\.jpg is {message}"):
        load_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_file_that_is_cut_short_is_named(suffix: str, tmp_path: Path) -> None:
    big = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    path = saved(Image.fromarray(big), tmp_path / f"photo.{suffix}")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ImageError, match=rf"photo\.{suffix} is damaged or cut short"):
        load_image(path)


def test_a_path_that_does_not_exist_is_answered_with_the_photos_of_the_course(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'corgy\.jpg'.*corgi, corgi_2, tabby"):
        load_image("corgy.jpg")


# Resizing


@pytest.mark.parametrize(("height", "width"), [(300, 500), (500, 300), (100, 224), (224, 224), (781, 781)])
def test_the_aspect_ratio_is_kept(height: int, width: int) -> None:
    rows = torch.linspace(0, 1, height).view(1, 1, height, 1).expand(1, 3, height, width)
    columns = torch.linspace(0, 1, width).view(1, 1, 1, width).expand(1, 3, height, width)
    scale = 256 / min(height, width)
    for ramp, length, axis in ((rows, height, 2), (columns, width, 3)):
        cropped = resize_and_crop(ramp)
        assert cropped.shape == (1, 3, 224, 224)
        slope = cropped.diff(dim=axis)[0, 0, 50:-50, 50:-50].mean()
        assert float(slope) == pytest.approx(1 / (scale * (length - 1)), rel=0.01)


def test_the_middle_is_cut_out() -> None:
    image = torch.zeros(1, 3, 300, 500)
    image[..., 149:151, 249:251] = 1
    rows, columns = (resize_and_crop(image)[0, 0] > 0.1).nonzero().float().mean(dim=0).tolist()
    assert rows == pytest.approx(111.5, abs=0.6) and columns == pytest.approx(111.5, abs=0.6)


def test_shrinking_averages() -> None:
    stripes = (torch.arange(2048) % 2).float().expand(1, 3, 2048, 2048)
    assert torch.allclose(resize_and_crop(stripes), torch.tensor(0.5), atol=0.02)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [((3, 20, 20), {}, r"batch \(B, 3, H, W\)"), ((1, 3, 20, 20), {"cropped_side": 300}, "must not be larger")],
)
def test_resizing_refuses_what_it_cannot_do(shape: tuple[int, ...], options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resize_and_crop(torch.zeros(shape), **options)


# 8 bits


@given(st.lists(st.floats(-0.5, 1.5, width=32), min_size=1, max_size=30))
def test_rounding_is_what_saving_and_loading_does(values: list[float]) -> None:
    image = torch.tensor(values).view(1, 1, 1, -1).expand(1, 3, 1, -1)
    rounded = round_to_8_bits(image)
    assert torch.equal(round_to_8_bits(rounded), rounded)
    assert bool(((rounded - image.clamp(0, 1)).abs() <= 0.5 / 255 + 1e-6).all())


# The course's photos


def put_photo(shelf: Shelf, name: str = "corgi") -> Path:
    big = Image.fromarray(np.random.default_rng(2).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    path = saved(big, shelf.folder / "any.png")
    content = path.read_bytes()
    shelf.add(name, f"images/{name}.png", content=content)
    return shelf.put(shelf.mirror, f"images/{name}.png", content)


def test_the_corgi_comes_in_the_networks_size_and_in_8_bits(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    path = put_photo(shelf)
    corgi = load_corgi("cpu")
    assert corgi.shape == (1, 3, 224, 224) and corgi.dtype == torch.float32
    assert torch.equal(corgi, round_to_8_bits(corgi))
    assert torch.equal(corgi, load_photo(path, "cpu"))
    assert capsys.readouterr().out == ""


def test_without_the_corgi_a_bull_mastiff_takes_its_place_and_one_line_says_so(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    dog = load_corgi("cpu")
    assert dog.shape == (1, 3, 224, 224) and float(dog.std()) > 0.05
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        "The corgi's photo could not be found or fetched (offline); a bull mastiff (class 243) takes its place."
    )
    load_corgi("cpu", verbose=False)
    assert capsys.readouterr().out == ""


def test_without_any_dog_the_error_has_the_command(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    with pytest.raises(AssetUnavailableError, match=r"pip install 'pset4\[embedded\]'"):
        load_corgi("cpu")


def test_a_wrong_corgi_is_an_error_and_not_replaced(shelf: Shelf) -> None:
    path = put_photo(shelf)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:-100])
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ChecksumError) as error:
        load_corgi("cpu")
    assert all(part in str(error.value) for part in ("corgi.png", expected, found))


def test_a_photo_without_a_substitute_is_an_error(shelf: Shelf) -> None:
    with pytest.raises(AssetUnavailableError, match=r"tabby\.jpg.*PSET4_OFFLINE"):
        load_photo("tabby")


@pytest.mark.skipif(not os.environ.get("PSET4_MIRROR"), reason="no mirror with the course's photos is set")
@pytest.mark.parametrize("name", ["corgi", "corgi_2", "tabby"])
def test_the_photos_of_the_mirror_are_the_manifests(name: str) -> None:
    assert load_photo(name, "cpu").shape == (1, 3, 224, 224)
