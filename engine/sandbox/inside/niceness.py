"""Gives way to the program and its screen: where the scheduler groups processes by session, only the niceness of the
whole session counts against others (sched(7), "The autogroup feature")."""

import os

NICE = 10
OWN_SESSION = "/proc/self/autogroup"


def session() -> int:
    """A descriptor to set the niceness of this process's session by, to be opened before that is out of reach; -1
    where there are no such groups."""
    try:
        return os.open(OWN_SESSION, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def lowered(file: int) -> bool:
    """Try to set it; False while the kernel wants it tried again: it lets one process do so in 100 ms."""
    try:
        os.write(file, b"%d" % NICE)
    except BlockingIOError:
        return False
    except OSError:
        pass  # it will not be had; each process is nice by itself
    os.close(file)
    return True
