"""Control groups, where this account may make some: bounds on the memory and the processes of a submission."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from autograder.engine.wire.limits import Limits

GROUPS = Path("/sys/fs/cgroup")
_numbers = itertools.count()


class ControlGroup:
    """Control groups of one submission (v1 or v2): memory and processes of everything in them.

    Args:
        folders: The group's folder for each controller; with v2, for "memory", which stands for all.
    """

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    @classmethod
    def create(cls, limits: Limits) -> ControlGroup | None:
        """New groups with these limits, or None where this account may not make any."""
        memory, processes = limits.memory_bytes, limits.processes
        v1 = {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory, "pids.max": processes}
        v2 = {"memory.max": memory, "memory.swap.max": 0, "memory.oom.group": 1, "pids.max": processes}
        attempts = [(_v1_parents(), v1), *(({"memory": parent}, v2) for parent in _v2_parents())]
        for parents, settings in attempts:
            group = cls({name: path for name, parent in parents.items() if (path := _make(parent))})
            has_limit, *_ = [group._set(name, value) for name, value in settings.items()]
            if has_limit:
                return group
            group.remove()  # a group without its limit would keep us from watching
        return None

    def _set(self, name: str, value: int) -> bool:
        folder = self._folders.get(name.partition(".")[0], self._folders.get("memory"))
        return folder is not None and _write(folder / name, value)

    def entrances(self) -> list[str]:
        """Files into which a process writes 0 to enter."""
        return [str(path / "cgroup.procs") for path in self._folders.values()]

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed a process of the group for its memory."""
        texts = [_read(self._folders["memory"] / name) for name in ("memory.oom_control", "memory.events")]
        return any(int(number) for number in re.findall(r"^oom_kill (\d+)$", "\n".join(texts), re.MULTILINE))

    def remove(self) -> None:
        """Removes the groups; their processes must be gone."""
        for path in self._folders.values():
            for _ in range(50):
                try:
                    path.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    # A process that was killed leaves its group a moment later.
                    time.sleep(0.01)
        self._folders = {}


def _v1_parents() -> dict[str, Path]:
    """This process's own group of each controller that we need."""
    own = {controller: _own_group(controller) for controller in ("memory", "pids")}
    return {controller: GROUPS / controller / path.lstrip("/") for controller, path in own.items() if path is not None}


def _v2_parents() -> Iterator[Path]:
    """This process's own group and those around it, as far as they hand memory on to the groups in them."""
    own = _own_group("")
    for mount in (GROUPS, GROUPS / "unified"):
        if own is not None and (mount / "cgroup.controllers").exists():
            group = mount / own.lstrip("/")
            for parent in (group, *group.parents):
                is_ours = parent == mount or mount in parent.parents
                if is_ours and "memory" in _read(parent / "cgroup.subtree_control").split():
                    yield parent


def _own_group(controller: str) -> str | None:
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and (controller or not controllers):
            return path
    return None


def _make(parent: Path) -> Path | None:
    _remove_abandoned(parent)
    path = parent / f"pset4-{os.getpid()}-{next(_numbers)}"
    try:
        path.mkdir()
    except OSError:
        return None
    return path


def _remove_abandoned(parent: Path) -> None:
    """Removes empty groups of graders that were killed before they could do it."""
    for path in parent.glob("pset4-*-*"):
        if not psutil.pid_exists(int(path.name.split("-")[1])):
            with contextlib.suppress(OSError):
                path.rmdir()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, value: int) -> bool:
    try:
        path.write_text(str(value))
    except OSError:
        return False
    return True
