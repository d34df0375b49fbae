"""How one run contains its agents: a level, and how to start a sandbox at that level over a copy."""

import os
from itertools import chain, count
from pathlib import Path

from msgspec import Struct

from engine.ports.protocols import WorkspaceLost
from engine.sandbox.bubblewrap import Bubblewrap, argv, mounting_argv
from engine.sandbox.cgroups import ControlGroups
from engine.sandbox.disk import DiskWatch
from engine.sandbox.environment import command_env
from engine.sandbox.guarantees import Level
from engine.sandbox.inside.frames import FIRST_FD
from engine.sandbox.inside.niceness import NICE, PREFERRED
from engine.sandbox.launchers import Zygote
from engine.sandbox.mounts import GIT_CONFIG_FILE, ID, OBJECTS, PROGRAM, SHM, TMP, VAR_TMP, WS, Mount, Surroundings
from engine.sandbox.program import interpreter, staged_program
from engine.sandbox.seccomp import build_filter
from engine.sandbox.session import Start
from engine.sandbox.shared_limits import SharedLimits
from engine.sandbox.toolchains import ETC, HOME
from engine.sandbox.unseen import Unseen

FILTER = "filter.bpf"
SPARE_PROCESSES = 8
"""Processes that the kernel allows a command above its limit, so that exceeding the limit is noticed and reported."""


PATIENCE = 50
"""How many times its time limit a command that gets no CPU may take."""


class Limits(Struct, frozen=True):
    """Limits per command tree; sizes in bytes. `disk`: how much a copy may grow.

    `swarm_…` limits hold for all commands together; `swarm_cpu` is in cores, 0 for no limit.
    """

    memory: int
    processes: int
    output: int
    cpu_s: float
    file_size: int
    open_files: int
    disk: int
    swarm_memory: int
    swarm_processes: int
    swarm_cpu: float
    swarm_disk: int


class Containment(Struct, frozen=True):
    """`bwrap` is None at levels without bubblewrap, `groups` at all but full; `shared_limits` are those that no group
    enforces; `disk` and `unseen_memory` watch what commands take from the machine. Launchers are forked
    from `zygote`; if it is None, that does not work here, and bubblewrap starts each."""

    level: Level
    bwrap: Bubblewrap | None
    around: Surroundings
    limits: Limits
    shared_limits: SharedLimits
    disk: DiskWatch
    unseen_memory: Unseen
    groups: ControlGroups | None = None
    zygote: Zygote | None = None

    @property
    def namespaces(self) -> bool:
        return self.level in (Level.FULL, Level.NAMESPACED)

    def root(self, copy: Path) -> str:
        """Where a command finds the copy: the same path for all agents if mounts are possible."""
        return WS if self.namespaces else str(copy / "files")

    @property
    def objects(self) -> Path:
        """Where a command finds the objects of trunk."""
        return Path(OBJECTS) if self.namespaces else self.around.objects

    def close(self) -> None:
        """Release what the level holds beyond its sandboxes; kills what is left in its groups."""
        if self.zygote is not None:
            self.zygote.close()
        if self.groups is not None:
            self.groups.close()

    def start(self, copy: Path, mount: Mount, *, preferred: bool = False) -> Start:
        """Start a sandbox over a copy. `copy` is its engine-owned folder, which holds a full copy in `files`. Commands
        in a `preferred` one get more CPU than those in others.

        Raises WorkspaceLost if the kernel refuses a control group or a descriptor.
        """
        limits = self.limits
        config = {
            "root": os.fsencode(self.root(copy)),
            "memory": b"%d" % limits.memory,
            "processes": b"%d" % limits.processes,
            "hard_processes": b"%d" % (limits.processes + SPARE_PROCESSES),
            "output": b"%d" % limits.output,
            "cpu": b"%.3f" % limits.cpu_s,
            "file_size": b"%d" % limits.file_size,
            "patience": b"%d" % PATIENCE,
            "open_files": b"%d" % limits.open_files,
            "nice": b"%d" % (PREFERRED if preferred else NICE),
        }
        network = b"1" if self.around.network else b""
        program = build_filter(namespaces=self.namespaces, network=self.around.network)
        passed: list[int] = []
        group = None
        try:
            if self.groups is not None:
                group = self.groups.make(limits.memory, limits.processes + SPARE_PROCESSES, preferred=preferred)
                files = group.descriptors()
                passed += chain.from_iterable(files.values())
                numbers = dict(zip(passed, count(FIRST_FD))) if self.zygote is not None else {fd: fd for fd in passed}
                config |= {
                    purpose: b" ".join(b"%d" % numbers[fd] for fd in fds) for purpose, fds in files.items() if fds
                }
            if self.namespaces:
                assert self.bwrap is not None
                in_memory = (TMP, SHM, VAR_TMP) if mount.home is not None else (TMP, SHM, HOME, VAR_TMP)
                config["tmpfs"] = b"\0".join(path.encode() for path in in_memory)
                env = command_env(self.around.tools, HOME, TMP, f"{PROGRAM}/{GIT_CONFIG_FILE}")
                if self.zygote is not None:
                    command = mounting_argv(self.bwrap, self.around, mount)
                    config |= {"id": ID.encode(), "filter": program or b"", "network": network}
                else:
                    number = None
                    if program is not None:
                        number = os.open(self.around.stage / FILTER, os.O_RDONLY | os.O_CLOEXEC)
                        passed.append(number)
                    command = argv(self.bwrap, self.around, mount, number)
            else:
                staged = staged_program(self.around.stage)
                git_config = str(staged / GIT_CONFIG_FILE)
                env = command_env(self.around.tools, str(copy / "home"), str(copy / "tmp"), git_config)
                command = interpreter(str(staged))
                config |= {**self._fence(copy), "filter": program or b"", "network": network}
        except OSError as error:
            for fd in passed:
                os.close(fd)
            if group is not None:
                group.remove()
            raise WorkspaceLost(f"the sandbox cannot be prepared: {error}") from error
        config["passed"] = b"%d" % (FIRST_FD + len(passed) if self.zygote is not None else max(passed, default=0))
        config |= {f"env.{name}": os.fsencode(value) for name, value in env.items()}
        log = copy / "sandbox.log"
        limits_of_all = (self.shared_limits, self.unseen_memory)
        return Start(command, config, log, self.namespaces, *limits_of_all, tuple(passed), group, self.zygote)

    def _fence(self, copy: Path) -> dict[str, bytes]:
        """What the launcher needs to restrict itself where there are no namespaces."""
        for name in ("home", "tmp"):
            (copy / name).mkdir(exist_ok=True)
        etc = (f"/etc/{name}" for name in (*ETC, "passwd", "group", "hosts", "resolv.conf"))
        staged = str(staged_program(self.around.stage))
        readable = (staged, *self.around.tools.readable(), str(self.around.objects), *etc)
        return {
            "tmpfs": b"",
            "guard": self.level.value.encode(),
            "writable": b"\0".join(os.fsencode(copy / name) for name in ("files", "home", "tmp")),
            "readable": b"\0".join(os.fsencode(path) for path in readable),
        }
