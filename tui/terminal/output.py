"""Output that is not read for a while: a stopped terminal or a full pipe must block neither the engine nor signals."""

import os
import select
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

STUCK_S = 1.0
"""How long output may stay unread before it is abandoned, once the program has been asked to end."""
_LOOK_MS = 100
_MOST_WAITING = 64 * 1024
"""Bytes of unread output that are kept by `offer`."""


class Output:
    """Writes text as UTF-8 to a terminal, pipe or file, whose reader may pause or go away.

    `hurry` and `abandon` may be called in signal handlers. After `abandon` everything that is written is dropped.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        try:
            self._fd = _never_blocking(stream.fileno())
        except OSError:
            self._fd = -1  # there is no file behind it
        self._left = b""
        self._hurried = False
        self._stuck_since: float | None = None
        self.abandoned = False
        self.error: OSError | None = None
        """Why the output was abandoned, if the reader or the system was the reason."""

    def fileno(self) -> int:
        return self._fd

    def write(self, text: str) -> int:
        """Write, and wait until the reader has taken all of it."""
        self._left += _bytes(text)
        self.flush()
        return len(text)

    def offer(self, text: str) -> bool:
        """Write without waiting. What is not taken now is written later; False if so much waits that `text` is lost."""
        if not self.settled() and len(self._left) > _MOST_WAITING:
            return False
        self._left += _bytes(text)
        self.settled()
        return True

    def flush(self) -> None:
        """Wait until the reader has taken everything."""
        while not self.settled():
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll(_LOOK_MS)

    def hurry(self) -> None:
        """From now on, wait for the reader at most a second."""
        self._hurried = True

    def abandon(self) -> None:
        self.abandoned = True

    def settled(self) -> bool:
        """Write what the reader takes now; returns whether nothing is left."""
        while self._left and not self.abandoned:
            try:
                written = os.write(self._fd, self._left) if self._fd >= 0 else self._write_to_stream()
            except BlockingIOError:
                now = time.monotonic()
                self._stuck_since = self._stuck_since or now
                if not self._hurried or now - self._stuck_since < STUCK_S:
                    return False
                self.abandon()
            except OSError as error:
                self.error = error
                self.abandon()
            else:
                self._left = self._left[written:]
                self._stuck_since = None
        self._left = b""
        return True

    def _write_to_stream(self) -> int:
        self._stream.write(self._left.decode())
        self._stream.flush()
        return len(self._left)


def drop_output(fds: Iterable[int]) -> None:
    """Send to /dev/null what is still written to these descriptors: last words must not block or fail."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in fds:
        os.dup2(nowhere, fd)


def _bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _never_blocking(fd: int) -> int:
    """Open the terminal or pipe behind a descriptor once more, so that writes fail instead of waiting.

    The flag would otherwise hold for every process that shares it, such as the shell. Where it cannot be opened again,
    and for files, which never block, the result is a copy of the descriptor.
    """
    if stat.S_ISCHR(os.fstat(fd).st_mode) or stat.S_ISFIFO(os.fstat(fd).st_mode):
        with suppress(OSError):
            return os.open(f"/dev/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return os.dup(fd)
