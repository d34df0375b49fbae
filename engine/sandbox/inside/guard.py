"""How a sandbox's first process restricts itself without namespaces: Landlock, seccomp, no privileges.

Loaded only at the levels `restricted` and `off`. Numbers are from the kernel's uapi headers (prctl.h, landlock.h); the
three Landlock calls have the same numbers on every architecture.
"""

import ctypes
import os
import struct

PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 22, 36, 38
SECCOMP_MODE_FILTER = 2
INSTRUCTION_BYTES = 8
PR_CAPBSET_READ, PR_CAPBSET_DROP, CAPABILITY_VERSION_3 = 23, 24, 0x20080522
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
ALL_FILES_V1 = (1 << 13) - 1
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
NET_TCP = 3  # bind and connect
SCOPE_SOCKETS, SCOPE_SIGNALS = 1, 2  # abstract Unix sockets, and signals, stay inside
READ = EXECUTE | READ_FILE | READ_DIR
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

SYSTEM = (b"/usr", b"/bin", b"/sbin", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/proc")
DEVICES = (b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/random", b"/dev/urandom")

_libc = ctypes.CDLL(None, use_errno=True)


class Unguarded(Exception):  # noqa: N818 - fails closed, told like an exception
    """The kernel refused a restriction: nothing may run."""


def raise_around(config: dict[bytes, bytes]) -> None:
    """Restrict this process and everything it will start. Raises Unguarded.

    `config` has the level (`guard`), lists of paths (`readable`, `writable`), and whether the network is granted
    (`network`).
    """
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise Unguarded("no subreaper")
    if config[b"guard"] == b"off":
        return
    give_up_privileges()
    version = _landlock_version()
    if version < 1:
        raise Unguarded("the kernel has no Landlock")
    if version < 3:
        raise Unguarded("the kernel's Landlock cannot keep files from being truncated (Linux 6.2 can)")
    handled = ALL_FILES_V1 | REFER | TRUNCATE | (IOCTL_DEV if version >= 5 else 0)
    ruleset = struct.pack("=Q", handled)
    if version >= 4:
        ruleset += struct.pack("=Q", 0 if config[b"network"] else NET_TCP)
    if version >= 6:
        ruleset += struct.pack("=Q", SCOPE_SOCKETS | SCOPE_SIGNALS)
    fd = _create(ruleset)
    for path in (*SYSTEM, *config[b"readable"].split(b"\0")):
        _allow(fd, path, READ)
    for path in DEVICES:
        _allow(fd, path, READ_FILE | WRITE_FILE | TRUNCATE)
    for path in config[b"writable"].split(b"\0"):
        _allow(fd, path, handled)
    _restrict(fd)
    filter_calls(config[b"filter"])


def enclose() -> None:
    """Before a command starts: prevent it from signalling or tracing this sandbox's launcher. Raises Unguarded.

    Older kernels cannot block signals.
    """
    if _landlock_version() >= 6:
        _restrict(_create(struct.pack("=QQQ", 0, 0, SCOPE_SIGNALS)))


def _landlock_version() -> int:
    return int(_libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION))


def _create(ruleset: bytes) -> int:
    fd = int(_libc.syscall(CREATE_RULESET, ruleset, ctypes.c_size_t(len(ruleset)), 0))
    if fd < 0:
        raise Unguarded(f"Landlock: {os.strerror(ctypes.get_errno())}")
    return fd


def _restrict(ruleset: int) -> None:
    if _libc.syscall(RESTRICT_SELF, ruleset, 0) != 0:
        raise Unguarded(f"Landlock: {os.strerror(ctypes.get_errno())}")
    os.close(ruleset)


def filter_calls(program: bytes) -> None:
    """Install a filter: `program` is an array of `struct sock_filter` from engine/sandbox/seccomp.py."""
    if not program:
        raise Unguarded("the system calls of this kind of machine are not known, so none can be refused")
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // INSTRUCTION_BYTES, ctypes.addressof(code))
    if _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0:
        raise Unguarded(f"seccomp: {os.strerror(ctypes.get_errno())}")


def give_up_privileges() -> None:
    """Drop all capabilities for good, and gain none when a program starts. Otherwise processes of an engine that runs
    as root could load kernel modules."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise Unguarded("no_new_privs was refused")
    for capability in range(64):
        if _libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused without privileges, which is as good
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, b"\0" * 24) != 0:
        raise Unguarded("the capabilities cannot be dropped")


def _allow(ruleset: int, path: bytes, access: int) -> None:
    """Add a rule for an existing path; missing ones need none."""
    try:
        fd = os.open(path, os.O_PATH)
    except OSError:
        return
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o040000:
            access &= ON_FILES
        rule = struct.pack("=Qi", access, fd)
        if _libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0) != 0:
            raise Unguarded(f"Landlock refuses a rule: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(fd)
