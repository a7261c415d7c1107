"""What the process of a submission does to itself before it runs a student's code: none of it can be undone.

It is forked from the warm process, joins the namespaces that the grader has made (`join`), takes its limits
(`limit_this_process`), and gives up every privilege (`confine`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re

import psutil

from autograder.engine.wire.limits import Limits

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = (CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET)
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 4, 24, 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522

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
    *("syslog", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex"),
    *("stime", "iopl", "ioperm", "sethostname", "setdomainname", "vhangup", "personality"),
    # memory and queues that no limit of a process counts
    *("memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "msgget", "msgsnd", "semget", "semop", "mq_open"),
    *("mbind", "move_pages", "migrate_pages", "set_mempolicy"),
)
AF_UNIX = 1
SOL_SOCKET, SO_SNDBUF, SO_RCVBUF = 1, 7, 8
MAP_SHARED, MAP_ANONYMOUS = 0x01, 0x20
TIOCSTI, TIOCLINUX = 0x5412, 0x541C


def join(handle: int, root: int, *, users: bool) -> None:
    """Moves this process into the namespaces of another; its next child is in their process namespace, too.

    Args:
        handle: A pidfd of a process in the namespaces.
        root: A descriptor of that process's root folder.
        users: Whether there is a user namespace among them.
    """
    kinds = sum(NAMESPACES) + (CLONE_NEWUSER if users else 0)
    _succeed("setns", handle, kinds)
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent has ended."""
    with contextlib.suppress(OSError, AttributeError):  # macOS has nothing like it
        _succeed("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def limit_this_process(limits: Limits, *, sandboxed: bool) -> None:
    """Sets the limits that a process and its children keep.

    Memory counts from here: what the process shares with the warm process that it was forked from is not its own.

    Args:
        limits: The submission's.
        sandboxed: Whether the user has no other processes; the kernel counts them by user.
    """
    import resource

    own_data = getattr(psutil.Process().memory_info(), "data", 0)
    bounds = {
        "RLIMIT_DATA": own_data + limits.memory_bytes,
        "RLIMIT_NPROC": limits.processes if sandboxed and _counts_by_namespace() else -1,
        "RLIMIT_FSIZE": limits.file_bytes,
        # Pipes hold memory that nobody counts: two pages each, once a user has 64 MB of them.
        "RLIMIT_NOFILE": 512,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 64 * 1024,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_CPU": int(limits.submission_seconds * 4 * limits.threads) + 1,
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


def confine(user: int | None, *, device: str) -> None:
    """Gives up every privilege, for good, and puts the system call filter in place.

    Args:
        user: The user to become, where this process is root; None if it has privileges in a user namespace only.
        device: "cuda" leaves shared anonymous memory open, which the driver needs.
    """
    for capability in range(64):
        with contextlib.suppress(OSError):
            _succeed("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    _succeed("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _succeed("capset", (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)())
    _succeed("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # A change of user makes /proc/self unreadable for the process itself; subprocess and torch look there.
    _succeed("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)
    _filter_system_calls(shared_memory=device.startswith("cuda"))


def _succeed(name: str, *arguments: int | ctypes.Array[ctypes.c_uint32]) -> None:
    """Calls a function of the C library that returns 0 when all is well."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc[name](*(ctypes.c_ulong(given) if isinstance(given, int) else given for given in arguments)):
        number = ctypes.get_errno()
        raise OSError(number, f"{name} failed in the sandbox: {os.strerror(number)}")


def _filter_system_calls(*, shared_memory: bool) -> None:
    """Denies what no submission needs; children inherit it.

    Everything else is allowed, so that new versions of Python and torch keep working. Sockets are only of the kind that
    stays on the machine, and the namespaces leave nobody there to talk to.
    """
    import pyseccomp as seccomp

    filters = seccomp.SyscallFilter(seccomp.ALLOW)
    denied = seccomp.ERRNO(errno.EPERM)
    for name in DENIED:
        with contextlib.suppress(RuntimeError, ValueError):  # names that this machine's kernel does not have
            filters.add_rule(denied, name)
    # The C library falls back to `clone`, whose flags a filter can read.
    filters.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    for flag in (*NAMESPACES, CLONE_NEWUSER):
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
