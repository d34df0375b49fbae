"""Runs inside the sandbox: commands and file operations for one copy, asked for over stdin, answered on stdout.

Started with the bare base Python (`-I -S`): it imports only the standard library's cheapest modules, so that it is
up in milliseconds, and nothing of ours. A frame is a big-endian u32 length, then fields, each a u32 length and bytes;
both sides parse it without trusting the other. The first two fields are a request's number and what is asked.
"""

import _signal  # type: ignore[import-not-found]  # `signal` takes longer to import than all else here
import os
import resource
import select
import sys
import time
from collections.abc import Iterator

MAX_FRAME = 64 << 20
KEEP = 8 << 10
TICK_S = 0.1
STREAM_BYTES = 16 << 10
PAGE = os.sysconf("SC_PAGE_SIZE")
SIGKILL = 9
HIDDEN = (b".git",)
OURS = b".swarm"


class Refused(Exception):  # noqa: N818 - an answer, told like an exception
    """A file operation that cannot be done; the text goes to the agent."""


# --- frames --------------------------------------------------------------------------------------------------


def pack(*fields: bytes) -> bytes:
    body = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return len(body).to_bytes(4, "big") + body


def unpack(body: bytes) -> list[bytes]:
    """Raises ValueError when the fields do not fill the body exactly."""
    fields = []
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        field = body[at + 4 : at + 4 + size]
        if len(field) != size:
            raise ValueError("a field is cut")
        fields.append(field)
        at += 4 + size
    return fields


def send(*fields: bytes) -> None:
    data = memoryview(pack(*fields))
    while data:
        data = data[os.write(1, data) :]


# --- files, opened beneath the copy ----------------------------------------------------------------------------


def open_beneath(root: bytes, path: bytes, flags: int, *, make: bool = False) -> int:
    """A descriptor of `path` below `root`. Links are followed only as far as they stay inside.

    Each step is opened from the descriptor before it and never through a link, so that nothing that changes
    meanwhile can lead outside. `make` makes missing folders. Raises Refused or OSError.
    """
    stack = [os.open(root, os.O_PATH | os.O_DIRECTORY)]
    try:
        left = _parts(root, path)
        links = 0
        while left:
            name = left.pop(0)
            last = not left
            if name == b"..":
                if len(stack) == 1:
                    raise Refused("leads outside of the workspace")
                os.close(stack.pop())
                continue
            try:
                target = os.readlink(name, dir_fd=stack[-1])
            except OSError:
                target = None
            if target is not None:
                links += 1
                if links > 40:
                    raise Refused("too many symbolic links")
                if target.startswith(b"/"):
                    left = _parts(root, target) + left
                    while len(stack) > 1:
                        os.close(stack.pop())
                else:
                    left = [part for part in target.split(b"/") if part not in (b"", b".")] + left
                continue
            if last:
                return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=stack[-1])
            try:
                step = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=stack[-1])
            except FileNotFoundError:
                if not make:
                    raise
                os.mkdir(name, dir_fd=stack[-1])
                step = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=stack[-1])
            stack.append(step)
        # The path is a folder that was reached through `..` or is the root.
        return os.open(b".", flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC) | os.O_NONBLOCK, dir_fd=stack[-1])
    finally:
        for step in stack:
            os.close(step)


def _parts(root: bytes, path: bytes) -> list[bytes]:
    if b"\0" in path:
        raise Refused("has a zero byte in its name")
    if path.startswith(b"/"):
        if path != root and not path.startswith(root + b"/"):
            raise Refused("leads outside of the workspace")
        path = path[len(root) :]
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def _kind(mode: int) -> int:
    return mode & 0o170000


REGULAR, FOLDER, LINK = 0o100000, 0o040000, 0o120000


def read(root: bytes, path: bytes, cap: int) -> bytes:
    fd = open_beneath(root, path, os.O_RDONLY)
    try:
        info = os.fstat(fd)
        if _kind(info.st_mode) == FOLDER:
            raise Refused("is a folder")
        if _kind(info.st_mode) != REGULAR:
            raise Refused("is not a regular file")
        if info.st_size > cap:
            raise Refused(f"has {info.st_size} bytes, more than the {cap} that can be read at once")
        chunks = []
        left = cap + 1
        while left > 0:
            chunk = os.read(fd, min(left, 1 << 20))
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk)
        if left <= 0:
            raise Refused(f"grew beyond the {cap} bytes that can be read at once")
        return b"".join(chunks)
    finally:
        os.close(fd)


def write(root: bytes, path: bytes, content: bytes) -> None:
    if not _parts(root, path):
        raise Refused("is a folder")
    # Not truncated before it is known to be a regular file.
    fd = open_beneath(root, path, os.O_WRONLY | os.O_CREAT, make=True)
    try:
        if _kind(os.fstat(fd).st_mode) != REGULAR:
            raise Refused("is not a regular file")
        os.ftruncate(fd, 0)
        data = memoryview(content)
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


def remove(root: bytes, path: bytes) -> None:
    """Remove a file or a whole folder, no link followed on the way; nothing there is fine."""
    *folders, name = _parts(root, path)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            try:
                step = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except OSError:
                return
            os.close(fd)
            fd = step
        _remove_at(fd, name)
    finally:
        os.close(fd)


def _remove_at(folder: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=folder)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        for entry in os.listdir(inner):
            _remove_at(inner, os.fsencode(entry))
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)


def put(root: bytes, path: bytes, mode: int, content: bytes) -> None:
    """Make `path` exactly this: a regular file, an executable one or a symbolic link, whatever stood there."""
    parent, _, name = path.rpartition(b"/")
    _clear_way(root, parent)
    fd = open_beneath(root, parent + b"/.", os.O_RDONLY | os.O_DIRECTORY, make=True) if parent else os.open(root, 0)
    try:
        _remove_at(fd, name)
        if mode == LINK:
            os.symlink(content, name, dir_fd=fd)
            return
        bits = 0o755 if mode & 0o111 else 0o644
        new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, bits, dir_fd=fd)
        try:
            data = memoryview(content)
            while data:
                data = data[os.write(new, data) :]
            os.fchmod(new, bits)
        finally:
            os.close(new)
    finally:
        os.close(fd)


def _clear_way(root: bytes, parent: bytes) -> None:
    """Files and links that stand where folders of `parent` should be are removed, and the folders made."""
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        for name in _parts(root, parent):
            try:
                step = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except (FileNotFoundError, NotADirectoryError):
                _remove_at(fd, name)
                os.mkdir(name, dir_fd=fd)
                step = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = step
    finally:
        os.close(fd)


def walk(folder: int, prefix: bytes, depth: int) -> Iterator[tuple[bytes, os.stat_result, int]]:
    """(path, status, descriptor of its folder) of all below, sorted, folders before what they hold.

    The fence against agents' tricks is the same everywhere: by descriptor, links never followed.
    """
    names = sorted(os.fsencode(name) for name in os.listdir(folder))
    for name in names:
        if name in HIDDEN:
            continue
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            continue
        yield prefix + name, info, folder
        if _kind(info.st_mode) == FOLDER and depth > 1:
            try:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            except OSError:
                continue
            try:
                yield from walk(inner, prefix + name + b"/", depth - 1)
            finally:
                os.close(inner)


def _relative(root: bytes, path: bytes) -> bytes:
    parts = _parts(root, path)
    out: list[bytes] = []
    for part in parts:
        if part == b"..":
            if out:
                out.pop()
        else:
            out.append(part)
    return b"/".join(out)


def list_files(root: bytes, path: bytes, depth: int, limit: int) -> list[bytes]:
    """Pairs of fields: path (folders end in `/`), size."""
    prefix = _relative(root, path)
    fd = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    fields: list[bytes] = []
    try:
        for name, info, _ in walk(fd, prefix + b"/" if prefix else b"", min(depth, 64)):
            if name == OURS:
                continue
            folder = _kind(info.st_mode) == FOLDER
            fields += [name + b"/" if folder else name, b"%d" % (0 if folder else info.st_size)]
            if len(fields) >= 2 * limit:
                break
    finally:
        os.close(fd)
    return fields


def search(root: bytes, pattern: bytes, path: bytes, limit: int) -> list[bytes]:
    """Triples of fields: path, line number, line. Run in a child: a pattern may take for ever."""
    import re  # noqa: PLC0415 - the launcher itself must start without it

    text = pattern.decode("utf-8", "replace")
    try:
        line_by_line = re.compile(text)
        whole = re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise Refused(f"is not a regular expression: {error}") from None
    anchored = "\\A" in text or "\\Z" in text
    prefix = _relative(root, path)
    fields: list[bytes] = []
    fd = open_beneath(root, path, os.O_RDONLY)
    if _kind(os.fstat(fd).st_mode) != FOLDER:
        os.close(fd)
        candidates: Iterator[tuple[bytes, bytes]] = iter([(prefix, read(root, path, 4 << 20))])
    else:
        candidates = _texts(fd, prefix + b"/" if prefix else b"")
    for name, data in candidates:
        if b"\0" in data[:8192]:
            continue
        content = data.decode("utf-8", "replace")
        if not anchored and not whole.search(content):
            continue
        for number, line in enumerate(content.splitlines(), 1):
            if line_by_line.search(line):
                fields += [name, b"%d" % number, line[:400].encode("utf-8", "replace")]
                if len(fields) >= 3 * limit:
                    return fields
    return fields


def _texts(folder: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    for name, info, parent in walk(folder, prefix, 64):
        if _kind(info.st_mode) != REGULAR or info.st_size > 4 << 20 or name.startswith(OURS + b"/"):
            continue
        try:
            fd = os.open(name.rpartition(b"/")[2], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
        except OSError:
            continue
        try:
            yield name, os.read(fd, 4 << 20)
        finally:
            os.close(fd)


# --- processes -------------------------------------------------------------------------------------------------


def others(own: int) -> list[int]:
    """Every process of the sandbox but the launcher: all of the namespace, or all descendants."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    if own == 1:
        return [pid for pid in pids if pid != 1]
    children: dict[int, list[int]] = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(pid)
    found = []
    queue = children.get(own, [])
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def kill_others() -> None:
    """Kill everything the commands left, daemons too, and reap it."""
    own = os.getpid()
    for _ in range(200):
        if own == 1:
            try:
                os.kill(-1, SIGKILL)
            except ProcessLookupError:
                pass
        else:
            for pid in others(own):
                try:
                    os.kill(pid, SIGKILL)
                except OSError:
                    pass
        reap()
        if not others(own):
            return
        time.sleep(0.002)


def reap() -> dict[int, int]:
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def memory_of(pids: list[int], limit: int, tmpfs: list[str]) -> int:
    """Bytes in use: resident sizes, and where their sum passes `limit` the exact shared-out ones."""
    held = 0
    for folder in tmpfs:
        try:
            info = os.statvfs(folder)
        except OSError:
            continue
        held += (info.f_blocks - info.f_bfree) * info.f_frsize
    total = held
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                total += int(file.read().split()[1]) * PAGE
        except (OSError, ValueError, IndexError):
            continue
    if total <= limit:
        return total
    exact = held
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                for line in file:
                    if line.startswith(b"Pss:"):
                        exact += int(line.split()[1]) * 1024
                        break
        except (OSError, ValueError, IndexError):
            continue
    return exact


class Config:
    """What the engine sets once: the first frame."""

    def __init__(self, fields: list[bytes]) -> None:
        values = dict(zip(fields[0::2], fields[1::2], strict=True))
        self.root = values[b"root"]
        self.memory = int(values[b"memory"])
        self.processes = int(values[b"processes"])
        self.output = int(values[b"output"])
        self.tmpfs = [part.decode() for part in values[b"tmpfs"].split(b"\0") if part]
        self.shell = b"/bin/bash" if os.access("/bin/bash", os.X_OK) else b"/bin/sh"
        self.env = {k[4:]: v for k, v in values.items() if k.startswith(b"env.")}
        self.guard = values.get(b"guard", b"")
        self.readable = [path for path in values.get(b"readable", b"").split(b"\0") if path]
        self.writable = [path for path in values.get(b"writable", b"").split(b"\0") if path]
        self.network = bool(values.get(b"network"))


class Command:
    """One running command: its output as it comes, its limits, its end."""

    def __init__(self, config: Config, number: bytes, command: bytes, timeout_s: float, whole: bytes) -> None:
        self.config = config
        self.number = number
        self.whole = whole
        self.started = time.monotonic()
        self.deadline = self.started + timeout_s
        self.killed = b""
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0
        self.file = -1
        self.unsent = bytearray()
        self.sent_at = 0.0
        self.open = True
        self.pipe, inner = os.pipe()
        os.set_blocking(self.pipe, False)
        self.pid = os.fork()
        if self.pid == 0:
            self._become(inner, command)
        os.close(inner)
        self.handle = os.pidfd_open(self.pid)

    def _become(self, out: int, command: bytes) -> None:
        try:
            _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
            os.setsid()
            os.nice(10)
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.closerange(3, 64)
            config = self.config
            for what, value in (
                (resource.RLIMIT_CORE, 0),
                (resource.RLIMIT_DATA, config.memory),
                (resource.RLIMIT_FSIZE, max(config.output, 1 << 32)),
            ):
                _lower(what, value)
            if os.getppid() == 1:
                # Counted per user namespace, so that only the sandbox's own processes count.
                _lower(resource.RLIMIT_NPROC, config.processes)
            os.chdir(config.root)
            os.execve(config.shell, [config.shell, b"-c", command], config.env)  # noqa: S606 - it is a shell
        except (OSError, ValueError) as error:
            os.write(2, b"the command cannot be started: " + str(error).encode() + b"\n")
        finally:
            os._exit(127)

    def pump(self) -> bool:
        """Take what has been written; False at the end of the pipe."""
        for _ in range(16):
            try:
                data = os.read(self.pipe, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        self.total += len(data)
        if self.total > self.config.output and not self.killed:
            self.kill(b"output")
        if self.total > 2 * KEEP and self.file < 0:
            self._open_whole()
        if self.file >= 0 and self.total <= self.config.output + (1 << 20):
            try:
                os.write(self.file, data)
            except OSError:
                os.close(self.file)
                self.file = -2
        room = KEEP - len(self.head)
        self.head += data[:room]
        self.tail += data[room:] if room > 0 else data
        if len(self.tail) > 4 * KEEP:
            del self.tail[:-KEEP]
        self.unsent += data
        if len(self.unsent) > STREAM_BYTES:
            del self.unsent[:-STREAM_BYTES]

    def _open_whole(self) -> None:
        folder, _, name = self.whole.rpartition(b"/")
        try:
            os.makedirs(self.config.root + b"/" + folder, exist_ok=True)
            path = folder + b"/" + name
            self.file = open_beneath(self.config.root, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(self.file, bytes(self.head + self.tail))
        except (OSError, Refused):
            self.file = -2

    def stream(self, now: float) -> None:
        """Pass output on to who watches, a few times a second and never more than one frame's worth."""
        if self.unsent and now - self.sent_at >= TICK_S:
            send(self.number, b"out", bytes(self.unsent))
            self.unsent.clear()
            self.sent_at = now

    def watch(self, now: float) -> None:
        if self.killed:
            return
        if now >= self.deadline:
            self.kill(b"timeout")
            return
        pids = others(os.getpid())
        if len(pids) > self.config.processes + 8:
            self.kill(b"processes")
        elif memory_of(pids, self.config.memory, self.config.tmpfs) > self.config.memory:
            self.kill(b"memory")

    def kill(self, why: bytes) -> None:
        if not self.killed:
            self.killed = why
        try:
            os.kill(self.pid, SIGKILL)
        except OSError:
            pass

    def finish(self) -> None:
        """The shell has ended: end what it left, take the last output, answer."""
        status = None
        try:
            status = os.waitpid(self.pid, 0)[1]
        except ChildProcessError:
            pass
        self.pump()
        kill_others()
        self.pump()
        os.close(self.handle)
        os.close(self.pipe)
        if self.file >= 0:
            os.close(self.file)
        self.sent_at = 0.0
        self.stream(time.monotonic())
        code = b"" if status is None or self.killed else b"%d" % _exit_code(status)
        cut = max(0, self.total - len(self.head) - KEEP) if self.total > 2 * KEEP else 0
        tail = bytes(self.tail[-KEEP:]) if cut else bytes(self.tail)
        wall = b"%.6f" % (time.monotonic() - self.started)
        whole = self.whole if cut and self.file >= 0 else b""
        send(self.number, b"ok", code, self.killed, bytes(self.head), tail, b"%d" % cut, whole, wall)


def _lower(what: int, value: int) -> None:
    """Set a limit, never above the hard one."""
    hard = resource.getrlimit(what)[1]
    if hard != -1:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


class Search:
    """A search in a child process, so that no pattern can hold up the launcher."""

    def __init__(self, config: Config, number: bytes, pattern: bytes, path: bytes, limit: int, seconds: float) -> None:
        self.number = number
        self.deadline = time.monotonic() + seconds
        self.answer = bytearray()
        self.late = False
        self.open = True
        self.pipe, inner = os.pipe()
        os.set_blocking(self.pipe, False)
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(inner, 1)
            os.nice(10)
            try:
                try:
                    send(b"ok", *search(config.root, pattern, path, limit))
                except Refused as refused:
                    send(b"err", str(refused).encode())
                except (OSError, RecursionError, MemoryError) as error:
                    send(b"err", say(error))
            finally:
                os._exit(0)
        os.close(inner)
        self.handle = os.pidfd_open(self.pid)

    def pump(self) -> bool:
        try:
            data = os.read(self.pipe, 1 << 20)
        except BlockingIOError:
            return True
        self.answer += data
        return bool(data)

    def stream(self, now: float) -> None:
        pass

    def watch(self, now: float) -> None:
        if now >= self.deadline:
            self.late = True
            self.kill(b"timeout")

    def kill(self, why: bytes) -> None:
        os.kill(self.pid, SIGKILL)

    def finish(self) -> None:
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass
        while self.pump():
            pass
        os.close(self.handle)
        os.close(self.pipe)
        if self.late:
            send(self.number, b"err", b"took too long; search a smaller folder or use a simpler pattern")
        elif len(self.answer) < 4:
            send(self.number, b"err", b"failed: the search was killed")
        else:
            send(self.number, *unpack(bytes(self.answer[4:])))


def say(error: BaseException) -> bytes:
    if isinstance(error, FileNotFoundError):
        return b"no such file or folder"
    if isinstance(error, IsADirectoryError):
        return b"is a folder"
    if isinstance(error, NotADirectoryError):
        return b"is not a folder"
    if isinstance(error, OSError) and error.errno == 6:  # ENXIO: a FIFO or socket opened for writing
        return b"is not a regular file"
    return (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)).lower().encode()


# --- the loop --------------------------------------------------------------------------------------------------


class Launcher:
    """Answers requests one after the other; a command or a search runs beside them, one at a time."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.job: Command | Search | None = None
        self.buffer = bytearray()

    def loop(self) -> None:
        """Until stdin ends: then everything dies with us."""
        while True:
            poll = select.poll()
            poll.register(0, select.POLLIN)
            job = self.job
            if job is not None:
                if job.open:
                    poll.register(job.pipe, select.POLLIN)
                poll.register(job.handle, select.POLLIN)
            ready = dict(poll.poll(None if job is None else TICK_S * 1000))
            if job is not None:
                self._attend(job, ready)
            if 0 in ready and not self._take_requests():
                kill_others()
                return

    def _attend(self, job: Command | Search, ready: dict[int, int]) -> None:
        now = time.monotonic()
        at_end = job.pipe in ready and not job.pump()
        if job.handle in ready:
            self.job = None
            job.finish()
            return
        if at_end:
            job.open = False  # nobody writes any more, but it still runs: only its end is left to wait for
        job.stream(now)
        job.watch(now)

    def _take_requests(self) -> bool:
        data = os.read(0, 1 << 20)
        if not data:
            return False
        self.buffer += data
        while len(self.buffer) >= 4:
            size = int.from_bytes(self.buffer[:4], "big")
            if size > MAX_FRAME:
                return False
            if len(self.buffer) < 4 + size:
                return True
            fields = unpack(bytes(self.buffer[4 : 4 + size]))
            del self.buffer[: 4 + size]
            self._answer(fields)
        return True

    def _answer(self, fields: list[bytes]) -> None:
        number, what, *rest = fields
        root = self.config.root
        try:
            if what == b"run":
                self.job = Command(self.config, number, rest[0], float(rest[1]), rest[2])
            elif what == b"search":
                self.job = Search(self.config, number, rest[0], rest[1], int(rest[2]), float(rest[3]))
            elif what == b"kill":
                if self.job is not None and self.job.number == rest[0]:
                    self.job.kill(rest[1])
            elif what == b"read":
                send(number, b"ok", read(root, rest[0], int(rest[1])))
            elif what == b"write":
                write(root, rest[0], rest[1])
                send(number, b"ok")
            elif what == b"list":
                send(number, b"ok", *list_files(root, rest[0], int(rest[1]), int(rest[2])))
            elif what == b"put":
                put(root, rest[0], int(rest[1]), rest[2])
                send(number, b"ok")
            elif what == b"remove":
                remove(root, rest[0])
                send(number, b"ok")
            else:
                send(number, b"err", b"unknown request")
        except Refused as refused:
            send(number, b"err", str(refused).encode())
        except OSError as error:
            send(number, b"err", say(error))


def main() -> None:
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    size = int.from_bytes(_read_exactly(4), "big")
    config = Config(unpack(_read_exactly(size)))
    if config.guard:
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        import guard  # type: ignore[import-not-found]  # noqa: PLC0415 - only the levels without namespaces pay for it

        guard.raise_around(config.guard, config.readable, config.writable, config.network)
    os.umask(0o022)
    send(b"0", b"ready")
    Launcher(config).loop()


def _read_exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            os._exit(1)
        data += chunk
    return data


if __name__ == "__main__":
    main()
