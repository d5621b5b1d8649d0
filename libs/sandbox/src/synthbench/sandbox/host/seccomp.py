"""A seccomp filter as a classic BPF program, without a library: a denylist over the kernel's rarely needed doors.

The sandbox has no capabilities and no-new-privileges already; the filter closes what an ordinary user may still do and
what past kernel exploits went through: new namespaces, mounts, keyrings, bpf, userfaultfd, io_uring, perf. Sources:
seccomp(2), linux/seccomp.h, the syscall tables of the kernel, the default profile of Docker (moby/profiles).
"""

import errno
import platform
import struct
from functools import cache

_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NR, _ARCH, _ARG0 = 0, 4, 16  # offsets in struct seccomp_data, little endian
_NAMESPACES = 0x20000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_X32 = 0x40000000

# New calls have the same number everywhere.
_SHARED = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "mount_setattr": 442,
}  # fmt: skip
_MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, {
        "socket": 41, "socketpair": 53, "prlimit64": 302, "clone": 56,
        "pivot_root": 155, "chroot": 161, "acct": 163, "mount": 165, "umount2": 166, "swapon": 167,
        "swapoff": 168, "reboot": 169, "init_module": 175, "delete_module": 176, "quotactl": 179, "kexec_load": 246,
        "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
        "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "finit_module": 313,
        "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    }),
    "aarch64": (0xC00000B7, {
        "socket": 198, "socketpair": 199, "prlimit64": 261, "clone": 220,
        "pivot_root": 41, "chroot": 51, "acct": 89, "mount": 40, "umount2": 39, "swapon": 224,
        "swapoff": 225, "reboot": 142, "init_module": 105, "delete_module": 106, "quotactl": 60, "kexec_load": 104,
        "add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97, "perf_event_open": 241,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268, "finit_module": 273,
        "kexec_file_load": 294, "bpf": 280, "userfaultfd": 282,
    }),
}  # fmt: skip
FAMILIES = (1, 2, 10, 16)
"""Socket families that a sandbox may use: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Others reach past its network
namespace (AF_VSOCK), or into rarely used code of the kernel."""
_WATCHED = {"clone", "prlimit64", "socket", "socketpair"}
"""Calls that are looked at by their first argument."""
# "not there" instead of "forbidden": libraries then take the older call (glibc for clone3, libuv for io_uring)
_ABSENT = {"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"}


@cache
def filter_program(machine: str | None = None) -> bytes | None:
    """The program for this machine type as bwrap's --seccomp reads it, or None where we know no numbers for it."""
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    arch, numbers = known
    refuse, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    program = [
        _op(_LOAD, _ARCH),
        _op(_JEQ, arch, yes=1),
        _op(_RET, refuse),  # another instruction set (i386 on x86_64) has other numbers
        _op(_LOAD, _NR),
        _op(_JGE, _X32, no=1),
        _op(_RET, absent),
    ]
    for name, number in sorted({**numbers, **_SHARED}.items()):
        if name not in _WATCHED:
            program += [_op(_JEQ, number, no=1), _op(_RET, absent if name in _ABSENT else refuse)]
    program += _socket_families(numbers["socket"], numbers["socketpair"], refuse)
    program += [
        _op(_JEQ, numbers["prlimit64"], no=4),
        _op(_LOAD, _ARG0),
        _op(_JEQ, 1, no=1),  # of PID 1: a limit of its processor time would end it, as if by somebody outside
        _op(_RET, refuse),
        _op(_RET, _ALLOW),
        _op(_JEQ, numbers["clone"], yes=1),
        _op(_RET, _ALLOW),
        _op(_LOAD, _ARG0),
        _op(_JSET, _NAMESPACES, no=1),
        _op(_RET, refuse),
        _op(_RET, _ALLOW),
    ]
    return b"".join(program)


def _socket_families(socket: int, socketpair: int, refuse: int) -> list[bytes]:
    """Let a call that makes a socket through for the families of the list only; other calls go on behind it."""
    tests = [_op(_JEQ, family, yes=len(FAMILIES) - index) for index, family in enumerate(FAMILIES)]
    return [
        _op(_JEQ, socket, yes=1),
        _op(_JEQ, socketpair, no=len(tests) + 3),
        _op(_LOAD, _ARG0),
        *tests,
        _op(_RET, refuse),
        _op(_RET, _ALLOW),
    ]


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One struct sock_filter; `yes` and `no` are the operations to skip."""
    return struct.pack("<HBBI", code, yes, no, value)
