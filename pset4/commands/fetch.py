"""`pset4 fetch`: downloads what the course uses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pset4.files.assets import AssetError, fetch
from pset4.files.download import Patience
from pset4.files.manifest import Asset, load_manifest

# Somebody who types the command waits longer for a bad network than a notebook does.
PATIENCE = Patience(connect=10, read=30, attempts=6)


def run(options: argparse.Namespace) -> int:
    """Fetches the files that are named, or all."""
    return fetch_all(options.names)


def fetch_all(names: Sequence[str] = ()) -> int:
    """Fetches files of the manifest and prints one line for each."""
    manifest = load_manifest()
    if unknown := [name for name in names if name not in manifest]:
        print(f"The manifest has no file {', '.join(unknown)}; it has {', '.join(manifest)}.", file=sys.stderr)
        return 1
    failed = [name for name in names or manifest if not _fetch_one(manifest[name])]
    if failed:
        print(f"\n{len(failed)} of {len(names or manifest)} could not be had: {', '.join(failed)}.")
    return 1 if failed else 0


def _fetch_one(asset: Asset) -> bool:
    try:
        path = fetch(asset.name, patience=PATIENCE, ask_again=True)
        if asset.name == "resnet50_robust":
            from pset4.networks.checkpoints import read_madrylab

            read_madrylab(path)
    except (AssetError, ValueError) as error:
        print(f"FAILED   {asset.name}: {error}")
        return False
    print(f"ready    {asset.name}: {path} ({file_size(path.stat().st_size)}; {asset.licence}; {asset.attribution})")
    return True


def file_size(n_bytes: int) -> str:
    """Bytes as a reader likes them."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if n_bytes >= unit / 10:
            return f"{n_bytes / unit:.1f} {name}"
    return f"{n_bytes / 1e3:.0f} kB"
