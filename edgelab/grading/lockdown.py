"""Take from this process what a student's code does not need, for good. Linux only.

Landlock leaves it some folders to read and none to write. A seccomp filter leaves it the system calls of a
Python that computes: no sockets, no new programs or processes, no signals to others. Limits hold memory,
processor time and file sizes. All of it works without privileges, and none of it can be undone from within.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

from edgelab.texts import tr

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SIGKILL = 9

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446  # on every processor
RULE_PATH_BENEATH = 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
ALL_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
TCP_RIGHTS, SCOPE_RIGHTS = 0b11, 0b11  # from the versions 4 and 6 on

# AUDIT_ARCH_…, and the numbers of the system calls allowed: those of numpy and of Python's threads and files.
CALLS = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
        "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
        "rt_sigreturn": 15, "pread64": 17, "readv": 19, "writev": 20, "access": 21,
        "select": 23, "sched_yield": 24, "mremap": 25, "madvise": 28, "dup": 32, "dup2": 33,
        "nanosleep": 35, "getpid": 39, "clone": 56, "exit": 60, "uname": 63, "fcntl": 72, "getcwd": 79,
        "readlink": 89, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100,
        "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131,
        "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "getdents64": 217,
        "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
        "exit_group": 231, "tgkill": 234, "openat": 257, "newfstatat": 262, "readlinkat": 267,
        "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "prlimit64": 302, "getrandom": 318,
        "statx": 332, "rseq": 334, "faccessat2": 439, "futex_waitv": 449,
    },
    "aarch64": {
        "getcwd": 17, "dup": 23, "fcntl": 25, "faccessat": 48, "openat": 56, "close": 57,
        "getdents64": 61, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67,
        "pselect6": 72, "ppoll": 73, "readlinkat": 78, "newfstatat": 79, "fstat": 80, "exit": 93,
        "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113,
        "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
        "restart_syscall": 128, "tgkill": 131, "sigaltstack": 132, "rt_sigaction": 134,
        "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160, "getrlimit": 163,
        "getrusage": 165, "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174,
        "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179, "brk": 214,
        "munmap": 215, "mremap": 216, "clone": 220, "mmap": 222, "mprotect": 226, "madvise": 233,
        "prlimit64": 261, "getrandom": 278, "statx": 291, "rseq": 293, "faccessat2": 439,
        "futex_waitv": 449,
    },
}  # fmt: skip
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE3 = 435
CLONE_THREAD = 0x00010000
HARMLESS_FCNTL = (0, 1, 2, 3, 4, 1030)  # duplicate, flags; none that sends signals
EPERM, ENOSYS = 1, 38
KILL_PROCESS, REFUSE, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06


def missing() -> str:
    """Why this machine cannot lock a student's code in; empty when it can."""
    if platform.machine() not in CALLS:
        return tr("the system calls of {machine} are not known here", machine=platform.machine())
    if _landlock_version() < 1:
        return tr(
            "this kernel has Landlock switched off, or a container forbids it (Linux 5.13 and newer have it)"
        )
    return ""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: ctypes._SimpleCData | ctypes.Array | None) -> int:
    result = _libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _landlock_version() -> int:
    try:
        return _syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def _prctl(option: int, *values: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if _libc().prctl(ctypes.c_int(option), *padded):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def limit(memory_bytes: int, cpu_s: int) -> None:
    """Bound memory and processor time; no core dumps, no writing to files, few open ones."""
    for name, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(name, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # a signal, which tells why; then the end


def lock(readable: Iterable[Path], listable: Iterable[Path]) -> None:
    """Lock this process, and every thread that it will start, in.

    Args:
        readable: files and folders that it may go on reading. Nothing else can be opened, nothing written.
        listable: folders whose file names it may read.

    Raises:
        OSError: the kernel refuses; the process must then not run a student's code.
    """
    _prctl(PR_SET_PDEATHSIG, SIGKILL)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    _restrict_files(readable, listable)
    _filter_calls()


def _drop_capabilities() -> None:
    """Even when root grades: what is left then is a user without privileges, who cannot lift limits."""
    header = struct.pack("=Ii", 0x20080522, 0)
    number = {"x86_64": 126, "aarch64": 91}[platform.machine()]
    _syscall(number, ctypes.create_string_buffer(header), ctypes.create_string_buffer(24))


def _restrict_files(readable: Iterable[Path], listable: Iterable[Path]) -> None:
    version = _landlock_version()
    rights = ALL_FILE_RIGHTS[max(known for known in ALL_FILE_RIGHTS if known <= version)]
    attributes = struct.pack("=Q", rights)
    if version >= 4:
        attributes += struct.pack("=Q", TCP_RIGHTS)
    if version >= 6:
        attributes += struct.pack("=Q", SCOPE_RIGHTS)
    ruleset = _syscall(
        LANDLOCK_CREATE_RULESET,
        ctypes.create_string_buffer(attributes, len(attributes)),
        ctypes.c_size_t(len(attributes)),
        ctypes.c_uint32(0),
    )
    for path, allowed in [
        *((path, READ_FILE | READ_DIR) for path in readable),
        *((p, READ_DIR) for p in listable),
    ]:
        if not path.exists():
            continue
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", allowed if path.is_dir() else READ_FILE, descriptor)
        buffer = ctypes.create_string_buffer(rule, len(rule))
        arguments = ctypes.c_int(ruleset), ctypes.c_int(RULE_PATH_BENEATH), buffer, ctypes.c_uint32(0)
        _syscall(LANDLOCK_ADD_RULE, *arguments)
        os.close(descriptor)
    _syscall(LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _filter_calls() -> None:
    """A seccomp filter that allows `CALLS`; of some, an argument must have one of few values.

    struct seccomp_data: the call's number at 0, the architecture at 4, argument n at 16 + 8 n.
    """
    calls = dict(CALLS[platform.machine()])
    refuse = (RETURN, 0, 0, REFUSE | EPERM)
    allow = (RETURN, 0, 0, ALLOW)
    program: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, 4),
        (EQUAL, 1, 0, ARCHITECTURES[platform.machine()]),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, 0),
        # glibc then falls back to clone, whose flags a filter can read.
        (EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, REFUSE | ENOSYS),
    ]
    for name, argument, test, values in (
        ("clone", 0, ANY_BIT, (CLONE_THREAD,)),  # threads, but no processes
        ("tgkill", 0, EQUAL, (os.getpid(),)),  # abort() sends a signal to itself
        ("prlimit64", 0, EQUAL, (0,)),  # its own limits only
        ("fcntl", 1, EQUAL, HARMLESS_FCNTL),
    ):
        cases = [step for value in values for step in ((test, 0, 1, value), allow)]
        program += [
            (EQUAL, 0, len(cases) + 2, calls.pop(name)),
            (LOAD, 0, 0, 16 + 8 * argument),
            *cases,
            refuse,
        ]
    for number in sorted(calls.values()):
        program += [(EQUAL, 0, 1, number), allow]
    program.append(refuse)
    instructions = b"".join(struct.pack("=HBBI", *step) for step in program)
    code = ctypes.create_string_buffer(instructions, len(instructions))
    filters = struct.pack("@HP", len(program), ctypes.addressof(code))
    header = ctypes.create_string_buffer(filters, len(filters))
    _prctl(PR_SET_SECCOMP, 2, ctypes.addressof(header))
