"""`pset4 handin`: makes the zip that a student hands in."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from pset4.submission.handin import NotHandedIn, hand_in


def run(options: argparse.Namespace) -> int:
    """Makes the zip; see `pset4 handin --help`.

    Returns:
        The exit status: 0 if there is a zip, 1 if not.
    """
    try:
        name = options.name.strip() or _account()
        hand_in(name, track=options.track, folder=Path(options.folder), output=options.output)
    except NotHandedIn as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name
        return "submission"
