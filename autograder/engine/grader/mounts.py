"""bubblewrap's command line: the namespaces of one submission and the file system that it sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autograder.engine.grader.places import HOME, SYSTEM_FOLDERS, Layer, layers, system_paths
from autograder.engine.wire.limits import Limits

USER_IN_NAMESPACE = 1000
WRITABLE = {"/tmp": 4, "/dev/shm": 4, HOME: 2}
"""The folders that a submission may write to, and the shares of its limit on files; these add up to the limit."""


def command(
    program: str, *, ordinary: bool, limits: Limits, shown: Mapping[Path, Path], hidden: Iterable[Path], device: str
) -> list[str]:
    """The bubblewrap command line of one submission.

    Args:
        program: Path of bubblewrap.
        ordinary: Whether the namespaces need a user namespace to be made in.
        limits: Sizes of the folders that it may write to.
        shown: What it sees beside the system: place in the sandbox, and resolved path on this machine.
        hidden: Folders that it does not see, whatever surrounds them.
        device: "cuda" passes the GPU's device files through.
    """
    options = [program, *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts")]
    options += ["--unshare-cgroup-try", "--hostname", "sandbox", "--new-session", "--as-pid-1"]
    if ordinary:
        number = str(USER_IN_NAMESPACE)
        options += ["--unshare-user", "--disable-userns", "--uid", number, "--gid", number]
    options += ["--cap-drop", "ALL", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
    options += _system_links()
    # Settings of the kernel in /proc belong to root, and a file's owner needs no privilege to write.
    options += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    if device.startswith("cuda"):
        options += _graphics()
    else:
        # Reads the same, but cannot be mapped: shared memory without a file is on nobody's account.
        options += ["--dev-bind", "/dev/full", "/dev/zero"]
    # First of all the sandbox's own folders: what stands below them on this machine is bound on top.
    for path, share in WRITABLE.items():
        options += ["--size", str(max(limits.file_bytes // share, 4096)), "--perms", "1777", "--tmpfs", path]
    options += _mounts(layers({**system_paths(), **shown}, hidden))
    # bubblewrap's own root and /dev are in memory, too, and without a bound.
    options += ["--remount-ro", "/dev", "--remount-ro", "/"]
    # An ignored SIGCHLD is inherited: orphans of the submission vanish instead of filling the process table.
    return [*options, "--", "/bin/sh", "-c", "trap '' CHLD; echo ready; exec cat >/dev/null"]


def _mounts(steps: Sequence[Layer]) -> list[str]:
    """Options that show and hide; folders that are there only to hide become read-only when all is in place."""
    options: list[str] = []
    parents = dict.fromkeys(parent for step in steps for parent in list(step.place.parents)[-2::-1])
    made: set[Path] = set()
    for step in steps:
        # bubblewrap would make these folders for their owner only.
        missing = [parent for parent in parents if parent in step.place.parents and parent not in made]
        for parent in missing:
            options += ["--perms", "0755", "--dir", str(parent)]
        made.update(missing)
        if step.source is None:
            options += ["--perms", "0755", "--tmpfs", str(step.place)]
        else:
            options += ["--ro-bind", str(step.source), str(step.place)]
    for step in steps:
        options += ["--remount-ro", str(step.place)] if step.source is None else []
    return options


def _system_links() -> list[str]:
    options = []
    for path in (Path("/", name) for name in SYSTEM_FOLDERS):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "localtime", "mime.types"):
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options


def _graphics() -> list[str]:
    options = []
    for path in sorted(Path("/dev").glob("nvidia*")):
        options += ["--dev-bind", str(path), str(path)]
    for name in ("/sys/devices/system", "/sys/bus/pci", "/sys/module/nvidia", "/etc/nvidia", "/etc/OpenCL"):
        options += ["--ro-bind-try", name, name]
    return options
