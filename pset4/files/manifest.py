"""The files that the course uses and does not ship: `data/manifest.json` names them with their addresses and checksums.

`PSET4_MANIFEST` may name a JSON file in the same format; its entries replace those of the same name and add to the
others. An instructor uses it for files of their own, the tests for theirs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pset4.settings import data_folder


@dataclass(frozen=True)
class Asset:
    """One file of the manifest.

    Attributes:
        name: How the course calls it.
        path: Its place below the cache folder and below a mirror folder, with forward slashes.
        urls: Addresses, tried in order.
        sha256: Checksum in hexadecimal.
        size: Bytes, or None if not known.
        licence: Licence of the file.
        attribution: Who made it.
    """

    name: str
    path: str
    urls: tuple[str, ...]
    sha256: str
    size: int | None
    licence: str
    attribution: str

    @property
    def file_name(self) -> str:
        """Last part of the path."""
        return PurePosixPath(self.path).name


def load_manifest() -> dict[str, Asset]:
    """The course's manifest, by name.

    Raises:
        ValueError: If an entry is incomplete, has no checksum, or its path leaves the cache folder.
    """
    files = [data_folder() / "manifest.json"]
    if override := os.environ.get("PSET4_MANIFEST"):
        files.append(Path(override))
    assets: dict[str, Asset] = {}
    for file in files:
        entries = json.loads(file.read_text(encoding="utf-8"))["files"]
        assets |= {entry["name"]: _parse(entry, file) for entry in entries}
    return assets


def _parse(entry: Mapping[str, Any], file: Path) -> Asset:
    try:
        asset = Asset(**{**entry, "urls": tuple(entry["urls"])})
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{file}: the entry {entry.get('name')!r} is incomplete or has an unknown field ({error})"
        ) from None
    path = PurePosixPath(asset.path)
    if path.is_absolute() or ".." in path.parts or "\\" in asset.path:
        raise ValueError(f"{file}: the path of {asset.name!r} must stay below the cache folder, not be {asset.path!r}")
    if not is_sha256(asset.sha256):
        raise ValueError(f"{file}: the sha256 of {asset.name!r} must be 64 hexadecimal digits, not {asset.sha256!r}")
    return asset


def is_sha256(value: object) -> bool:
    """Whether it is a SHA-256 in hexadecimal."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def find_asset(name: str) -> Asset:
    """The manifest's entry of that name.

    Raises:
        KeyError: If there is none; the message lists the names.
    """
    manifest = load_manifest()
    if name not in manifest:
        raise KeyError(f"the manifest has no file {name!r}; it has {', '.join(manifest)}")
    return manifest[name]
