"""Helpers for the four notebooks of PSet 4: networks, images, attack steps, figures and checks."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pset4.device import best_device as best_device
    from pset4.device import seed_everything as seed_everything
    from pset4.images import load_corgi as load_corgi
    from pset4.images import round_to_8_bits as round_to_8_bits
    from pset4.images import save_image as save_image
    from pset4.networks.imagenet import class_name as class_name
    from pset4.networks.network import load_model as load_model
    from pset4.settings import n_iter as n_iter
    from pset4.steps import L2Step as L2Step
    from pset4.submission.handin import handin as handin

# torch's threads wait for each other in a busy loop by default; where another process wants the same cores, that makes
# a network up to ten times slower. The library reads this once, when torch is imported, and a user's own value stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# What the notebooks take from here. A name is imported when it is first used, so that `import pset4` takes no time.
_HOMES = {
    "best_device": "device",
    "seed_everything": "device",
    "load_corgi": "images",
    "round_to_8_bits": "images",
    "save_image": "images",
    "class_name": "networks.imagenet",
    "load_model": "networks.network",
    "n_iter": "settings",
    "L2Step": "steps",
    "handin": "submission.handin",
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
