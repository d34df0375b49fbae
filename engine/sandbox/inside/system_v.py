"""A sandbox's own System V memory, messages and semaphores: how much they take, and their removal after a command.

They belong to no process, so they would outlive the command that made them.
"""

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {"shm": (b"shmid", "shmctl"), "msg": (b"msqid", "msgctl"), "sem": (b"semid", "semctl")}
"""By the name of its list in /proc: the column of its ids, and the call that removes one."""
IPC_RMID = 0
SEMAPHORE_BYTES = 64


def size() -> int:
    """Bytes of memory, whether any process has it attached or not."""
    segments = sum(_column("shm", b"rss")) + sum(_column("shm", b"swap"))
    return segments + sum(_column("msg", b"cbytes")) + sum(_column("sem", b"nsems")) * SEMAPHORE_BYTES


def remove() -> None:
    program = None
    for name, (column, call) in KINDS.items():
        for each in _column(name, column):
            program = program or _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # this process itself
            # shmctl(id, command, buffer), msgctl likewise; semctl(id, index, command)
            arguments = (each, 0, IPC_RMID) if name == "sem" else (each, IPC_RMID, 0)
            _ctypes.call_function(_ctypes.dlsym(program, call), arguments)


def _column(name: str, title: bytes) -> "Iterator[int]":
    try:
        with open(f"/proc/sysvipc/{name}", "rb") as file:
            at = file.readline().split().index(title)
            for line in file.read().splitlines():
                yield int(line.split()[at])
    except (OSError, ValueError, IndexError):
        return
