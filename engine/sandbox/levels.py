"""How well commands are contained: the levels, what each promises, and where it falls short of that."""

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


class Guarantee(Struct, frozen=True):
    """What a command does or does not, whatever it tries: for each level how that falls short, empty where it holds."""

    claim: str
    full: str = ""
    namespaced: str = ""
    restricted: str = ""
    off: str = ""

    def shortfall(self, level: Level) -> str:
        return str(getattr(self, level.value))


_OBJECTS = (
    "also git objects of your repo (unpublished branches and deleted files too) and of other agents' landed work, "
    "by their ids"
)
_LAUNCHER = "unless it kills its own launcher"
_SIGNALS = f"before Linux 6.12, {_LAUNCHER}"
_NICE = "unless it undoes its niceness"
_POLLED = "polled: it can be passed for a moment"

GUARANTEES = (
    Guarantee(
        "writes only in its own copy and a private /tmp and home",
        restricted="contents only: modes, times and attributes of files that are yours can be changed",
        off="no",
    ),
    Guarantee(
        "reads only its copy, the system and toolchains",
        full=_OBJECTS,
        namespaced=_OBJECTS,
        restricted=f"{_OBJECTS}; `/proc`; names and sizes of all files",
        off="no",
    ),
    Guarantee("reaches no network unless it is granted", off="no"),
    Guarantee(
        "reaches no process, socket or message queue of the machine",
        restricted="sees processes, and before Linux 6.12 signals them",
        off="no",
    ),
    Guarantee("gets nothing of your environment"),
    Guarantee("has no capability and gains none", off="as you"),
    Guarantee("reaches no keyring, io_uring, bpf, module, mount or other namespace of the kernel", off="no"),
    Guarantee("dies whole at its deadline, daemons included", restricted=_SIGNALS, off=_LAUNCHER),
    Guarantee("is gone when the engine ends, however it does", restricted=_SIGNALS, off=_LAUNCHER),
    Guarantee(
        "stays below its memory, and all commands below the swarm's",
        namespaced=_POLLED,
        restricted=_POLLED,
        off=_POLLED,
    ),
    Guarantee(
        "stays below its number of processes, and all commands below the swarm's",
        namespaced="polled for root and for all: it can be passed for a moment",
        restricted=_POLLED,
        off=_POLLED,
    ),
    Guarantee(
        "stays below its CPU time",
        namespaced="polled, without children whose parent ignores their end",
        restricted="polled, without children whose parent ignores their end",
        off="polled, without children whose parent ignores their end",
    ),
    Guarantee(
        "leaves the processors to the program and the screen where they want them",
        namespaced=_NICE,
        restricted=_NICE,
        off=_NICE,
    ),
    Guarantee("stays below its output, file sizes and open files"),
    Guarantee(
        "stays below its copy's disk budget, and all copies below the swarm's",
        full=_POLLED,
        namespaced=_POLLED,
        restricted=_POLLED,
        off=_POLLED,
    ),
)
"""The table in ARCHITECTURE.md; a test compares them."""


def not_guaranteed(level: Level) -> tuple[str, ...]:
    """What of the above a level does not promise, one line each."""
    short = ((guarantee.claim, guarantee.shortfall(level)) for guarantee in GUARANTEES)
    return tuple(f"a command {claim}: {why}" for claim, why in short if why)


AS_ROOT = "the program runs as root: agents' processes are root's to the kernel, without capabilities"
UNFILTERED = "this kind of machine's system calls are not known: none of them is refused"
NETWORK_GRANTED = "with the network granted, agents reach all of it: services and abstract sockets of this machine too"
UNWEIGHED = "no control group of processors is handed down here: commands leave them to others by niceness alone"
UNLIMITED_CPU = "`swarm_cpu` does not hold: it needs a control group of processors"
DEVICES_SHARED = "agents can change the modes of the machine's basic devices, such as /dev/null"


class SandboxReport(Struct, frozen=True):
    """What this machine gives. `bwrap` is the path of bubblewrap, empty when there is none.

    `reasons` says for each better level or copy method why it is not used; `granted` is what settings let commands
    reach: `network`, and folders.
    """

    level: Level
    method: CopyMethod
    bwrap: str = ""
    version: str = ""
    not_guaranteed: tuple[str, ...] = ()
    reasons: dict[str, str] = {}
    granted: tuple[str, ...] = ()
