"""How a launcher that was forked outside enters a sandbox's namespaces and gives up every privilege there.

Loaded only in the zygote. It does for a forked process what bubblewrap does for one that it starts; bubblewrap itself
mounts what the sandbox sees. Numbers are from the kernel's uapi headers (prctl.h, sched.h).
"""

import ctypes
import os
import select

from . import guard

NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
PR_SET_PDEATHSIG, SIGKILL = 1, 9
_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move to new namespaces. Raises Unguarded."""
    if _libc.unshare(flags) != 0:
        raise guard.Unguarded(f"namespaces: {os.strerror(ctypes.get_errno())}")


def map_ids(inside: "tuple[int, int]", outside: "tuple[int, int]") -> None:
    """Map the only user and the only group of a new user namespace."""
    _write("/proc/self/uid_map", b"%d %d 1" % (inside[0], outside[0]))
    _write("/proc/self/setgroups", b"deny")
    _write("/proc/self/gid_map", b"%d %d 1" % (inside[1], outside[1]))


def die_with_parent() -> None:
    if _libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0:
        raise guard.Unguarded("cannot be made to end with its parent")


def adopt_orphans() -> None:
    if _libc.prctl(guard.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise guard.Unguarded("no subreaper")


def enter(config: "dict[bytes, bytes]", zygote: int, parent: int, mounted: int, done: int) -> None:
    """Join the namespaces that bubblewrap has prepared, and drop all privileges. Raises Unguarded.

    This process ends with `zygote`; `parent` started bubblewrap and this process. On `mounted` the process that holds
    the namespaces prints its id; it ends, and bubblewrap with it, when `done` is closed. `config` has the
    user's id inside (`id`), whether the network is granted (`network`), and the system call filter (`filter`).
    """
    most = os.open("/proc/sys/user/max_user_namespaces", os.O_WRONLY | os.O_CLOEXEC)
    holder = os.read(mounted, 32)
    if not holder.strip().isdigit():
        raise guard.Unguarded("bubblewrap has mounted nothing")
    handle = os.pidfd_open(int(holder))
    made = NEWNS | NEWIPC | NEWUTS | (0 if config[b"network"] else NEWNET)
    if os.path.exists("/proc/self/ns/cgroup"):
        made |= NEWCGROUP
    if _libc.setns(handle, made) != 0:
        raise guard.Unguarded(f"the namespaces cannot be joined: {os.strerror(ctypes.get_errno())}")
    os.close(done)
    select.select([parent], (), ())  # otherwise this process would end with it instead of with the zygote
    for fd in (handle, mounted, parent):
        os.close(fd)
    # None may be made inside: the limit is set from a namespace whose privileges are given up at once.
    os.write(most, b"1")
    os.close(most)
    unshare(NEWUSER)
    map_ids((int(config[b"id"]),) * 2, (0, 0))
    if _libc.unshare(NEWUSER) == 0:
        raise guard.Unguarded("user namespaces can still be made")
    guard.give_up_privileges()
    if config[b"filter"]:
        guard.filter_calls(config[b"filter"])
    die_with_parent()
    if select.select([zygote], (), (), 0)[0]:
        raise guard.Unguarded("the zygote has ended")
    os.close(zygote)
    reap()
    os.chdir(config[b"root"])


def reap(*_: object) -> None:
    """Collect the children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _write(path: str, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)
