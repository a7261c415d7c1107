"""How much memory a submission's processes hold, and whether the machine itself ran short of it.

psutil tells private memory from shared only by an exact look at every page, and knows neither page tables nor sockets
nor what the kernel killed: these are read from /proc.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

# An exact look walks through all pages of a process; while memory does not grow, it may take one part in so many of
# the time. What a process overwrites of its copy of shared memory is growth that only an exact look sees.
REST, LONGEST_REST = 10, 0.5
# Below this share of its memory, a machine counts as short; programs that guard it begin to kill there.
SHORT = 0.05


class Footprint:
    """Memory of a submission's processes, beyond what they share with the process that they were forked from.

    Counted are private memory, shared mappings (each page once, however many processes map it), what of both is
    swapped, page tables, files in memory, and sockets, each with the largest buffers that it may have.

    What the warm process shares is never counted: its size is taken off once, even where the submission has written to
    its copy of it. The sum is then too small by this size at most.

    Args:
        pid: The first process, just forked.
    """

    def __init__(self, pid: int) -> None:
        sizes = status_bytes(pid)
        self._shared = _private(sizes)
        self._tables = sizes.get("VmPTE", 0)
        self._buffers = _socket_buffers()
        self._rest_until = 0.0
        self._known = 0  # what the last exact look found, and the plain sizes then
        self._plain: dict[int, int] = {}

    def exceeds(self, limit: int, pids: Sequence[int], *, files: int, sockets: int) -> bool:
        """Whether some processes hold more than a limit.

        Args:
            limit: In bytes.
            pids: The processes.
            files: Bytes of the files in memory; those that are mapped are counted once.
            sockets: Number of their sockets.
        """
        all_sizes = {pid: status_bytes(pid) for pid in pids}
        tables = sum(max(0, sizes.get("VmPTE", 0) - self._tables) for sizes in all_sizes.values())
        room = limit - tables - sockets * self._buffers
        plain = {pid: _private(sizes) + sizes.get("RssShmem", 0) for pid, sizes in all_sizes.items()}
        if max(0, sum(plain.values()) - self._shared) + files <= room:
            return False  # even with every shared page counted as often as it is mapped
        plain[0] = files
        growth = sum(max(0, size - self._plain.get(pid, 0)) for pid, size in plain.items())
        if time.monotonic() < self._rest_until and self._known + growth <= room:
            return False
        begun = time.thread_time()
        self._known, self._plain = self._exact(all_sizes, files), plain
        self._rest_until = time.monotonic() + min(LONGEST_REST, REST * (time.thread_time() - begun))
        return self._known > room

    def _exact(self, all_sizes: dict[int, dict[str, int]], files: int) -> int:
        """The same with the kernel's proportional sizes, in which a page that n processes map counts 1/n in each."""
        private = mapped = largest = 0
        for pid, sizes in all_sizes.items():
            try:
                rollup = rollup_bytes(pid)
            except PermissionError:  # it hides its pages; then each counts in full
                rollup = {"Pss_Anon": sizes.get("RssAnon", 0), "Pss_Shmem": sizes.get("RssShmem", 0)}
            # Kernels before 5.3 give the sum of all kinds only.
            private += rollup.get("Pss_Anon", rollup.get("Pss", 0)) + rollup.get("SwapPss", 0)
            mapped += rollup.get("Pss_Shmem", 0)
            largest = max(largest, _private(sizes))
        return max(private - self._shared, largest - self._shared, 0) + max(mapped, files)


class Machine:
    """Whether the machine has run out of memory since this was made."""

    def __init__(self) -> None:
        self._kills = _kills()
        self._short = False

    def look(self) -> None:
        """Notes whether memory is short just now; afterwards it cannot be seen any more."""
        memory = psutil.virtual_memory()
        self._short |= memory.available < SHORT * memory.total

    @property
    def ran_short(self) -> bool:
        """Whether the kernel killed somebody for memory, or memory was so short that another program may have."""
        return self._short or _kills() > self._kills


def descendants(pid: int) -> list[int]:
    """A process and all that it started.

    psutil would find them by reading every process of the machine, and the watcher looks fifty times a second.
    """
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = map(int, (task / "children").read_text().split())
                found += [child for child in children if child not in found]
    return found


def status_bytes(pid: int) -> dict[str, int]:
    """The sizes in a process's status, in bytes; none if it is gone."""
    return _sizes(Path(f"/proc/{pid}/status"))


def rollup_bytes(pid: int) -> dict[str, int]:
    """The sums over a process's mappings, in bytes; none if it is gone.

    Raises:
        PermissionError: If it hides them.
    """
    return _sizes(Path(f"/proc/{pid}/smaps_rollup"))


def sockets_of(pid: int) -> int:
    """Number of sockets in a process's network namespace, those that are on their way in a message included."""
    return _number(Path(f"/proc/{pid}/net/sockstat"), "sockets: used ")


def _private(sizes: dict[str, int]) -> int:
    return sizes.get("RssAnon", 0) + sizes.get("VmSwap", 0)


def _socket_buffers() -> int:
    """Bytes that wait in a socket at most: it is full from one buffer on, and its last message may be another one."""
    return 2 * _number(Path("/proc/sys/net/core/wmem_default"), "")


def _kills() -> int:
    """How many processes the kernel has killed for memory since it started."""
    return _number(Path("/proc/vmstat"), "oom_kill ")


def _number(path: Path, label: str) -> int:
    """The number behind a label in a file of the kernel, or 0."""
    found = (line.removeprefix(label).split() for line in _lines(path) if line.startswith(label))
    return int(next(found, ["0"])[0])


def _sizes(path: Path) -> dict[str, int]:
    sizes = {}
    for line in _lines(path):
        name, _, rest = line.partition(":")
        if rest.endswith(" kB"):
            sizes[name] = int(rest.split()[0]) * 1024
    return sizes


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []  # other errors are the grader's own trouble, and must not look like a process that needs no memory
