"""Known misconceptions, exercise by exercise, as behaviour that can be compared with a student's.

Every module of this package registers the misconceptions of one problem; they are found without a list.
"""

import importlib
import pkgutil

from pset4.checks.misconceptions.registry import (
    Misconception,
    Observation,
    attempt,
    exercises_with_misconceptions,
    misconceptions_for,
    recognise,
    register,
    same,
    show,
)

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Misconception",
    "Observation",
    "attempt",
    "exercises_with_misconceptions",
    "misconceptions_for",
    "recognise",
    "register",
    "same",
    "show",
]
