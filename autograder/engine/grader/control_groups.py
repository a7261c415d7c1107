"""Control groups, where this account may make some: bounds on the memory and the processes of a submission."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path

import psutil

from autograder.engine.wire.limits import Limits

GROUPS = Path("/sys/fs/cgroup")
_numbers = itertools.count()


class ControlGroup:
    """Control groups of one submission (v1 or v2): memory and processes of everything in them."""

    def __init__(self, folders: dict[str, Path], version: int) -> None:
        self._folders = folders
        self._version = version

    @classmethod
    def create(cls, limits: Limits) -> ControlGroup | None:
        """New groups with these limits, or None where this account may not make any."""
        return cls._create_v1(limits) or cls._create_v2(limits)

    @classmethod
    def _create_v1(cls, limits: Limits) -> ControlGroup | None:
        settings = {
            "memory": [
                ("memory.limit_in_bytes", limits.memory_bytes),
                ("memory.memsw.limit_in_bytes", limits.memory_bytes),
            ],
            "pids": [("pids.max", limits.processes)],
        }
        folders = {}
        for controller in settings:
            own = _own_group(controller)
            if own is not None:
                path = _make(GROUPS / controller / own.lstrip("/"))
                if path is not None:
                    folders[controller] = path
        group = cls(folders, 1)
        written = {
            name: _write(path / name, value)
            for controller, path in folders.items()
            for name, value in settings[controller]
        }
        if not written.get("memory.limit_in_bytes"):
            group.remove()  # a group without its limit would keep us from watching
            return None
        return group

    @classmethod
    def _create_v2(cls, limits: Limits) -> ControlGroup | None:
        own = _own_group("")
        if own is None:
            return None
        mounts = [path for path in (GROUPS, GROUPS / "unified") if (path / "cgroup.controllers").exists()]
        for mount in mounts:
            start = mount / own.lstrip("/")
            for parent in (start, *start.parents):
                if not (parent == mount or mount in parent.parents):
                    break
                if "memory" not in _read(parent / "cgroup.subtree_control").split():
                    continue
                path = _make(parent)
                if path is not None:
                    group = cls({"memory": path}, 2)
                    if _write(path / "memory.max", limits.memory_bytes):
                        _write(path / "memory.swap.max", 0)
                        _write(path / "memory.oom.group", 1)
                        _write(path / "pids.max", limits.processes)
                        return group
                    group.remove()
        return None

    def entrances(self) -> list[str]:
        """Files into which a process writes 0 to enter."""
        return [str(path / "cgroup.procs") for path in self._folders.values()]

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed a process of the group for its memory."""
        path = self._folders["memory"]
        text = _read(path / ("memory.oom_control" if self._version == 1 else "memory.events"))
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in text.splitlines())

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
