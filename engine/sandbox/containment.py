"""The way in which one run contains its agents: a level, and how to start a sandbox of it over a copy."""

import os
from pathlib import Path

from msgspec import Struct

from engine.sandbox.bubblewrap import SHM, TMP, VAR_TMP, WS, Bubblewrap, Mount, Surroundings, argv
from engine.sandbox.levels import Level
from engine.sandbox.program import interpreter, staged_program
from engine.sandbox.session import Start
from engine.sandbox.toolchains import ETC, HOME, command_env


class Limits(Struct, frozen=True):
    """Per command tree; sizes in bytes."""

    memory: int
    processes: int
    output: int


class Containment(Struct, frozen=True):
    """`bwrap` is None at levels that do without."""

    level: Level
    bwrap: Bubblewrap | None
    around: Surroundings
    limits: Limits

    @property
    def namespaces(self) -> bool:
        return self.level in (Level.FULL, Level.NAMESPACED)

    def root(self, copy: Path) -> str:
        """Where a command finds the copy: the same place for all where mounts are possible."""
        return WS if self.namespaces else str(copy / "files")

    def start(self, copy: Path, mount: Mount) -> Start:
        """`copy` is the copy's engine-owned folder, with the full copy (if it is one) in `files`."""
        config = {
            "root": self.root(copy).encode(),
            "memory": str(self.limits.memory).encode(),
            "processes": str(self.limits.processes).encode(),
            "output": str(self.limits.output).encode(),
        }
        if self.namespaces:
            assert self.bwrap is not None
            config["tmpfs"] = b"\0".join(path.encode() for path in (TMP, SHM, HOME, VAR_TMP))
            env = command_env(self.around.tools, HOME, TMP)
            command = argv(self.bwrap, self.around, mount)
        else:
            for name in ("home", "tmp"):
                (copy / name).mkdir(exist_ok=True)
            config["tmpfs"] = b""
            env = command_env(self.around.tools, str(copy / "home"), str(copy / "tmp"))
            program = str(staged_program(self.around.stage))
            command = interpreter(program)
            config["guard"] = self.level.value.encode()
            config["writable"] = b"\0".join(os.fsencode(copy / name) for name in ("files", "home", "tmp"))
            etc = (f"/etc/{name}" for name in (*ETC, "passwd", "group", "hosts", "resolv.conf"))
            readable = (program, *self.around.tools.folders, *self.around.objects, *etc)
            config["readable"] = b"\0".join(os.fsencode(path) for path in readable)
            config["network"] = b"1" if self.around.network else b""
        config |= {f"env.{name}": value.encode() for name, value in env.items()}
        # The sandbox's own first process is given nothing either: its environment can be read from inside.
        return Start(command, {"PATH": os.defpath, "LANG": "C.UTF-8"}, config, copy / "sandbox.log", self.namespaces)
