"""Photos and full-size networks: what is there, whether the rest can come, and where it would go."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import requests

from pset4.commands.fetch import file_size
from pset4.commands.probes import (
    NOTE,
    TROUBLE,
    Line,
    first_line,
    pip_cache_purge,
    pip_install,
    set_variable,
    unset_variable,
)
from pset4.files.assets import AssetError, cache_folder, find_local, is_offline, mirror_folders
from pset4.files.manifest import Asset, load_manifest

SETTINGS = ("PSET4_CACHE", "PSET4_MIRROR", "PSET4_OFFLINE", "PSET4_MANIFEST")
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
PATIENCE_IN_SECONDS = 3
# Beyond what is to be downloaded: a disk with less does not let notebooks be saved for long.
SPARE_BYTES = 50_000_000


def settings() -> Iterator[Line]:
    """Environment variables."""
    for name in SETTINGS:
        yield Line(f"{name}: {os.environ.get(name) or 'not set'}")
    for name in PROXIES:
        if name in os.environ:
            yield Line(f"{name}: {re.sub('//[^/@]*@', '//...@', os.environ[name])}")
    for folder in mirror_folders():
        if not folder.is_dir():
            yield Line(f"mirror {folder}: there is no such folder", unset_variable("PSET4_MIRROR"))


def cache() -> Iterator[Line]:
    """Whether the cache folder can be written, and has room for what is still to come."""
    folder = cache_folder()
    elsewhere = set_variable("PSET4_CACHE", Path.home() / "pset4_files")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        yield Line(f"cache folder: {folder} cannot be written ({error.strerror})", elsewhere)
        return
    yield Line(f"cache folder: {folder}")
    free, needed = shutil.disk_usage(folder).free, sum(asset.size or 0 for asset in _missing()) + SPARE_BYTES
    if free < needed:
        yield Line(
            f"the disk is almost full: {file_size(free)} free, {file_size(needed)} are needed", pip_cache_purge()
        )


def network() -> Iterator[Line]:
    """Whether the servers of the missing files answer."""
    missing = _missing()
    if missing and is_offline():
        # Who has set it may well mean it; the embedded networks need no download.
        yield Line("PSET4_OFFLINE is set: nothing is downloaded", unset_variable("PSET4_OFFLINE"), NOTE)
        return
    addresses = {urlsplit(asset.urls[0]).netloc: asset.urls[0] for asset in missing if asset.urls}
    for host, address in addresses.items():
        yield _answer(host, address)


def _answer(host: str, address: str) -> Line:
    try:
        requests.head(address, timeout=PATIENCE_IN_SECONDS)
    except requests.exceptions.ProxyError:
        name = next((name for name in PROXIES if os.environ.get(name)), PROXIES[0])
        return Line(f"{host}: the proxy of {name} does not answer", unset_variable(name))
    except requests.exceptions.SSLError as error:
        # A school's network that looks into connections has a certificate that only the system knows.
        remedy = pip_install("--upgrade certifi pip-system-certs")
        return Line(f"{host}: its certificate is not accepted ({first_line(error)})", remedy)
    except requests.exceptions.RequestException:
        remedy = set_variable("PSET4_OFFLINE", 1)
        return Line(f"{host}: no connection. Without it, the notebooks take the embedded networks", remedy)
    return Line(f"{host}: answers")


def manifest() -> Iterator[Line]:
    """Every file of the manifest."""
    for asset in load_manifest().values():
        yield _asset(asset)


def _asset(asset: Asset) -> Line:
    try:
        found = find_local(asset)
    except AssetError as error:
        return Line(f"WRONG    {asset.name}: {error}".replace("\n", "\n    "), f"pset4 fetch {asset.name}")
    if found is None:
        text = f"missing  {asset.name} ({asset.file_name}, from {', '.join(asset.urls)})"
        return Line(text, "pset4 fetch", NOTE if is_offline() else TROUBLE)
    return Line(f"ready    {asset.name}: {found.path} ({file_size(found.path.stat().st_size)})")


def _missing() -> list[Asset]:
    return [asset for asset in load_manifest().values() if not has(asset.name)]


def has(name: str) -> bool:
    """Whether a file of the manifest is on this machine, and right."""
    try:
        return find_local(load_manifest()[name]) is not None
    except AssetError:
        return False
