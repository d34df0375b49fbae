"""The modes that a terminal has outside the app, to restore them when the app can no longer do it in order."""

import os
import signal
import termios
from contextlib import suppress

_USUAL = "\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"
"""Undoes what Textual's driver changes in a terminal."""


class UsualModes:
    """The modes of the terminal at stdin, as they are now."""

    def __init__(self) -> None:
        self._attributes = None
        with suppress(termios.error):
            self._attributes = termios.tcgetattr(0)

    def leave_raw_mode(self, fd: int) -> None:
        """Restore what the app could not, because a shell has taken the terminal back: not all shells do it.

        A shell that has set modes of its own, in which ctrl+c sends a signal, keeps them.
        """
        with suppress(termios.error):
            if self._attributes is not None and not termios.tcgetattr(fd)[3] & termios.ISIG:
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})  # lets a background process do it
                termios.tcsetattr(fd, termios.TCSANOW, self._attributes)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def restore(self, fd: int) -> None:
        """Best effort, on a descriptor whose writes do not block."""
        if self._attributes is not None:
            with suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, self._attributes)
        with suppress(OSError):
            os.write(fd, _USUAL.encode())
