"""The sandbox levels: what each guarantees, and where it falls short."""

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """Sandbox levels, best first."""

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


_MOUNTED = "`/proc/self/mountinfo` shows both, though it can read nothing there"
_LAUNCHER = "unless it kills its own launcher"
_SIGNALS = f"before Linux 6.12, {_LAUNCHER}"
_NICE = "unless it resets its niceness"
_POLLED = "polled: may be exceeded briefly"
_EACH_SECOND = (
    "checked every second: it can take more for two seconds, or hide as much as other programs free at the same time"
)
_UNSEEN = "polled: children whose parent ignores their exit are not counted"

GUARANTEES = (
    Guarantee(
        "writes only in its own workspace and in a private /tmp and home",
        restricted="true of contents, but it can change modes, times and attributes of files you own",
        off="no",
    ),
    Guarantee(
        "reads only its own workspace, the system and the toolchains",
        restricted="it can also read `/proc`, and the names and sizes of all files",
        off="no",
    ),
    Guarantee("reaches no network unless you grant it", off="no"),
    Guarantee(
        "reaches no other process, socket or message queue on the machine",
        restricted="it sees other processes, and before Linux 6.12 it can signal them",
        off="no",
    ),
    Guarantee(
        "holds no lock, lease or pipe of a file that your own tools use",
        restricted="it can lock files of shared tools and caches, and your own tools then wait",
        off="no",
    ),
    Guarantee("sees none of your environment variables"),
    Guarantee(
        "learns neither where your state folder is nor the run's id",
        full=_MOUNTED,
        namespaced=_MOUNTED,
        restricted="the path of its workspace shows both",
        off="no",
    ),
    Guarantee("has no capabilities and cannot gain any", off="it has yours"),
    Guarantee("cannot use keyrings, io_uring or bpf, load modules, mount, or create namespaces", off="no"),
    Guarantee(
        "is killed at its timeout with everything it started, daemons included", restricted=_SIGNALS, off=_LAUNCHER
    ),
    Guarantee("is gone when the engine ends, however it ends", restricted=_SIGNALS, off=_LAUNCHER),
    Guarantee(
        "stays within its memory limit, and all commands together within the swarm's",
        namespaced=_EACH_SECOND,
        restricted=_EACH_SECOND,
        off=_EACH_SECOND,
    ),
    Guarantee(
        "stays within its process limit, and all commands together within the swarm's",
        namespaced="for root, and for the swarm's limit, polled: may be exceeded briefly",
        restricted=_POLLED,
        off=_POLLED,
    ),
    Guarantee("stays within its CPU time limit", namespaced=_UNSEEN, restricted=_UNSEEN, off=_UNSEEN),
    Guarantee(
        "yields the CPU to the engine and the screen when they need it", namespaced=_NICE, restricted=_NICE, off=_NICE
    ),
    Guarantee("stays within its limits on output, file size and open files"),
    Guarantee(
        "stays within its workspace's disk limit, and all workspaces together within the swarm's",
        full=_EACH_SECOND,
        namespaced=_EACH_SECOND,
        restricted=_EACH_SECOND,
        off=_EACH_SECOND,
    ),
)
"""The table in docs/safety.md; a test compares them."""


def not_guaranteed(level: Level) -> tuple[str, ...]:
    """What of the above a level does not promise, one line each."""
    short = ((guarantee.claim, guarantee.shortfall(level)) for guarantee in GUARANTEES)
    return tuple(f"a command {claim}: {why}" for claim, why in short if why)


AS_ROOT = "swarm-tui runs as root, so agents' processes belong to root too, though without capabilities"
UNFILTERED = "system calls are not filtered: swarm-tui does not know this CPU architecture's"
NETWORK_GRANTED = "with network access agents reach all of it, including services and abstract sockets on this machine"
SHARED_LOCKS = "commands can lock files of some shared tools, because an overlay of these cannot be mounted here"
UNWEIGHED = "no CPU control group is available here: commands yield the CPU by niceness alone"
UNLIMITED_CPU = "`swarm_cpu` has no effect: it needs a CPU control group"
DEVICES_SHARED = "agents can change the modes of basic devices such as /dev/null"


class SandboxReport(Struct, frozen=True):
    """What this machine supports. `bwrap` is bubblewrap's path, empty if there is none.

    `reasons` says why each better level or copy method is not used; `granted` lists what settings allow commands to
    reach: `network`, and folders; `tools` lists what they can read because it lies on PATH.
    """

    level: Level
    method: CopyMethod
    bwrap: str = ""
    version: str = ""
    not_guaranteed: tuple[str, ...] = ()
    reasons: dict[str, str] = {}
    granted: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
