"""Misconceptions about attacks, recognised from what trials and images show.

An attack with a misconception is one sign or one line away from a right one, and two right attacks seldom return the
same image. So nothing is imitated here: each sign is a question about trials (which way the first step went, how many
steps there were, what happened in a batch) or about an image (how far, which class).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pset4.checks.judging.photos import AttackedPhoto
from pset4.checks.judging.trials import Kept


@dataclass(frozen=True)
class TrialSign:
    """A misconception that shows in trials.

    Attributes:
        name: Short, lower case: "wrong_sign".
        explanation: What is wrong and what to do about it, in the student's words.
        shows: Whether the trials show it.
    """

    name: str
    explanation: str
    shows: Callable[[Kept], bool]


@dataclass(frozen=True)
class PhotoSign:
    """A misconception that shows in an attacked photo: `shows(photo, value, original)`."""

    name: str
    explanation: str
    shows: Callable[[AttackedPhoto, Any, Tensor], bool]


_TRIAL_SIGNS: dict[str, tuple[TrialSign, ...]] = {}
_PHOTO_SIGNS: dict[str, tuple[PhotoSign, ...]] = {}


def register_trial_signs(exercise: str, *signs: TrialSign) -> None:
    """Registers an exercise's signs; the first one that shows is the diagnosis."""
    _TRIAL_SIGNS[exercise] = signs


def register_photo_signs(exercise: str, *signs: PhotoSign) -> None:
    """Registers an exercise's signs; the first one that shows is the diagnosis."""
    _PHOTO_SIGNS[exercise] = signs


def signs_for(exercise: str) -> tuple[TrialSign | PhotoSign, ...]:
    """All signs of an exercise, in order."""
    return (*_TRIAL_SIGNS.get(exercise, ()), *_PHOTO_SIGNS.get(exercise, ()))


def read_trials(exercise: str, trials: Kept) -> TrialSign | None:
    """The first sign that the trials show."""
    return next((sign for sign in _TRIAL_SIGNS.get(exercise, ()) if sign.shows(trials)), None)


def read_photo(exercise: str, photo: AttackedPhoto, value: Any, original: Tensor) -> PhotoSign | None:
    """The first sign that the photo shows."""
    return next((sign for sign in _PHOTO_SIGNS.get(exercise, ()) if sign.shows(photo, value, original)), None)
