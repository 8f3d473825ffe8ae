"""Lock this process down, irreversibly: no files, sockets, processes, environment, native code or further memory.

There are three layers, and each refuses on its own most of what a template that escapes from Jinja2's sandbox can try:

- Resource limits of the kernel, on every POSIX system: address space, CPU time, no new descriptors, no file of any
  size, no core dump, and no child processes. The last one does not apply to root.
- On Linux on x86-64 and ARM64, a seccomp filter: every system call that is not in ``ALLOWED_CALLS`` fails with
  ``EPERM``. The kernel enforces it for native code too.
- An audit hook: Python refuses to import, to open files, to start processes or to call native code. It also works
  without seccomp, but does not stop native code.

Nothing limits what the process does with its memory: code that escapes can read the contexts of the messages that the
same process renders, and can return any text for them.
"""

import os
import platform
import resource
import sys
from collections.abc import Callable
from typing import Any

from notifications.staff_templates.cage.budget import LIFETIME_CPU_SECONDS, MEMORY_BYTES

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The audit architecture of the kernel, by machine."""
ALLOWED_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "sigaltstack": (131, 132),
    "futex": (202, 98),
    "clock_gettime": (228, 113),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
"""The calls that Python needs to compute, to allocate memory and to use its pipes: their numbers, as in MACHINES."""
ALLOWED_EVENTS = {"builtins.id", "compile", "exec", "object.__getattr__"}
"""The audit events of filters, of compiling a template, and of reading the line of an error from a traceback."""
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE = 38, 22, 2
ALLOW, KILL_PROCESS, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1
"""Actions of a seccomp filter. The last one lets the call fail with ``EPERM``, which is 1."""
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
"""Instructions of a BPF program."""
NUMBER_OFFSET, MACHINE_OFFSET = 0, 4
"""Where ``struct seccomp_data`` has the number of the call and the architecture."""


def lock_down() -> list[str]:
    """Lock the process down and return the names of the layers that are in force.

    Import everything that is needed before: nothing can be imported afterwards.
    """
    layers = []
    os.environ.clear()
    os.closerange(2, 256)
    install_filter = prepare_filter()
    if set_limits():
        layers.append("rlimits")
    if install_filter is not None and install_filter():
        layers.append("seccomp")
    sys.meta_path.clear()
    sys.path.clear()
    sys.addaudithook(refuse_event)
    return [*layers, "audit hook"]


def set_limits() -> bool:
    """Set the limits, and return whether the system has taken all of them. macOS has none of the address space."""
    are_set = True
    for name, value in {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: LIFETIME_CPU_SECONDS,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }.items():
        try:
            resource.setrlimit(name, (value, value))
        except (OSError, ValueError):
            are_set = False
    return are_set


def prepare_filter() -> Callable[[], bool] | None:
    """Return a function that installs the seccomp filter and returns whether the kernel has taken it.

    Return None on a machine for which there is no filter.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if sys.platform != "linux" or machine not in MACHINES or sys.maxsize < 2**32:
        return None
    import ctypes

    class Instruction(ctypes.Structure):
        _fields_ = (
            ("code", ctypes.c_ushort),
            ("if_true", ctypes.c_ubyte),
            ("if_false", ctypes.c_ubyte),
            ("value", ctypes.c_uint32),
        )

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(Instruction)))

    rows = build_filter(machine)
    program = Program(len(rows), (Instruction * len(rows))(*(Instruction(*row) for row in rows)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)

    def install_filter() -> bool:
        filter_address = ctypes.addressof(program)
        return not prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) and not prctl(SET_SECCOMP, FILTER_MODE, filter_address, 0, 0)

    return install_filter


def build_filter(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the BPF program: calls of another architecture kill the process, and calls that are not named fail."""
    column = list(MACHINES).index(machine)
    numbers = [numbers[column] for numbers in ALLOWED_CALLS.values()]
    checks = [(JUMP_IF_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    return [
        (LOAD_WORD, 0, 0, MACHINE_OFFSET),
        (JUMP_IF_EQUAL, 1, 0, MACHINES[machine]),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD_WORD, 0, 0, NUMBER_OFFSET),
        *checks,
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]


def refuse_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse everything that Python audits, except what rendering needs."""
    if event not in ALLOWED_EVENTS:
        raise PermissionError(f"{event} is refused.")
