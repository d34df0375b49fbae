"""What a sandbox sees: the overlay at `/ws`, the read-only system, tools, private folders and devices."""

import os
import stat
import time
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from engine.sandbox.environment import GIT_CONFIG
from engine.sandbox.program import stage_program, staged_program
from engine.sandbox.toolchains import ETC, HOME, SYSTEM_FOLDERS, Tools, proc_entries

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
WS = "/ws"
SHM, TMP, VAR_TMP = "/dev/shm", "/tmp", "/var/tmp"  # noqa: S108 - inside the sandbox, private
PROGRAM = "/run/swarm"
GIT_CONFIG_FILE = "gitconfig"
"""Beside the program, which commands can read at every level."""
OBJECTS = "/run/objects"
ID = "1000"
LOOK_S = 60.0
"""Seconds for which the list of the system's folders is cached."""


class Mount(Struct, frozen=True):
    """What is mounted at `/ws`: an overlay of `layers` (lowest first) with `upper` and `work`, or the folder `bind`.

    `home`: an overlay for the home of commands; without one, the home lies in memory.
    """

    layers: tuple[str, ...] = ()
    upper: str = ""
    work: str = ""
    bind: str = ""
    home: "Mount | None" = None


class Surroundings(Struct, frozen=True):
    """What all sandboxes of one run share. `stage` is an engine-owned folder that `prepare_stage` has filled,
    `objects` the object folder of the run's trunk.

    Folders in `overlaid` are mounted through an overlay: their files have inodes of their own in each sandbox, so that
    locks, leases and pipes there are not those of the user's own tools.

    `tmp_bytes` is the size of `/tmp`. It lies in memory, as do the other private folders with a quarter of it each.
    """

    stage: Path
    tools: Tools
    objects: Path
    network: bool
    tmp_bytes: int
    private_devices: bool
    overlaid: frozenset[str] = frozenset()

    def shared(self) -> list[tuple[str, str]]:
        """What is shared read-only of the machine besides the system's own folders, and where it is mounted."""
        return [("/usr", "/usr"), *((folder, folder) for folder in self.tools.folders), *self.tools.homes]


def prepare_stage(stage: Path) -> bool:
    """Write the `/etc` that sandboxes see, the program that runs in them, git's configuration there, and device files.

    Returns whether the devices could be created. Without them, agents of an engine that runs as root could change the
    modes of the machine's devices.
    """
    stage.mkdir(parents=True, exist_ok=True)
    texts = {
        "passwd": f"root:x:0:0:root:/root:/bin/sh\nagent:x:{ID}:{ID}:agent:{HOME}:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
        "group": f"root:x:0:\nagent:x:{ID}:\nnogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost swarm\n::1 localhost\n",
        "hostname": "swarm\n",
    }
    for name, text in texts.items():
        (stage / name).write_text(text)
    stage_program(stage)
    (staged_program(stage) / GIT_CONFIG_FILE).write_text(GIT_CONFIG)
    (stage / "empty").mkdir(exist_ok=True)
    (stage / "nothing").touch()
    if os.geteuid() != 0:
        return True
    devices = stage / "dev"
    devices.mkdir(exist_ok=True)
    try:
        for name, (major, minor) in DEVICES.items():
            node = devices / name
            if not node.exists():
                os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
                node.chmod(0o666)
            if name != "tty":
                os.close(os.open(node, os.O_RDONLY))  # some filesystems do not allow devices
    except OSError:
        return False
    return True


def mount_args(around: Surroundings, mount: Mount) -> list[str]:
    """Bubblewrap's arguments for everything that a sandbox over `mount` sees."""
    args: list[str] = []
    minute = int(time.monotonic() / LOOK_S)
    args += _system(around.stage, around.network, minute)
    args += ["--proc", "/proc"]
    for entry in _proc(minute):
        args += ["--ro-bind-try", entry, entry]
    args += ["--dev", "/dev"]
    if os.geteuid() == 0 and around.private_devices:
        for name in DEVICES:
            args += ["--dev-bind", str(around.stage / "dev" / name), f"/dev/{name}"]
    size, rest = str(around.tmp_bytes), str(around.tmp_bytes // 4)
    args += ["--perms", "1777", "--size", rest, "--tmpfs", SHM, "--remount-ro", "/dev"]
    args += ["--perms", "1777", "--size", size, "--tmpfs", TMP]
    args += ["--dir", VAR_TMP, "--size", rest, "--tmpfs", VAR_TMP]
    if mount.home is None:
        args += ["--size", rest, "--tmpfs", HOME]
    else:
        args += _writable_overlay(mount.home.layers or (str(around.stage / "empty"),), mount.home, HOME)
    for source, target in around.shared():
        args += overlay_args(around.stage, source, target) if source in around.overlaid else bind_args(source, target)
    for secret, place in around.tools.hidden():
        hide = "empty" if os.path.isdir(secret) else "nothing"
        args += ["--ro-bind", str(around.stage / hide), place]
    args += ["--ro-bind", str(staged_program(around.stage)), PROGRAM]
    args += ["--ro-bind", str(around.objects), OBJECTS]
    if mount.bind:
        args += ["--bind", mount.bind, WS]
    else:
        args += _writable_overlay(mount.layers, mount, WS)
    return args


def _writable_overlay(layers: tuple[str, ...], mount: Mount, target: str) -> list[str]:
    sources = [word for layer in layers for word in ("--overlay-src", layer)]
    return [*sources, "--overlay", mount.upper, mount.work, target]


def bind_args(source: str, target: str) -> list[str]:
    return ["--ro-bind-try", source, target]


def overlay_args(stage: Path, source: str, target: str) -> list[str]:
    """A read-only overlay of one folder. It needs two layers: the lower one is empty."""
    return ["--overlay-src", str(stage / "empty"), "--overlay-src", source, "--ro-overlay", target]


@lru_cache(maxsize=1)
def _proc(minute: int) -> tuple[str, ...]:
    return tuple(proc_entries())


@lru_cache(maxsize=4)
def _system(stage: Path, network: bool, minute: int) -> tuple[str, ...]:
    args: list[str] = []
    for name in SYSTEM_FOLDERS:
        path = f"/{name}"
        if os.path.islink(path):
            args += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            args += ["--ro-bind", path, path]
    for name in ETC:
        path = f"/etc/{name}"
        if os.path.islink(path) and name in ("localtime", "os-release"):
            args += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            args += ["--ro-bind-try", path, path]
    for name in ("passwd", "group", "hosts", "hostname"):
        args += ["--ro-bind", str(stage / name), f"/etc/{name}"]
    if network and os.path.exists("/etc/resolv.conf"):
        args += ["--ro-bind", os.path.realpath("/etc/resolv.conf"), "/etc/resolv.conf"]
    return tuple(args)
