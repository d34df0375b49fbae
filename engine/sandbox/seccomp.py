"""The system call filter of sandboxes, built as classic BPF.

It refuses what containment does not cover, or what is mostly used for attacks: other namespaces and mounts, keyrings,
kernel programs and modules, asynchronous calls that no filter sees, sockets outside network namespaces, terminal input
injection. It allows what tools need: debuggers and tracers of their own processes, memory policy, nested Landlock and
seccomp. Everything not named here is allowed: the rest of the sandbox must cover it.
"""

import errno
import platform
import struct
from functools import cache

from msgspec import Struct

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE = 0, 4
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
X32 = 0x40000000

NAMESPACES = 0x7E020080
"""The CLONE_NEW… flags of clone and unshare: user, pid, net, ipc, uts, cgroup, mount and time."""
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
EVERYONE = 0xFFFFFFFF
PERSONALITIES = (0x0, 0x0040000, 0xFFFFFFFF)
"""Allowed personalities: the default, the one without address randomisation that debuggers use, and the query."""

# Name: number on x86-64, number on arm64; None if there is no such call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "socket": (41, 198),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
AUDIT_NAMES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""By machine: its column above, and the kernel's name for its calls (AUDIT_ARCH_…)."""

ABSENT = (
    "clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "keyctl", "add_key", "request_key",
    "userfaultfd",
)  # fmt: skip
"""Answered with ENOSYS, as an older kernel would: programs fall back, from clone3 to clone for example."""
FORBIDDEN = (
    "acct", "bpf", "clock_adjtime", "clock_settime", "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen",
    "fspick", "init_module", "ioperm", "iopl", "kexec_file_load", "kexec_load", "mount", "mount_setattr", "move_mount",
    "open_by_handle_at", "open_tree", "open_tree_attr", "perf_event_open", "pivot_root", "quotactl", "quotactl_fd",
    "reboot", "setns", "settimeofday", "swapoff", "swapon", "syslog", "umount2",
)  # fmt: skip
QUEUES = ("mq_open", "msgget", "semget", "shmget")
"""System V message queues, semaphores and shared memory, which need a namespace to be private."""


class Instruction(Struct, frozen=True):
    """One `struct sock_filter` of the kernel: an operation, jump offsets for true and false, and a number."""

    code: int
    true: int
    false: int
    value: int


@cache
def build_filter(*, namespaces: bool, network: bool, machine: str = "") -> bytes | None:
    """The filter for `machine` (default: this one); None if its call numbers are unknown.

    `namespaces`: whether the sandbox has its own network and message queues. If not, sockets are refused except for
    pairs, and except for Internet sockets if `network` is granted.
    """
    known = AUDIT_NAMES.get(machine or platform.machine())
    if known is None:
        return None
    column, architecture = known
    program = [
        Instruction(LOAD, 0, 0, ARCHITECTURE),
        Instruction(JUMP_EQUAL, 1, 0, architecture),
        _refuse(errno.ENOSYS),  # calls of another architecture, such as 32-bit ones, have other numbers
        Instruction(LOAD, 0, 0, NUMBER),
    ]
    if column == 0:
        program += [Instruction(JUMP_AT_LEAST, 0, 1, X32), _refuse(errno.ENOSYS)]
    names = dict.fromkeys(ABSENT, errno.ENOSYS) | dict.fromkeys(FORBIDDEN, errno.EPERM)
    families: tuple[int, ...] = (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)
    if not namespaces:
        names |= dict.fromkeys(QUEUES, errno.ENOSYS)
        families = (AF_INET, AF_INET6) if network else ()
    for name, answer in names.items():
        number = NUMBERS[name][column]
        if number is not None:
            program += [Instruction(JUMP_EQUAL, 0, 1, number), _refuse(answer)]
    for name, rules in _on_arguments(families, namespaces=namespaces).items():
        number = NUMBERS[name][column]
        assert number is not None
        program += [Instruction(JUMP_EQUAL, 0, len(rules), number), *rules]
    program.append(_allow())
    return b"".join(struct.pack("=HBBI", step.code, step.true, step.false, step.value) for step in program)


def _on_arguments(families: tuple[int, ...], *, namespaces: bool) -> dict[str, list[Instruction]]:
    """Instructions for calls that depend on an argument, after the number has matched. Each list ends the filter."""
    no_namespaces = [_argument(0), Instruction(JUMP_ANY_BIT, 0, 1, NAMESPACES), _refuse(errno.EPERM), _allow()]
    rules = {
        "clone": no_namespaces,
        "unshare": no_namespaces,
        "ioctl": [_argument(1), *_test((TIOCSTI, TIOCLINUX), _refuse(errno.EPERM), _allow())],
        "personality": [_argument(0), *_test(PERSONALITIES, _allow(), _refuse(errno.EPERM))],
        "socket": [_argument(0), *_sockets(families)],
    }
    if not namespaces:
        # Processes of the same user are all visible: neither may all be killed at once, nor limits be set for another.
        rules["kill"] = [_argument(0), *_test((EVERYONE,), _refuse(errno.EPERM), _allow())]
        rules["prlimit64"] = [_argument(0), *_test((0,), _allow(), _refuse(errno.EPERM))]
    return rules


def _sockets(families: tuple[int, ...]) -> list[Instruction]:
    """Of netlink, only routes are allowed: its other services reveal or change the whole machine."""
    plain = tuple(family for family in families if family != AF_NETLINK)
    rules = [step for family in plain for step in (Instruction(JUMP_EQUAL, 0, 1, family), _allow())]
    if AF_NETLINK in families:
        netlink = [_argument(2), *_test((0,), _allow(), _refuse(errno.EPROTONOSUPPORT))]
        rules += [Instruction(JUMP_EQUAL, 0, len(netlink), AF_NETLINK), *netlink]
    return [*rules, _refuse(errno.EAFNOSUPPORT if families else errno.EACCES)]


def _argument(index: int) -> Instruction:
    """Load the low half of an argument, which alone decides what is refused here; the kernel ignores the rest."""
    return Instruction(LOAD, 0, 0, 16 + 8 * index)


def _test(values: tuple[int, ...], one_of_them: Instruction, none_of_them: Instruction) -> list[Instruction]:
    tests = [Instruction(JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [*tests, none_of_them, one_of_them]


def _allow() -> Instruction:
    return Instruction(RETURN, 0, 0, ALLOW)


def _refuse(number: int) -> Instruction:
    return Instruction(RETURN, 0, 0, REFUSE | number)
