"""Namespaces for one submission, made by bubblewrap.

bubblewrap builds the namespaces and an empty file system around a process that only waits (`Namespace`). A child of
the warm process joins them and gives up every privilege (`engine/inside/confinement.py`). The namespaces end when
their waiting process ends: when it is killed, or when the pipe that it reads is closed, which the kernel does if the
grader itself dies.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import re
import select
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from autograder.engine.grader.assets import MANIFEST, manifest_for_sandbox, shown_assets
from autograder.engine.grader.home import copy_files
from autograder.engine.grader.mounts import USER_IN_NAMESPACE, WRITABLE, command
from autograder.engine.grader.places import (
    HOME,
    TooManyLinks,
    at_their_places,
    first_unreadable,
    hidden_folders,
    shown_paths,
)
from autograder.engine.wire.limits import Limits
from pset4.files.assets import AssetError

OLDEST_BUBBLEWRAP = (0, 8)
# CVE-2026-41163: an older one with the setuid bit lets any local user change the root of its file system.
OLDEST_SETUID_BUBBLEWRAP = (0, 11, 2)
LEAST_DESCRIPTORS = 64
START_SECONDS = 20.0
# The range that systemd keeps for users that exist only while a service runs.
FREE_USERS = range(61184, 65520)

ADVICE = (
    "Grading runs students' code in a sandbox, which needs Linux, bubblewrap {version} or newer and libseccomp: "
    "`apt install bubblewrap libseccomp2` (Debian, Ubuntu) or `dnf install bubblewrap libseccomp` (Fedora), and "
    "`pip install pyseccomp`. On macOS and Windows, grade in a Linux virtual machine or container. To run students' "
    "code without a sandbox, with all rights of your account, set unsafe_no_sandbox in pset4.toml (or, with "
    "`autograder grade`, use --unsafe-no-sandbox)."
).format(version=".".join(map(str, OLDEST_BUBBLEWRAP)))


class SandboxUnavailable(Exception):
    """There is no sandbox on this machine; the message says why and how to get it."""

    def __init__(self, reason: str, *, advice: str = ADVICE) -> None:
        """Takes what is wrong, and what to do; `advice` is "" where the reason says it already."""
        super().__init__(f"{reason}\n{advice}" if advice else reason)


def check_available() -> None:
    """Makes sure that submissions can be sandboxed here.

    Raises:
        SandboxUnavailable: If not.
    """
    if sys.platform != "linux":
        raise SandboxUnavailable(f"There is no sandbox for this operating system ({sys.platform}).")
    occupy_standard_descriptors()
    _check_descriptors()
    _bubblewrap()
    try:
        import pyseccomp  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        raise SandboxUnavailable(f"The system call filter is missing ({type(error).__name__}: {error}).") from None


@functools.cache
def _bubblewrap() -> str:
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxUnavailable("bubblewrap (`bwrap`) is not installed.")
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = tuple(int(number) for number in re.findall(r"\d+", shown)[:3])
    if numbers < OLDEST_BUBBLEWRAP:
        raise SandboxUnavailable(f"{path} is too old ({shown.strip() or 'unknown version'}).")
    if os.stat(path).st_mode & stat.S_ISUID and numbers < OLDEST_SETUID_BUBBLEWRAP:  # noqa: PTH116
        raise SandboxUnavailable(
            f"{path} ({shown.strip()}) has the setuid bit, which makes CVE-2026-41163 a way for every user of this "
            f"machine to become root: update bubblewrap to {'.'.join(map(str, OLDEST_SETUID_BUBBLEWRAP))} or newer, "
            f"or remove the bit: `chmod u-s {shlex.quote(path)}`.",
            advice="",
        )
    return path


def occupy_standard_descriptors() -> None:
    """Opens 0, 1 and 2 on nothing where they are closed (a grader started by `cron` or with `<&-`).

    Otherwise a pipe or a socket gets one of these numbers, and the next program takes it for its input or output.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _check_descriptors() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        soft = 1024 if hard == resource.RLIM_INFINITY else min(hard, max(soft, 1024))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < LEAST_DESCRIPTORS:
        raise SandboxUnavailable(
            f"This account may open only {soft} files at a time (`ulimit -n`), and grading needs {LEAST_DESCRIPTORS}: "
            "raise the limit, for example with `ulimit -n 1024`, and grade again.",
            advice="",
        )


def check_readable(paths: Iterable[Path]) -> None:
    """Makes sure that the sandbox's user may read what is shown to it.

    In a user namespace it is the grader's own account; root's submissions run as a user that owns nothing.

    Args:
        paths: Files and folders on this machine.

    Raises:
        SandboxUnavailable: If one is closed to other users; the message names the first one and the remedy.
    """
    if not is_ordinary():
        _check_open_to_all(tuple(sorted(set(paths))))


@functools.cache
def _check_open_to_all(paths: tuple[Path, ...]) -> None:
    closed = {path: first for path in paths if (first := first_unreadable(path))}
    if closed:
        raise SandboxUnavailable(
            f"Submissions run as a user of their own, who cannot read {next(iter(closed.values()))} (it was made for "
            "its owner only, as under umask 077): grade as the user whom it belongs to, or type "
            f"`chmod -R a+rX {' '.join(shlex.quote(str(path)) for path in closed)}`.",
            advice="",
        )


def is_ordinary() -> bool:
    """Whether this account needs a user namespace to make the others; root makes them itself and steps down later."""
    return os.geteuid() != 0


class Namespace:
    """The namespaces of one submission, and the process that holds them open."""

    def __init__(
        self,
        *,
        limits: Limits,
        scratch_files: Path | None,
        device: str,
        readable: Sequence[Path] = (),
        hidden: Sequence[Path] = (),
    ) -> None:
        """Starts them.

        Args:
            limits: Sizes of the folders that the submission may write to.
            scratch_files: Folder whose regular files it gets a copy of, in its home.
            device: "cuda" passes the GPU through.
            readable: Files and folders that it sees beside Python, `pset4` and the files of the manifest.
            hidden: Folders that it does not see beside the course's, whatever surrounds them.

        Raises:
            SandboxUnavailable: If bubblewrap refuses, or if what is shown cannot be read or used.
        """
        check_available()
        shown, data = _shown(readable)
        check_readable(shown.values())
        self.has_users = is_ordinary()
        self.user = USER_IN_NAMESPACE if self.has_users else _free_user()
        data[Path("/etc/passwd")] = f"student:x:{self.user}:{self.user}:student:{HOME}:/bin/sh\n"
        everything = [*hidden_folders(), *(path.resolve() for path in hidden)]
        line = command(
            _bubblewrap(), ordinary=self.has_users, limits=limits, shown=shown, hidden=everything, device=device
        )
        with ExitStack() as opened:
            reading, writing = os.pipe()
            with os.fdopen(reading, "rb") as info:
                self._process = _launch(line, data, writing)
                opened.callback(self._end)
                self._wait_until_ready()
                self.pid = int(json.load(info)["child-pid"])
            self.handle = os.pidfd_open(self.pid)
            opened.callback(os.close, self.handle)
            self.root = os.open(f"/proc/{self.pid}/root", os.O_PATH | os.O_DIRECTORY)
            opened.callback(os.close, self.root)
            copy_files(scratch_files, Path(f"/proc/self/fd/{self.root}{HOME}"), limits)
            self._opened = opened.pop_all()

    def _wait_until_ready(self) -> None:
        assert self._process.stdout is not None and self._process.stderr is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        if not ready or self._process.stdout.readline() != b"ready\n":
            readable, _, _ = select.select([self._process.stderr], [], [], 1.0)
            said = os.read(self._process.stderr.fileno(), 2000).decode(errors="replace").strip() if readable else ""
            raise SandboxUnavailable(
                f"bubblewrap could not set up the sandbox: {said or 'no answer'}. Containers often forbid namespaces "
                "(Docker: --security-opt seccomp=unconfined --cap-add SYS_ADMIN), and Ubuntu asks for an AppArmor "
                "profile for bwrap."
            )

    def usage(self) -> tuple[int, int]:
        """Bytes and number of the files that were written."""
        size = number = 0
        for path in WRITABLE:
            with contextlib.suppress(OSError):
                space = os.statvfs(f"/proc/{self.pid}/root{path}")
                size += (space.f_blocks - space.f_bfree) * space.f_frsize
                number += space.f_files - space.f_ffree
        return size, number

    def kill(self) -> None:
        """Kills every process in the namespaces."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def close(self) -> None:
        """Kills every process and frees what the namespaces held."""
        if self._process.returncode is None:
            self.kill()
            self._opened.close()

    def _end(self) -> None:
        # Without its input, the process that holds the namespaces ends; if there is none yet, bubblewrap is stopped.
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        try:
            # The kernel ends a namespace's last process only after all others are gone.
            self._process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _shown(readable: Sequence[Path]) -> tuple[dict[Path, Path], dict[Path, str]]:
    """What a submission sees beside the system: paths of this machine, and files made for it."""
    try:
        shown = shown_paths() | at_their_places(readable) | shown_assets()
        manifest = manifest_for_sandbox()
    except (AssetError, TooManyLinks) as error:
        raise SandboxUnavailable(str(error), advice="") from None
    return shown, {} if manifest is None else {MANIFEST: manifest}


def _free_user() -> int:
    """A user of its own for each submission, so that limits by user and signals meet no other submission."""
    used = {user for process in psutil.process_iter(["uids"]) for user in process.info["uids"] or ()}
    return random.SystemRandom().choice(sorted(set(FREE_USERS) - used))


def _launch(line: Sequence[str], data: Mapping[Path, str], info: int) -> subprocess.Popen[bytes]:
    """Starts bubblewrap.

    Args:
        line: Its command line.
        data: Files that exist in the sandbox only: place and content.
        info: Where it says which process it has started; closed here, whatever happens.
    """
    program, *options = line
    with ExitStack() as given:
        given.callback(os.close, info)
        files = {place: given.enter_context(os.fdopen(os.memfd_create("file"), "w+")) for place in data}
        for place, file in files.items():
            file.write(data[place])
            file.seek(0)
            options[:0] = ["--perms", "0444", "--ro-bind-data", str(file.fileno()), str(place)]
        return subprocess.Popen(
            [program, "--info-fd", str(info), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[info, *(file.fileno() for file in files.values())],
            env={},
            start_new_session=True,
            cwd="/",
        )
