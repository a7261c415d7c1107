"""Helpers for the four notebooks of PSet 4: networks, images, attack steps, figures and checks."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pset4.assets import fetch as fetch
    from pset4.device import best_device as best_device
    from pset4.device import seed_everything as seed_everything
    from pset4.imagenet import CLASS_NAMES as CLASS_NAMES
    from pset4.imagenet import class_name as class_name
    from pset4.images import load_corgi as load_corgi
    from pset4.images import load_image as load_image
    from pset4.images import load_photo as load_photo
    from pset4.images import round_to_8_bits as round_to_8_bits
    from pset4.images import save_png as save_png
    from pset4.networks import Network as Network
    from pset4.networks import load_model as load_model
    from pset4.settings import is_grading as is_grading
    from pset4.settings import n_iter as n_iter
    from pset4.steps import L2Step as L2Step

# torch's threads wait for each other in a busy loop by default; where another process wants the same cores, that makes
# a network up to ten times slower. The library reads this once, when torch is imported, and a user's own value stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Where each public name lives. A name is imported when it is first used, so that `import pset4` takes no time.
_HOMES = {
    "fetch": "assets",
    "best_device": "device",
    "seed_everything": "device",
    "CLASS_NAMES": "imagenet",
    "class_name": "imagenet",
    "load_corgi": "images",
    "load_image": "images",
    "load_photo": "images",
    "round_to_8_bits": "images",
    "save_png": "images",
    "Network": "networks",
    "load_model": "networks",
    "is_grading": "settings",
    "n_iter": "settings",
    "L2Step": "steps",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pset4' has no attribute {name!r}")
    value = getattr(import_module(f"pset4.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, for tab completion."""
    return sorted(_HOMES)
