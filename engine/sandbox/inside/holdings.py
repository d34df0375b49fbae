"""What processes hold without a name: deleted files, memory files and what is in flight in sockets, as /proc shows it.

Used inside sandboxes for memory and by the engine for disk space.
"""

import os
import stat

BLOCK = 512
EACH = 4096
"""The least that a file or folder counts: inodes are limited, and empty files take no blocks."""
MOST = 100_000
"""The most open files examined in one search."""
DELETED = b" (deleted)"
SEGMENT = b"/SYSV"


class Holdings:
    """Deleted files on the file systems `devices` that the processes `pids` hold.

    `opaque`: whether they may hold some that cannot be measured. `channels`: the sockets and pipes that they have open.
    """

    def __init__(self, pids: "list[int]", devices: "set[int]") -> None:
        self.opaque = False
        self._devices = devices
        self._sizes: dict[tuple[int, int], int] = {}
        self._channels: set[int] = set()
        self._left = MOST
        for pid in pids:
            alive = living(pid)
            try:
                if alive:
                    self._search_tasks(f"/proc/{pid}")
                    self._search_maps(alive)
            except PermissionError:
                self.opaque = True
            except OSError:  # it has ended
                continue

    @property
    def size(self) -> int:
        return sum(self._sizes.values())

    @property
    def files(self) -> int:
        return len(self._sizes)

    @property
    def channels(self) -> int:
        return len(self._channels)

    def _search_tasks(self, process: str) -> None:
        """Each thread can have open files of its own."""
        for task in os.listdir(f"{process}/task"):
            place = f"{process}/task/{task}"
            try:
                names = os.listdir(f"{place}/fd")
            except FileNotFoundError:
                continue
            for name in names:
                if self._left == 0:
                    self.opaque = True
                    return
                self._left -= 1
                self._examine(f"{place}/fd/{name}", f"{place}/fdinfo/{name}")
            for name in ("cwd", "exe"):
                self._examine(f"{place}/{name}", "")

    def _examine(self, path: str, details: str) -> None:
        try:
            info = os.stat(path)
        except OSError:
            return
        kind = stat.S_IFMT(info.st_mode)
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            if not info.st_nlink:
                self._add(info)
        elif kind == stat.S_IFSOCK and info.st_ino not in self._channels:
            self._channels.add(info.st_ino)
            self.opaque = self.opaque or _carries_files(details)
        elif kind == stat.S_IFIFO:
            self._channels.add(info.st_ino)

    def _add(self, info: os.stat_result) -> None:
        if info.st_dev in self._devices:
            self._sizes[info.st_dev, info.st_ino] = max(info.st_blocks * BLOCK, EACH)

    def _search_maps(self, process: str) -> None:
        """A mapping keeps a deleted file after its descriptor is closed. Only root may learn that file's size."""
        with open(f"{process}/maps", "rb") as lines:
            for line in lines:
                if not line.endswith(DELETED + b"\n"):
                    continue
                region, _, _, device, inode, path = line.split(None, 5)
                major, _, minor = device.partition(b":")
                number = os.makedev(int(major, 16), int(minor, 16))
                known = (number, int(inode)) in self._sizes
                if known or number not in self._devices or path.startswith(SEGMENT):
                    continue
                start, _, end = region.partition(b"-")
                try:
                    self._add(os.stat(f"{process}/map_files/{int(start, 16):x}-{int(end, 16):x}"))
                except PermissionError:
                    self.opaque = True
                except OSError:
                    continue


def _carries_files(details: str) -> bool:
    """Whether open files are in flight to a socket."""
    try:
        with open(details, "rb") as lines:
            return any(line.startswith(b"scm_fds:") and line.split()[1] != b"0" for line in lines)
    except OSError:
        return False


def living(pid: int) -> str:
    """The folder of a process in /proc; of one of its threads if its main thread has ended; empty if all have.

    The kernel shows no memory for a main thread that has ended, though the others still use it.
    """
    process = f"/proc/{pid}"
    try:
        if not _ended(process):
            return process
        tasks = (f"{process}/task/{task}" for task in os.listdir(f"{process}/task"))
        return next((task for task in tasks if not _ended(task)), "")
    except OSError:
        return ""


def _ended(task: str) -> bool:
    try:
        with open(f"{task}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split(None, 1)[0] in (b"Z", b"X")
    except OSError:
        return True
