"""The command `pset4`: what a student types in the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

NETWORKS = ("standard", "robust", "random", "standard_twin")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit status: 0 if all is well, 1 if something is wrong or missing, 2 if the command could not do its work.
    """
    options = _parser().parse_args(arguments)
    # A command's module is imported when it is used: the doctor must run where torch does not.
    status: int = import_module(f"pset4.commands.{options.command}").run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    """What can be typed; the work of the command `name` is done by `pset4.commands.name.run(options)`."""
    parser = argparse.ArgumentParser(prog="pset4", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    fetch = commands.add_parser("fetch", help="download the photos and the full-size networks (about 300 MB)")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="files of the manifest; all of them by default")

    commands.add_parser("doctor", help="say what is there, what is missing, and what to type next")

    verify = commands.add_parser("verify", help="judge an attack that you saved, as the exam does")
    verify.add_argument("picture", help="the file that save_image wrote")
    verify.add_argument("--target", type=int, required=True, help="class that it should be taken for (tarantula: 76)")
    verify.add_argument("--network", choices=NETWORKS, default="standard", help="network that it should fool")
    verify.add_argument("--original", metavar="FILE", help="photo that was attacked; the course's by default")
    verify.add_argument("--eps", type=float, help="budget in the L2 norm; 3 by default, 30 for robust networks")

    handin = commands.add_parser("handin", help="make the zip to hand in, with a report, and say what is open")
    handin.add_argument("--name", default="", help="your name; your account's by default")
    handin.add_argument("--track", default="", help="the course that you take, such as 6.819")
    handin.add_argument("--folder", default=".", help="where the notebooks lie; this folder by default")
    handin.add_argument("--output", default="", metavar="FILE", help="the zip; <name>.zip in that folder by default")

    return parser


if __name__ == "__main__":
    sys.exit(main())
