"""The photos and weights that grading uses: the same bytes in the grader, the warm process and every sandbox.

They are looked up once, in the grader's cache and mirrors, without a download. Each sandbox gets these files alone, at
a place of their own, and `PSET4_REQUIRED` makes its `pset4` use exactly them: what the grader has must be there
unchanged, and what the grader lacks counts as missing there, too. So both sides fall back to a substitute or neither.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from pset4.files.assets import (
    AssetError,
    cache_folder,
    find_local,
    mirror_folders,
    required_variable,
    sha256_of,
)
from pset4.files.manifest import find_asset, load_manifest

PLACE = Path("/srv/pset4")
MANIFEST = Path("/srv/pset4.json")
SETTINGS = ("PSET4_CACHE", "PSET4_MIRROR", "PSET4_MANIFEST", "XDG_CACHE_HOME", "HOME")


def grading_assets() -> Mapping[str, Path]:
    """The manifest's files on this machine: name and verified file, links resolved.

    They are looked up once in the life of this process; whoever changes one afterwards ends the grading.

    Raises:
        AssetError: If a file has a wrong checksum, or is not what it was when grading began.
    """
    files, checksums = _found(tuple(os.environ.get(name) for name in SETTINGS))
    for name, path in files.items():
        if not path.is_file() or sha256_of(path) != checksums[name]:
            raise AssetError(f"{path} ({name}) was changed or removed while grading ran; grade again from the start")
    return files


def grading_checksums() -> Mapping[str, str]:
    """SHA-256 of each of `grading_assets`, by name."""
    grading_assets()
    return _found(tuple(os.environ.get(name) for name in SETTINGS))[1]


@functools.cache
def _found(_settings: tuple[str | None, ...]) -> tuple[Mapping[str, Path], Mapping[str, str]]:
    found = {name: find_local(asset) for name, asset in load_manifest().items()}
    files = {name: local.path.resolve() for name, local in found.items() if local}
    checksums = {name: sha256_of(path) for name, path in files.items()}
    return MappingProxyType(files), MappingProxyType(checksums)


def shown_assets() -> dict[Path, Path]:
    """Place in the sandbox, and file on this machine."""
    return {PLACE / find_asset(name).path: path for name, path in grading_assets().items()}


def manifest_for_sandbox() -> str | None:
    """What the sandbox needs of a manifest of the grader's own (addresses may hold passwords); None without one."""
    if not os.environ.get("PSET4_MANIFEST"):
        return None
    return json.dumps({"files": [{**asdict(asset), "urls": []} for asset in load_manifest().values()]})


def pinned() -> dict[str, str]:
    """Variables that hold a process on this machine to these files: for the grader itself and the warm process."""
    return {"PSET4_OFFLINE": "1", "PSET4_REQUIRED": required_variable(grading_checksums())}


def submission_variables(home: str, *, sandbox: bool) -> dict[str, str]:
    """The same for a submission's process.

    Args:
        home: Its home folder.
        sandbox: Whether the files stand at the sandbox's place or where the grader finds them.
    """
    variables = {**pinned(), "PSET4_CACHE": f"{home}/.cache/pset4", "PSET4_MIRROR": str(PLACE)}
    if not sandbox:
        folders = [path.resolve() for path in (cache_folder(), *mirror_folders()) if path.is_dir()]
        variables["PSET4_MIRROR"] = os.pathsep.join(map(str, folders))
    if manifest := os.environ.get("PSET4_MANIFEST"):
        variables["PSET4_MANIFEST"] = str(MANIFEST if sandbox else Path(manifest).resolve())
    return variables
