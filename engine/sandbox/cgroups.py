"""Control groups: exact limits for each sandbox and for the whole swarm, and one kill for everything in a group.

Uses version 2 if memory and pids are delegated to a folder that this process may write to, as systemd does below a
user's manager; else version 1's memory and pids, with version 2's kill if that is mounted, too. If the `cpu` controller
is available, commands get a lower weight than other programs.

The swarm's group contains two: `launchers`, and `commands` with one group per sandbox.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from engine.sandbox.process_identity import start_time

NEEDED = ("memory", "pids")
PREFIX = "swarm-"
LAUNCHERS, COMMANDS = "launchers", "commands"
WEIGHT = 20
"""The CPU weight of all commands together, relative to 100 for the program and its screen; in version 1's unit, 1024.
"""
PREFERRED = 4
"""The CPU weight of a preferred sandbox, relative to another sandbox."""
SPARE = 8
"""The kernel allows all commands an eighth more processes than the limit, and a few, so that the largest can be ended.
"""
PERIOD_US = 100_000
"""The period within which commands may use their CPU quota."""
V2_EVENTS = ("memory.events", "memory.events")
V1_EVENTS = ("memory.oom_control", "memory.failcnt")
SWAPPED = 1 << 20
GONE_S = 10.0
"""Seconds that killed processes may take to leave their group."""
NOT_DELEGATED = (
    "no control group is handed to this user here: start it below your own systemd with "
    "`systemd-run --user --scope swarm-tui …`"
)


class Ungoverned(Exception):  # noqa: N818 - a state of the machine, told like an exception
    """Why control groups cannot be used."""


class Files(Struct, frozen=True):
    """The files of a sandbox's groups, which are alike for all sandboxes: each with the number of the folder it lies
    in.

    `limits`: with what is written to them. `opened`: by their purpose; `arrive` is the same for all groups.
    """

    limits: tuple[tuple[int, str, str], ...]
    opened: dict[str, tuple[tuple[int, str], ...]]
    arrive: tuple[str, ...]

    @classmethod
    def of(cls, folders: tuple[Path, ...], launchers: tuple[Path, ...], memory: int, processes: int) -> "Files":
        """Look at the folders of a group that has been made. Raises OSError."""

        def at(*paths: Path) -> tuple[tuple[int, str], ...]:
            return tuple((folders.index(path.parent), path.name) for path in paths)

        first, last = folders[0], folders[-1]
        limits = _memory_limits(first, memory)
        if (first / "memory.oom.group").exists():
            limits.append((first / "memory.oom.group", "1"))
        limits.append((_with(folders, "pids.max"), str(processes)))
        events, limited = V2_EVENTS if (first / V2_EVENTS[0]).exists() else V1_EVENTS
        forks = _with(folders, "pids.events")
        most, cpu = forks.with_name("pids.peak"), last / "cpu.stat"
        opened = {
            "enter": at(*map(_entrance, folders)),
            "events": at(first / events),
            "limited": at(first / limited),
            "forks": at(forks),
            "most": at(most) if most.exists() else (),
            "cpu_stat": at(cpu) if _is_unified(last) and cpu.exists() else (),
        }
        arrive = tuple(str(_entrance(folder)) for folder in launchers)
        return cls(tuple((*at(path)[0], text) for path, text in limits), opened, arrive)


class Group:
    """The group in which one sandbox's commands run. `folders`: one per hierarchy, `memory`'s first."""

    def __init__(self, folders: tuple[Path, ...], files: Files) -> None:
        self._folders = folders
        self._files = files

    def descriptors(self) -> dict[str, list[int]]:
        """Open files by what they are for; a launcher, which cannot see control groups, inherits them.

        A process that writes `0` to those of `arrive` or `enter` joins the launchers' group or the commands' group.
        `events` counts kills, `limited` how often the memory limit was hit, `forks` how often a fork was refused. If
        available, `most` is the peak number of processes and `cpu_stat` the CPU time used. Raises OSError.
        """
        paths = {"arrive": self._files.arrive}
        for purpose, names in self._files.opened.items():
            paths[purpose] = tuple(f"{self._folders[at]}/{name}" for at, name in names)
        files: dict[str, list[int]] = {}
        with ExitStack() as unfinished:
            for purpose, places in paths.items():
                flags = os.O_CLOEXEC | (os.O_WRONLY if purpose in ("arrive", "enter") else os.O_RDONLY)
                files[purpose] = []
                for place in places:
                    files[purpose].append(os.open(place, flags))
                    unfinished.callback(os.close, files[purpose][-1])
            unfinished.pop_all()
        return files

    def remove(self) -> None:
        """Kill everything in the group and remove it."""
        _remove(self._folders)


class ControlGroups:
    """The groups of this process's sandboxes.

    `weighed`: whether CPU weight and quota are in force.
    """

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._launchers = tuple(folder / LAUNCHERS for folder in folders)
        self._commands = tuple(folder / COMMANDS for folder in folders)
        self._count = 0
        self._files: dict[tuple[int, int], Files] = {}
        """The files by the limits of memory and processes."""
        self.weighed = False

    @classmethod
    def open(cls, memory: int, processes: int, cores: float = 0.0) -> "ControlGroups":
        """Create the groups. All sandboxes together may use `memory` bytes (launchers included); their commands may
        have `processes` processes (threads count) and use `cores` cores (0: no quota).

        Also removes groups left by processes that are gone. Raises Ungoverned.
        """
        places = _places()
        for place in places:
            _sweep(place)
        name = f"{_prefix()}{os.getpid()}-{start_time(os.getpid())}-{time.monotonic_ns()}"
        groups = cls(tuple(place / name for place in places))
        try:
            for folder in groups._folders:
                for made in (folder, folder / COMMANDS, folder / LAUNCHERS):
                    made.mkdir()
                    if _is_unified(folder) and folder == groups._folders[0] and made.name != LAUNCHERS:
                        _write(made / "cgroup.subtree_control", _handed_on(made))
            for path, text in _memory_limits(groups._folders[0], memory):
                _write(path, text)
            _write(_with(groups._commands, "pids.max"), str(processes + processes // SPARE + SPARE))
            groups.weighed = all(_weigh(made, cores) for made in (groups._folders, groups._commands))
        except OSError as error:
            groups.close()
            raise Ungoverned(f"a control group cannot be made or limited: {error}") from error
        return groups

    def make(self, memory: int, processes: int, *, preferred: bool = False) -> Group:
        """A group for one sandbox's commands, with limits on bytes and processes (threads count). A `preferred` group
        gets more CPU than others, where CPU weights are supported. Raises OSError."""
        self._count += 1
        folders = tuple(folder / str(self._count) for folder in self._commands)
        try:
            for folder in folders:
                os.mkdir(folder)
            files = self._files.get((memory, processes))
            if files is None:
                files = self._files[memory, processes] = Files.of(folders, self._launchers, memory, processes)
            for at, name, text in files.limits:
                _write(f"{folders[at]}/{name}", text)
        except OSError:
            _remove(folders)
            raise
        for name, usual in (("cpu.weight", 100), ("cpu.shares", 1024)) if preferred else ():
            with contextlib.suppress(OSError):
                _write(_with(folders, name), str(usual * PREFERRED))
        return Group(folders, files)

    def close(self) -> None:
        """Kill everything that is left in any group and remove the groups."""
        _remove_all(self._folders)


def _places() -> tuple[Path, ...]:
    """The folders in which groups can be created: one for version 2, else version 1's `memory`, `pids` and, if
    available, `cpu`, and version 2's. Raises Ungoverned."""
    own = dict(_own_groups())
    unified = own.get("")
    if unified is not None:
        for folder in (unified, *unified.parents):
            if not (folder / "cgroup.procs").exists():
                break
            if _hands_down(folder):
                return (folder,)
    if all(name in own for name in NEEDED):
        places = [own[name] for name in NEEDED]
        useful = (own.get("cpu"), unified)
        places += [place for place in useful if place is not None and os.access(place, os.W_OK)]
        if all(os.access(place, os.W_OK) for place in places):
            return tuple(dict.fromkeys(places))
    raise Ungoverned(NOT_DELEGATED if own else "this machine has no control groups")


def _hands_down(folder: Path) -> bool:
    """Whether groups created in `folder` have the needed controllers, and processes may be moved into them."""
    if not all(os.access(folder / name, os.W_OK) for name in (".", "cgroup.procs")):
        return False
    try:
        return set(NEEDED) <= set((folder / "cgroup.subtree_control").read_text().split())
    except OSError:
        return False


def _own_groups() -> Iterator[tuple[str, Path]]:
    """This process's group in each hierarchy, by controller; version 2's under the empty name."""
    mounts: dict[str, tuple[str, str]] = {}
    try:
        for line in os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).splitlines():
            fields, _, kind = line.partition(" - ")
            root, point = fields.split()[3:5]
            name, _, options = kind.split(" ", 2)
            if name == "cgroup2":
                mounts[""] = (root, point)
            elif name == "cgroup":
                mounts |= dict.fromkeys(options.split()[-1].split(","), (root, point))
        lines = os.fsdecode(Path("/proc/self/cgroup").read_bytes()).splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            if name in mounts:
                root, point = mounts[name]
                folder = Path(point, os.path.relpath(path, root))
                if folder.is_relative_to(point) and folder.is_dir():
                    yield name, folder


def _with(folders: tuple[Path, ...], name: str) -> Path:
    """The folder among these that has a file of that name. Raises OSError."""
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"the control group has no {name}")


def _is_unified(folder: Path) -> bool:
    return (folder / "cgroup.controllers").exists()


def _entrance(folder: Path) -> Path:
    """The file that a process writes itself to. Version 1 has one for single threads, for which no other process must
    wait."""
    threads = folder / "tasks"
    return threads if threads.exists() else folder / "cgroup.procs"


def _handed_on(folder: Path) -> str:
    """Enable the needed controllers, and `cpu` if available, for the groups in a version 2 folder. Raises OSError."""
    there = (folder / "cgroup.controllers").read_text().split()
    return " ".join(f"+{name}" for name in (*NEEDED, "cpu") if name in (*NEEDED, *there))


def _weigh(folders: tuple[Path, ...], cores: float) -> bool:
    """Set a group's CPU weight and quota. Returns False without a `cpu` controller. Raises OSError."""
    for folder in folders:
        if (folder / "cpu.weight").exists():
            _write(folder / "cpu.weight", str(WEIGHT))
            if cores and (folder / "cpu.max").exists():
                _write(folder / "cpu.max", f"{round(cores * PERIOD_US)} {PERIOD_US}")
            return True
        if (folder / "cpu.shares").exists():
            _write(folder / "cpu.shares", str(1024 * WEIGHT // 100))
            if cores and (folder / "cpu.cfs_quota_us").exists():
                _write(folder / "cpu.cfs_period_us", str(PERIOD_US))
                _write(folder / "cpu.cfs_quota_us", str(round(cores * PERIOD_US)))
            return True
    return False


def _memory_limits(folder: Path, size: int) -> list[tuple[Path, str]]:
    """What to write to limit memory, in this order; swap does not extend it."""
    if (folder / "memory.max").exists():
        limit, swap = (folder / "memory.max", str(size)), (folder / "memory.swap.max", "0")
    else:
        limit = folder / "memory.limit_in_bytes", str(size)
        # Memory and swap together, slightly more, so that the memory limit is the one that is hit and counted.
        swap = folder / "memory.memsw.limit_in_bytes", str(size + SWAPPED)
    return [limit, swap] if swap[0].exists() else [limit]


def _write(path: Path | str, text: str) -> None:
    with open(path, "wb", 0) as file:
        file.write(text.encode())


def _prefix() -> str:
    """The prefix of group names whose owners' process ids are valid in this pid namespace."""
    return f"{PREFIX}pidns{os.stat('/proc/self/ns/pid').st_ino}-"


def _sweep(place: Path) -> None:
    ours = _prefix()
    for folder in _folders_in(place):
        pid, _, rest = folder.name.removeprefix(ours).partition("-")
        if folder.name.startswith(ours) and pid.isdigit() and start_time(int(pid)) != rest.partition("-")[0]:
            _remove_all((folder,))


def _remove_all(folders: tuple[Path, ...]) -> None:
    """Remove a group and the groups inside it."""
    for name in {inner.name for folder in folders for inner in _folders_in(folder)}:
        _remove_all(tuple(folder / name for folder in folders))
    _remove(folders)


def _remove(folders: tuple[Path, ...]) -> None:
    for folder in folders:
        _kill(folder)
    deadline = time.monotonic() + GONE_S
    for folder in folders:
        while True:
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno == errno.EBUSY and time.monotonic() < deadline:
                    _kill(folder)
                    time.sleep(0.005)
                    continue
            break


def _kill(folder: Path) -> None:
    """Kill all processes of a group; if the kernel needs time for it, no new process can start meanwhile."""
    try:
        if (folder / "cgroup.kill").exists():
            _write(folder / "cgroup.kill", "1")
            return
        if (folder / "pids.max").exists():
            _write(folder / "pids.max", "0")
        left = (folder / "cgroup.procs").read_text().split()
    except OSError:
        return
    for pid in left:
        if pid != "0":  # a process of another pid namespace is listed as 0; kill(0) would kill this process group
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
