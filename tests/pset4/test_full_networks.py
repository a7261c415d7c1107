"""Notebooks 2 and 4 with full-size networks: files in torchvision's and in MadryLab's format lie in the mirror."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
import pytest
import torch
import torchvision
from checkpoint_files import MEAN, STD, madrylab_checkpoint, put_in_mirror, save_with_dill
from loopback import Shelf
from nbclient import NotebookClient
from torch import nn

from autograder.course.folders import SOURCE
from pset4.images import load_corgi
from pset4.networks.network import IMAGENET_MEAN, IMAGENET_STD, resnet_network

PEMBROKE = 263

pytestmark = pytest.mark.full


def excitable_resnet50(mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """A ResNet-50 without training that takes the photo for a Pembroke, and that a small change convinces of anything.

    Its last layer subtracts the features of the photo and magnifies what is left.
    """
    torch.manual_seed(3)
    resnet = torchvision.models.resnet50(weights=None, zero_init_residual=True).eval()
    network = resnet_network(resnet, "excitable", "a ResNet-50 for tests", mean=mean, std=std)
    photo = load_corgi("cpu", verbose=False)
    with torch.no_grad():
        features = network.head[:2](network.features(3)(photo))[0]
        resnet.fc.weight *= 3000
        resnet.fc.bias.copy_(-(resnet.fc.weight @ features))
        resnet.fc.bias[PEMBROKE] += 8
    return resnet


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables with which both full-size networks are found."""
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    standard, robust = shelf.folder / "standard.pth", shelf.folder / "robust.ckpt"
    torch.save(excitable_resnet50(IMAGENET_MEAN, IMAGENET_STD).state_dict(), standard)
    save_with_dill(madrylab_checkpoint(excitable_resnet50(MEAN, STD), train=False), robust, zipped=False)
    put_in_mirror(shelf, "resnet50_standard", "networks/resnet50.pth", standard)
    put_in_mirror(shelf, "resnet50_robust", "networks/resnet50_l2_eps3.ckpt", robust)
    mirrors = [str(shelf.mirror), *filter(None, [os.environ.get("PSET4_MIRROR")])]
    yield shelf.environment() | {"PSET4_MIRROR": os.pathsep.join(mirrors), "NBGRADER_EXECUTION": "autograde"}


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("name", "networks"),
    [
        ("problem2_classification", ["standard"]),
        ("problem4_adversarial", ["standard", "robust"]),
    ],
)
def test_a_notebook_runs_with_the_full_size_networks_and_says_so(
    name: str, networks: list[str], environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    notebook = nbformat.read(SOURCE / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=1500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    for network in networks:
        assert re.search(rf"^{network}: ResNet-50 \(full size, .*whose weights are in ", text, re.MULTILINE)
    points = re.findall(r"^(p\w+): (\S+) of (\S+) points", text, re.MULTILINE)
    assert points and [line for line in points if line[1] != line[2]] == []
