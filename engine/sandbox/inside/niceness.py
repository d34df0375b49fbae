"""Lowers the CPU priority of the sandbox's session: where the scheduler groups processes by session, only the niceness
of the whole session counts against others (sched(7), "The autogroup feature")."""

import os

NICE = 10
"""Of commands and, where the scheduler groups processes by session, of the whole sandbox."""
PREFERRED = 5
"""Of commands that everybody waits for: they get about three times as much CPU as others of their session."""
LAUNCHER = 3
"""Of the launcher: it yields to the program, but not to the commands that it watches."""
OWN_SESSION = "/proc/self/autogroup"


def lower(nice: int = NICE) -> None:
    """Lower this process's priority to this niceness, whatever its parent's is."""
    os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))


def session() -> int:
    """A descriptor for setting this session's niceness, opened before the file is out of reach; -1 if sessions are not
    grouped."""
    try:
        return os.open(OWN_SESSION, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def lowered(file: int) -> bool:
    """Try to set it; False if the kernel wants a retry: it allows one process per 100 ms."""
    try:
        os.write(file, b"%d" % NICE)
    except BlockingIOError:
        return False
    except OSError:
        pass  # not permitted; each process lowers its own priority
    os.close(file)
    return True
