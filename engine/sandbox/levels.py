"""How well commands are contained: the levels, and what each does not guarantee."""

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """Best first."""

    FULL = "full"
    NAMESPACED = "namespaced"
    RESTRICTED = "restricted"
    OFF = "off"


class CopyMethod(StrEnum):
    """How an agent's copy is made, best first."""

    OVERLAY = "overlay"
    REFLINK = "reflink"
    CHECKOUT = "checkout"


_OBJECTS = (
    "git objects of your repo (unpublished branches and deleted files too) and of other agents' landed work can be "
    "read by whoever knows their ids"
)

NOT_GUARANTEED: dict[Level, tuple[str, ...]] = {
    Level.FULL: (),
    Level.NAMESPACED: (
        "memory is watched by polling: a tree can pass its limit for a moment",
        "no system call filter: the whole kernel interface can be reached",
        "a command can tamper with its own sandbox's launcher: then only the engine's deadlines bound it",
        "the number of inodes and the disk space that a copy takes are not bounded",
        _OBJECTS,
    ),
    Level.RESTRICTED: (
        "modes, times and attributes of files that are yours can be changed anywhere; Landlock does not cover them",
        "processes see each other and the machine's process list",
        "UDP and Unix sockets can be reached; only TCP is refused, on kernels that can",
        "memory is watched by polling: a tree can pass its limit for a moment",
        "a process that leaves its parent in the moment it is killed is only found at the next look",
        "names and sizes of files outside can be seen, and so can /etc's public files and `/proc`; other contents not",
        "no system call filter: the whole kernel interface can be reached",
        _OBJECTS,
    ),
    Level.OFF: (
        "nothing is contained: commands can read and write what you can, and use the network",
        "memory is watched by polling: a tree can pass its limit for a moment",
    ),
}

AS_ROOT = "the program runs as root: agents' processes are root's to the kernel, without capabilities"


class SandboxReport(Struct, frozen=True):
    """What this machine gives. `bwrap` is the path of bubblewrap, empty when there is none.

    `reasons` says for each better level or copy method why it is not used.
    """

    level: Level
    method: CopyMethod
    bwrap: str = ""
    version: str = ""
    not_guaranteed: tuple[str, ...] = ()
    reasons: dict[str, str] = {}
