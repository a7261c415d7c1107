"""What a submission sees of this machine, and where: Python, its packages, `pset4`, and the files of the manifest.

Everything stands where it stands on this machine, since the warm process has its paths in memory, at its literal place
and at the one to which links lead. The sandbox's own folders lie below all of it: an environment below `/tmp` is seen
in the middle of the sandbox's empty `/tmp`. The course is cut out of whatever surrounds it.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.course.folders import COURSE, REPOSITORY

HOME = "/home/student"
# The folders of a Python installation: its prefix may be somebody's home folder, and is not shown as a whole.
PREFIX_FOLDERS = ("include", "lib", "lib32", "lib64", "libexec", "share", "pyvenv.cfg")
PROGRAMS = "bin/python*"  # of the programs beside Python, some are the course's own, such as `autograder`
# The same for the system: people keep checkouts, courses and mirrors in /usr/local, /usr/src and the like.
SYSTEM_FOLDERS = ("bin", "include", "lib", "lib32", "lib64", "libx32", "libexec", "sbin", "share")
SITE_NAMES = ("site-packages", "dist-packages")
MOST_LINKED_PACKAGES = 500


class TooManyLinks(Exception):
    """An environment is made of links to packages that are kept elsewhere; the message says what to do."""


@dataclass(frozen=True)
class Layer:
    """One step of building the sandbox's file system.

    Attributes:
        place: Path in the sandbox.
        source: What is shown there, read-only; None puts an empty folder there, which hides what was shown before.
    """

    place: Path
    source: Path | None


def inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or lies below it."""
    return path == folder or folder in path.parents


def layers(shown: Mapping[Path, Path], hidden: Iterable[Path]) -> list[Layer]:
    """The steps that show some paths and hide others, whatever contains what: the deeper one wins.

    Args:
        shown: Place in the sandbox and resolved path on this machine.
        hidden: Resolved folders on this machine.

    Returns:
        From the outside to the inside, without those that would change nothing.
    """
    wanted: dict[Path, Path | None] = {
        place / folder.relative_to(source): None
        for place, source in shown.items()
        for folder in hidden
        if source in folder.parents and folder.is_dir()
    }
    wanted.update(shown)
    found: list[Layer] = []
    for place in sorted(wanted, key=lambda path: (len(path.parts), path)):
        source = wanted[place]
        if source != _seen_at(place, found):
            found.append(Layer(place, source))
    return found


def _seen_at(place: Path, found: Sequence[Layer]) -> Path | None:
    """What stands at a place after some steps, on this machine."""
    around = next((layer for layer in reversed(found) if inside(place, layer.place)), None)
    if around is None or around.source is None:
        return None
    return (around.source / place.relative_to(around.place)).resolve()


def shown_paths() -> dict[Path, Path]:
    """What every submission sees of this machine, apart from the system: place and resolved path.

    Raises:
        TooManyLinks: If the environment's packages are links to more places than can be shown.
    """
    paths = at_their_places([*_python_paths(), *_package_paths()])
    return paths | at_their_places(_linked_packages(tuple(_library_folders()), tuple(paths.values())))


def at_their_places(paths: Iterable[Path]) -> dict[Path, Path]:
    """Existing paths as they are written and as they are without links, each with what stands there."""
    places = {}
    for path in paths:
        if path.exists():
            source = path.resolve()
            places[path.absolute()] = places[source] = source
    return places


def system_paths() -> dict[Path, Path]:
    """The system's programs and libraries."""
    folders = [Path("/usr", name) for name in SYSTEM_FOLDERS] + [Path("/usr/local", name) for name in SYSTEM_FOLDERS]
    folders += [*sorted(Path("/usr/local").glob("cuda*")), Path("/usr/local/nvidia")]
    folders += [Path("/", name) for name in SYSTEM_FOLDERS if not Path("/", name).is_symlink() and name != "share"]
    return {path: path.resolve() for path in folders if path.exists()}


def hidden_folders() -> list[Path]:
    """What no submission may see, wherever it stands: the course, and the exams should they be installed elsewhere."""
    return [REPOSITORY, COURSE]


def _python_paths() -> list[Path]:
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix} - {"/", "/usr", "/usr/local"}
    folders = [Path(prefix, name) for prefix in sorted(prefixes) for name in PREFIX_FOLDERS]
    programs = [program for prefix in sorted(prefixes) for program in sorted(Path(prefix).glob(PROGRAMS))]
    return [*folders, *programs, *_library_folders()]


def _library_folders() -> list[Path]:
    """The standard library and the folders of packages.

    Other entries of `sys.path` are not shown: `PYTHONPATH` may name a home folder.
    """
    standard = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    return [*standard, *(Path(entry) for entry in sys.path if Path(entry).name in SITE_NAMES)]


def _package_paths() -> list[Path]:
    """`pset4`, with the data and the settings that it reads beside itself or inside."""
    import pset4
    from pset4.settings import data_folder, settings_file

    package = Path(pset4.__file__).parent
    beside = [path.relative_to(package.resolve().parent) for path in (data_folder(), settings_file())]
    return [package, *(parent / path for parent in (package.parent, package.resolve().parent) for path in beside)]


@functools.cache
def _linked_packages(libraries: tuple[Path, ...], shown: tuple[Path, ...]) -> list[Path]:
    """Packages outside the folders that are shown, to which links in the libraries lead (`uv` can install so)."""
    found: set[Path] = set()
    for library, link, target in _links(libraries):
        if not any(inside(target, path) for path in (*shown, *found)):
            package = _package_of(link, target, library)
            if not _reveals(package):
                found.add(package)
        if len(found) > MOST_LINKED_PACKAGES:
            raise TooManyLinks(
                f"the packages of this environment are links to more than {MOST_LINKED_PACKAGES} other places (the "
                f"last was {link}), which cannot all be shown to the sandbox; install them as copies "
                "(`uv pip install --link-mode=copy --reinstall`, `conda config --set allow_softlinks false`)"
            )
    return sorted(found)


def _reveals(path: Path) -> bool:
    """Whether showing a path would show the course or a home folder, too."""
    private = [*hidden_folders(), Path(os.path.expanduser("~"))]  # noqa: PTH111  (raises nothing without a home)
    return any(inside(folder, path) for folder in private) or any(inside(path, folder) for folder in hidden_folders())


def _package_of(link: Path, target: Path, library: Path) -> Path:
    """The folder of packages, or the package, that a link's target belongs to."""
    for parent in target.parents:
        if parent.name in SITE_NAMES:
            return parent
    while link.name == target.name and link.parent != library:
        link, target = link.parent, target.parent
    return target


def _links(libraries: Iterable[Path]) -> Iterator[tuple[Path, Path, Path]]:
    """The links below some folders, with the folder and with what they lead to."""
    for library in dict.fromkeys(path.resolve() for path in libraries):
        for entry in _walk(library):
            if entry.is_symlink():
                link = Path(entry.path)
                target = link.resolve()
                if target.exists():
                    yield library, link, target


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder; compiled files are left out, since Python does without."""
    queue = [str(folder)]
    while queue:
        try:
            entries = list(os.scandir(queue.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.name != "__pycache__":
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    queue.append(entry.path)


def first_unreadable(path: Path) -> Path | None:
    """The first file or folder at or below a path that other users of this machine may not read, or None."""
    if not _others_may_read(path.stat()):
        return path
    unreadable = (
        entry.path
        for entry in (_walk(path) if path.is_dir() else ())
        if not entry.is_symlink() and not _others_may_read(entry.stat(follow_symlinks=False))
    )
    return next(map(Path, unreadable), None)


def _others_may_read(status: os.stat_result) -> bool:
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
    regular = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return not regular or status.st_mode & needed == needed
