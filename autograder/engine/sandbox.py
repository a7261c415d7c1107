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
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.engine.limits import Limits

HOME = "/home/student"
OLDEST_BUBBLEWRAP = (0, 8)
START_SECONDS = 20.0
COURSE = Path(__file__).resolve().parents[2]
USER_IN_NAMESPACE = 1000
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

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}\n{ADVICE}")


def check_available() -> None:
    """Makes sure that submissions can be sandboxed here.

    Raises:
        SandboxUnavailable: If not.
    """
    if sys.platform != "linux":
        raise SandboxUnavailable(f"There is no sandbox for this operating system ({sys.platform}).")
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
    numbers = tuple(int(number) for number in re.findall(r"\d+", shown)[:2])
    if numbers < OLDEST_BUBBLEWRAP:
        raise SandboxUnavailable(f"{path} is too old ({shown.strip() or 'unknown version'}).")
    return path


def is_ordinary() -> bool:
    """Whether this account needs a user namespace to make the others; root makes them itself and steps down later."""
    return os.geteuid() != 0


def command(*, limits: Limits, files: Sequence[str], readable: Sequence[Path], device: str) -> list[str]:
    """The bubblewrap command line of one submission.

    Args:
        limits: Sizes of the folders that it may write to.
        files: Options that put the submission's own files into place.
        readable: More files and folders that it may read.
        device: "cuda" passes the GPU's device files through.
    """
    options = [_bubblewrap(), *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts")]
    options += ["--unshare-cgroup-try", "--hostname", "sandbox", "--new-session", "--as-pid-1"]
    if is_ordinary():
        number = str(USER_IN_NAMESPACE)
        options += ["--unshare-user", "--disable-userns", "--uid", number, "--gid", number]
    options += ["--cap-drop", "ALL", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
    options += _system() + _python(readable)
    # Settings of the kernel in /proc belong to root, and a file's owner needs no privilege to write.
    options += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    if device.startswith("cuda"):
        options += _graphics()
    else:
        # Reads the same, but cannot be mapped: shared memory without a file is on nobody's account.
        options += ["--dev-bind", "/dev/full", "/dev/zero"]
    # The folders' sizes add up to the limit.
    for path, share in (("/tmp", 4), ("/dev/shm", 4), (HOME, 2)):
        options += ["--size", str(max(limits.file_bytes // share, 4096)), "--perms", "1777", "--tmpfs", path]
    options += files
    # bubblewrap's own root and /dev are in memory, too, and without a bound.
    options += ["--remount-ro", "/dev", "--remount-ro", "/"]
    # An ignored SIGCHLD is inherited: orphans of the submission vanish instead of filling the process table.
    return [*options, "--", "/bin/sh", "-c", "trap '' CHLD; echo ready; exec cat >/dev/null"]


def _system() -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "localtime", "mime.types"):
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options


def _python(readable: Sequence[Path]) -> list[str]:
    """Python, its packages and `pset4`, without the course that may surround them."""
    import pset4

    package = Path(pset4.__file__).resolve().parent
    wanted = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), *_site_folders()]
    wanted += [package, *readable]
    wanted += [path for path in (package.parent / "data", package.parent / "pset4.toml") if _belongs(path, package)]
    around = [path for path in wanted if _inside(COURSE, path) and path not in (package, *readable)]
    within = [path for path in wanted if path not in around and _inside(path, COURSE)]
    elsewhere = [path for path in wanted if path not in around and path not in within]
    options: list[str] = []
    for path in _outermost([*around, *elsewhere]):
        if not _inside(path, Path("/usr")):
            options += _bind(path)
    if around or _inside(COURSE, Path("/usr")):
        options += ["--tmpfs", str(COURSE)]
    for path in _outermost(within):
        options += _bind(path)
    if around or _inside(COURSE, Path("/usr")):
        options += ["--remount-ro", str(COURSE)]
    return options


def _bind(path: Path) -> list[str]:
    """Options that show a file or folder where it stands, read-only."""
    options = []
    for parent in list(path.parents)[-2::-1]:
        # bubblewrap would make these folders for their owner only.
        options += ["--perms", "0755", "--dir", str(parent)]
    return [*options, "--ro-bind", str(path), str(path)]


def _belongs(path: Path, package: Path) -> bool:
    """Whether a neighbour of the package is the course's, as in a checkout, and not some folder of that name."""
    return package.parent == COURSE and path.exists()


def _site_folders() -> list[Path]:
    return [
        Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages")) and Path(entry).is_dir()
    ]


def _outermost(paths: Iterable[Path]) -> list[Path]:
    found = list(dict.fromkeys(path for path in paths if path.exists()))
    return [path for path in found if not any(path != other and _inside(path, other) for other in found)]


def _inside(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _graphics() -> list[str]:
    options = []
    for path in sorted(Path("/dev").glob("nvidia*")):
        options += ["--dev-bind", str(path), str(path)]
    for name in ("/sys/devices/system", "/sys/bus/pci", "/sys/module/nvidia", "/etc/nvidia", "/etc/OpenCL"):
        options += ["--ro-bind-try", name, name]
    return options


@dataclass
class Files:
    """Copies of the submission's own files, on their way into the sandbox.

    bubblewrap reads them from open descriptors: a link in the submission's folder is never followed.
    """

    options: list[str]
    descriptors: list[int]

    def close(self) -> None:
        """Closes the descriptors."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()


def open_files(folder: Path | None, limits: Limits, *, most: int = 400) -> Files:
    """Opens the regular files of a folder, as far as they fit; links and special files are left out."""
    files = Files([], [])
    left = limits.file_bytes // 4
    for path, relative in regular_files(folder, most=most):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > left:
            os.close(descriptor)
            continue
        left -= status.st_size
        target = f"{HOME}/{relative}"
        parents = list(relative.parents)[-2::-1]
        for parent in parents:
            option = ["--perms", "0777", "--dir", f"{HOME}/{parent}"]
            files.options += option if option[3] not in files.options else []
        files.options += ["--perms", "0666", "--file", str(descriptor), target]
        files.descriptors.append(descriptor)
    return files


def regular_files(folder: Path | None, *, most: int) -> list[tuple[Path, Path]]:
    """Regular files of a folder and their places relative to it, without following links."""
    found: list[tuple[Path, Path]] = []
    if folder is None:
        return found
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not Path(root, name).is_symlink())
        for name in sorted(names):
            path = Path(root, name)
            if stat.S_ISREG(path.lstat().st_mode) and len(found) < most:
                found.append((path, path.relative_to(folder)))
    return found


class Namespace:
    """The namespaces of one submission, and the process that holds them open."""

    def __init__(self, *, limits: Limits, scratch_files: Path | None, readable: Sequence[Path], device: str) -> None:
        """Starts them.

        Raises:
            SandboxUnavailable: If bubblewrap refuses.
        """
        check_available()
        self.has_users = is_ordinary()
        self.user = USER_IN_NAMESPACE if self.has_users else _free_user()
        files = open_files(scratch_files, limits)
        passwd = _in_memory(f"student:x:{self.user}:{self.user}:student:{HOME}:/bin/sh\n")
        info_read, info_write = os.pipe()
        try:
            line = command(limits=limits, files=files.options, readable=readable, device=device)
            line[1:1] = ["--info-fd", str(info_write), "--perms", "0444", "--ro-bind-data", str(passwd), "/etc/passwd"]
            self._process = subprocess.Popen(
                line,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[info_write, passwd, *files.descriptors],
                env={},
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(info_write)
            os.close(passwd)
            files.close()
        try:
            self._wait_until_ready()
            info = b"".join(iter(functools.partial(os.read, info_read, 4096), b""))
            self.pid = int(json.loads(info)["child-pid"])
            self.handle = os.pidfd_open(self.pid)
            self.root = os.open(f"/proc/{self.pid}/root", os.O_PATH | os.O_DIRECTORY)
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
        for path in ("tmp", "dev/shm", HOME[1:]):
            with contextlib.suppress(OSError):
                space = os.statvfs(f"/proc/{self.pid}/root/{path}")
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
