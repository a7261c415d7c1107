"""Namespaces for one submission, made by bubblewrap, and what its process gives up before it runs a student's code.

bubblewrap builds the namespaces and an empty file system around a process that only waits (`Namespace`). A child of
the warm process joins them (`join`), gives up every privilege (`confine`) and then runs the submission. The namespaces
end when their waiting process ends: when it is killed, or when the pipe that it reads is closed, which the kernel does
if the grader itself dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import re
import select
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from autograder.engine.grader.assets import MANIFEST, manifest_for_sandbox, shown_assets
from autograder.engine.grader.home import copy_into_home
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
FIRST_FREE_USER, LAST_FREE_USER = 61184, 65519

ADVICE = (
    "Grading runs students' code in a sandbox, which needs Linux, bubblewrap {version} or newer and libseccomp: "
    "`apt install bubblewrap libseccomp2` (Debian, Ubuntu) or `dnf install bubblewrap libseccomp` (Fedora), and "
    "`pip install pyseccomp`. On macOS and Windows, grade in a Linux virtual machine or container. To run students' "
    "code without a sandbox, with all rights of your account, set unsafe_no_sandbox in pset4.toml (or, with "
    "`python -m autograder grade`, use --unsafe-no-sandbox)."
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
        texts = {place: _in_memory(text) for place, text in data.items()}
        info_read, info_write = os.pipe()
        try:
            for place, descriptor in texts.items():
                line[1:1] = ["--perms", "0444", "--ro-bind-data", str(descriptor), str(place)]
            line[1:1] = ["--info-fd", str(info_write)]
            self._process = subprocess.Popen(
                line,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[info_write, *texts.values()],
                env={},
                start_new_session=True,
                cwd="/",
            )
        finally:
            for descriptor in (info_write, *texts.values()):
                os.close(descriptor)
        try:
            self._wait_until_ready()
            info = b"".join(iter(functools.partial(os.read, info_read, 4096), b""))
            self.pid = int(json.loads(info)["child-pid"])
            self.handle = os.pidfd_open(self.pid)
            self.root = os.open(f"/proc/{self.pid}/root", os.O_PATH | os.O_DIRECTORY)
            copy_into_home(self.root, scratch_files, limits)
        except BaseException:
            self._end()
            raise
        finally:
            os.close(info_read)

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
            self._end()
            os.close(self.handle)
            os.close(self.root)

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
    used = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                used.add(entry.stat().st_uid)
    span = LAST_FREE_USER - FIRST_FREE_USER
    start = (os.getpid() * 131 + time.monotonic_ns()) % span
    return next(
        FIRST_FREE_USER + (start + i) % span for i in range(span) if FIRST_FREE_USER + (start + i) % span not in used
    )


def _in_memory(text: str) -> int:
    descriptor = os.memfd_create("passwd")
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWTIME = 0x10000000, 0x20000000, 0x40000000, 0x80


def join(handle: int, root: int, *, users: bool) -> None:
    """Moves this process into the namespaces of another; its next child is in their process namespace, too.

    Args:
        handle: A pidfd of a process in the namespaces.
        root: A descriptor of that process's root folder.
        users: Whether there is a user namespace among them.
    """
    kinds = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP
    if users:
        kinds |= CLONE_NEWUSER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, kinds):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot join the sandbox's namespaces: {os.strerror(number)}")
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")


PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 4, 24, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522


def confine(user: int | None, *, device: str) -> None:
    """Gives up every privilege, for good, and puts the system call filter in place.

    Args:
        user: The user to become, where this process is root; None if it has privileges in a user namespace only.
        device: "cuda" leaves shared anonymous memory open, which the driver needs.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(*arguments: int) -> None:
        if libc.prctl(*(ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:5])):
            raise OSError(ctypes.get_errno(), f"prctl{arguments} failed")

    for capability in range(64):
        with contextlib.suppress(OSError):
            prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capset failed")
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    # A change of user makes /proc/self unreadable for the process itself; subprocess and torch look there.
    prctl(PR_SET_DUMPABLE, 1)
    filter_system_calls(shared_memory=device.startswith("cuda"))


DENIED = (
    # other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise"),
    # namespaces and mounts
    *("unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount"),
    *("fspick", "move_mount", "open_tree", "mount_setattr", "name_to_handle_at", "open_by_handle_at", "fanotify_init"),
    # kernel interfaces with a long record of escapes
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl", "vmsplice", "lookup_dcookie", "nfsservctl", "modify_ldt", "vm86", "vm86old"),
    # the machine
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff"),
    *(
        "syslog",
        "acct",
        "quotactl",
        "quotactl_fd",
        "settimeofday",
        "clock_settime",
        "clock_adjtime",
        "adjtimex",
        "stime",
    ),
    *("iopl", "ioperm", "sethostname", "setdomainname", "vhangup", "personality"),
    # memory and queues that no limit of a process counts
    *("memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "msgget", "msgsnd", "semget", "semop", "mq_open"),
    *("mbind", "move_pages", "migrate_pages", "set_mempolicy"),
)
AF_UNIX = 1
SOL_SOCKET, SO_SNDBUF, SO_RCVBUF = 1, 7, 8
MAP_SHARED, MAP_ANONYMOUS = 0x01, 0x20
TIOCSTI, TIOCLINUX = 0x5412, 0x541C


def filter_system_calls(*, shared_memory: bool) -> None:
    """Denies what no submission needs; it cannot be undone, and children inherit it.

    Everything else is allowed, so that new versions of Python and torch keep working. Sockets are only of the kind that
    stays on the machine, and the namespaces leave nobody there to talk to.
    """
    import errno

    import pyseccomp as seccomp

    filters = seccomp.SyscallFilter(seccomp.ALLOW)
    denied = seccomp.ERRNO(errno.EPERM)
    for name in DENIED:
        with contextlib.suppress(RuntimeError, ValueError):  # names that this machine's kernel does not have
            filters.add_rule(denied, name)
    # The C library falls back to `clone`, whose flags a filter can read.
    filters.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    for flag in (
        *(CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET),
    ):
        filters.add_rule(denied, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    filters.add_rule(seccomp.ERRNO(errno.EACCES), "socket", seccomp.Arg(0, seccomp.NE, AF_UNIX))
    # Buffers of one known size: what waits in them can be told from the number of sockets.
    for option in (SO_SNDBUF, SO_RCVBUF):
        level = seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, SOL_SOCKET)
        filters.add_rule(denied, "setsockopt", level, seccomp.Arg(2, seccomp.MASKED_EQ, 0xFFFFFFFF, option))
    for request in (TIOCSTI, TIOCLINUX):
        filters.add_rule(denied, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    if not shared_memory:
        shared = MAP_SHARED | MAP_ANONYMOUS
        filters.add_rule(denied, "mmap", seccomp.Arg(3, seccomp.MASKED_EQ, shared, shared))
    filters.load()
