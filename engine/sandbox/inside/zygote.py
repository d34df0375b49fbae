"""The zygote: a process outside all sandboxes, with the launcher's modules loaded, from which launchers are forked.

A forked launcher shares the memory of Python and its modules, and starts within a millisecond or two. It becomes the
first process of namespaces of its own, before bubblewrap mounts what it will see (`enter`). The zygote is given nothing
that agents may not know, because a launcher has a copy of its memory.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import gc
import os
import select

from . import commands, cpu_wait, enter, files, guard, line_ends, loop, niceness, privacy
from .frames import FIRST_FD, say, unpack

LOADED = (commands, cpu_wait, files, guard, line_ends, privacy)
"""What a launcher needs later. `search` is loaded before this module, so that what runs in each launcher lies together
and fewer pages of memory have to be copied."""
MOST_FDS = 64


def main() -> None:
    """Serve until the engine closes its end of descriptor 0 or ends."""
    enter.die_with_parent()
    enter.adopt_orphans()
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.signal(_signal.SIGCHLD, enter.reap)
    requests = _socket.socket(fileno=0)
    own = os.getpid()
    os.chdir("/")
    gc.collect()
    gc.freeze()
    while True:
        select.select([0], (), ())
        said, passed, _, _ = requests.recvmsg(1 << 18, _socket.CMSG_SPACE(MOST_FDS * 4))
        fds = [fd for _, _, data in passed for fd in _numbers(data)]
        if not said:
            return
        try:
            child = os.fork()
        except OSError as error:  # other launchers need this process
            child = -1
            os.write(fds[-1], say(error))
        if child == 0:
            try:
                _launch(said, fds, own)
            except BaseException as error:
                os.write(2, b"the launcher cannot be started: " + say(error) + b"\n")
            finally:
                os._exit(0)
        for fd in fds:
            os.close(fd)


def _launch(bubblewrap: bytes, fds: "list[int]", parent: int) -> None:
    """Start the launcher, the first process of its namespaces, and bubblewrap, which mounts what it will see.

    `fds`: the launcher's input, output, log and further descriptors, then the socket that receives its process, or the
    reason why there is none. They are numbered from 3 without a gap, because nothing else is open here. `parent` is the
    zygote.
    """
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    os.setsid()
    if (session := niceness.session()) >= 0 and not niceness.lowered(session):
        os.close(session)
    *theirs, reply = fds
    for at, fd in enumerate(theirs):
        os.dup2(fd, at, inheritable=at < FIRST_FD)
    os.closerange(len(theirs), reply)
    to_launcher, from_bubblewrap = os.pipe()
    to_bubblewrap, from_launcher = os.pipe()
    outer = os.geteuid(), os.getegid()
    try:
        zygote = os.pidfd_open(parent)
        enter.unshare(enter.NEWUSER | enter.NEWPID)
        enter.map_ids((0, 0), outer)
        own = os.pidfd_open(os.getpid())
        pid = os.fork()
    except (OSError, guard.Unguarded) as error:
        os.write(reply, say(error))
        raise
    if pid == 0:
        for fd in (reply, from_bubblewrap, to_bubblewrap):
            os.close(fd)
        loop.main(lambda config: enter.enter(config, zygote, own, to_launcher, from_launcher))
        os._exit(0)
    handle = os.pidfd_open(pid)
    message = [b"%d" % pid], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handle.to_bytes(4, "little"))]
    _socket.socket(fileno=reply).sendmsg(*message)
    os.dup2(to_bubblewrap, 0)
    os.dup2(from_bubblewrap, 1)
    names = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
    os.set_inheritable(names, True)
    program, *rest = unpack(bubblewrap)
    os.posix_spawn(program, [program, b"--pidns", b"%d" % names, *rest], {})
    os.closerange(1, 2 * MOST_FDS)  # the launcher has the only other end of descriptor 0
    select.select([0], (), ())  # until it closes its end: then this process ends, and bubblewrap with it


def _numbers(data: bytes) -> "list[int]":
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data) - 3, 4)]
