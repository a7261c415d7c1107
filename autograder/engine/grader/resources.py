"""Bounds on memory, processes and files: the kernel's limits by process, and control groups where there are some."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from pathlib import Path

from autograder.engine.grader.memory import status_bytes
from autograder.engine.wire.limits import Limits

GROUPS = Path("/sys/fs/cgroup")
_numbers = itertools.count()


def limit_this_process(limits: Limits, *, sandboxed: bool) -> None:
    """Sets the limits that a process and its children keep.

    Memory counts from here: what the process shares with the warm process that it was forked from is not its own.

    Args:
        limits: The submission's.
        sandboxed: Whether the user has no other processes; the kernel counts them by user.
    """
    import resource

    data = _own_data() + limits.memory_bytes
    seconds = int(limits.submission_seconds * 4 * limits.threads) + 1
    bounds = {
        "RLIMIT_DATA": data,
        "RLIMIT_NPROC": limits.processes if sandboxed and _counts_by_namespace() else -1,
        "RLIMIT_FSIZE": limits.file_bytes,
        # Pipes hold memory that nobody counts: two pages each, once a user has 64 MB of them.
        "RLIMIT_NOFILE": 512,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 64 * 1024,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_CPU": seconds,
    }
    for name, bound in bounds.items():
        kind = getattr(resource, name, None)
        if kind is not None and bound >= 0:
            hard = resource.getrlimit(kind)[1]
            allowed = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (allowed, allowed))


def _counts_by_namespace() -> bool:
    """Whether the kernel counts a user's processes in this user namespace only (Linux 5.14), or the user is ours."""
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    return os.geteuid() == 0 or release >= (5, 14)


def _own_data() -> int:
    return status_bytes(os.getpid()).get("VmData", 0)


def descendants(pid: int) -> list[int]:
    """A process and all that it started."""
    found, queue = [pid], [pid]
    while queue:
        parent = queue.pop()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = (task / "children").read_text().split()
                fresh = [int(child) for child in children if int(child) not in found]
                found += fresh
                queue += fresh
    return found


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
        if not Path("/proc", path.name.split("-")[1]).exists():
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
