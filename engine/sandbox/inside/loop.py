"""The launcher: answers requests from stdin on stdout until stdin closes, then ends everything in the sandbox."""

import _signal  # type: ignore[import-not-found]  # `signal` takes longer to import than all else here
import os
import select
import sys
import time

from .frames import MAX_FRAME, Refused, say, send, unpack
from .jobs import Job, kill_others, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TICK_MS = 100
FILES = {
    b"read": ("files", "read"),
    b"write": ("files", "write"),
    b"list": ("files", "show"),
    b"put": ("files", "put"),
    b"remove": ("files", "remove"),
    b"line_end": ("line_ends", "line_end_beside"),
}
"""Answered at once, one after another: functions."""
JOBS = {b"run": ("commands", "Command"), b"search": ("search", "Search")}
"""Run beside the loop, one at a time: the classes of jobs."""


class Loop:
    """`config` is the first frame: the settings that engine/sandbox/containment.py writes."""

    def __init__(self, config: dict[bytes, bytes]) -> None:
        self.config = config
        self.job: Job | None = None
        self.buffer = bytearray()

    def run(self) -> None:
        """Serve until the engine is gone or closes the pipe. Whatever ends the loop, everything in the sandbox ends
        with it."""
        try:
            self._serve()
        except BrokenPipeError:
            pass  # nobody is left to receive the rest
        finally:
            kill_others()

    def _serve(self) -> None:
        while True:
            poll = select.poll()
            poll.register(0, select.POLLIN)
            job = self.job
            if job is not None:
                poll.register(job.handle, select.POLLIN)
                if job.open:
                    poll.register(job.pipe, select.POLLIN)
            ready = dict(poll.poll(None if job is None else TICK_MS))
            if job is not None:
                self._attend(job, ready)
            if 0 in ready and not self._take_requests():
                return

    def _attend(self, job: Job, ready: dict[int, int]) -> None:
        now = time.monotonic()
        if job.pipe in ready and not job.pump():
            job.open = False  # the pipe is closed but the child still runs: wait for its end
        if job.handle in ready:
            self.job = None
            job.finish()
            return
        job.tell(now)
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
            self._answer(*fields)
        return True

    def _answer(self, number: bytes, what: bytes, *rest: bytes) -> None:
        try:
            if what in JOBS:
                self.job = load(*JOBS[what])(self.config, number, *rest)
            elif what in FILES:
                send(number, b"ok", *load(*FILES[what])(self.config[b"root"], *rest))
            elif what not in (b"kill", b"freeze", b"thaw"):
                send(number, b"err", b"unknown request")
            else:
                self._steer(what, *rest)
                send(number, b"ok")
        except (Refused, OSError) as error:
            send(number, b"err", say(error))

    def _steer(self, what: bytes, job: bytes, *why: bytes) -> None:
        if self.job is None or self.job.number != job:
            return
        if what == b"kill":
            self.job.kill(why[0])
        elif what == b"freeze":
            self.job.freeze()
        else:
            self.job.thaw()


def main(enter: "Callable[[dict[bytes, bytes]], None] | None" = None) -> None:
    """`enter` moves a process that was forked outside into its sandbox."""
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    fields = unpack(_read_exactly(int.from_bytes(_read_exactly(4), "big")))
    config = dict(zip(fields[0::2], fields[1::2], strict=True))
    session = load("niceness", "session")()
    if enter is not None:
        enter(config)
    for place in config.get(b"arrive", b"").split():
        os.write(int(place), b"0")
        os.close(int(place))
    load("niceness", "lower")(load("niceness", "LAUNCHER"))
    config[b"session"] = b"%d" % session
    load("privacy", "hide")()
    if b"guard" in config:
        load("guard", "raise_around")(config)
    os.umask(0o022)
    send(b"0", b"ready")
    Loop(config).run()


def _read_exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            sys.exit(1)
        data += chunk
    return data
