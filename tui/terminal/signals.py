"""Signals while the app runs: they reach the engine whatever the screen does, even if nobody reads the terminal.

SIGHUP from a terminal that closed ends the app, but the engine continues until the run ends. Any other signal stops the
engine at its safe points, a second one stops it immediately, and a third one ends the process.
"""

import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread, Timer
from types import FrameType

from tui.bridge import ExitStatus
from tui.sessions.session import CloseMode, Session
from tui.terminal.output import Output, drop_output
from tui.terminal.usual_modes import UsualModes

END_S = 5.0
"""Seconds that an engine may take after it was told to stop immediately; then the process ends without it."""
STOPPING = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


class Signals:
    """Handles signals from now on. `exit` ends the app; it must be callable in a signal handler and in other threads.

    A terminal that closes without sending SIGHUP, because it is not the controlling terminal, is treated the same.
    """

    def __init__(self, exit: Callable[[], None], output: Output, sessions: Sequence[Session]) -> None:
        self._exit = exit
        self._output = output
        self._sessions = sessions
        self._asked = 0
        self._hung_up = False
        self._usual = UsualModes()
        self._terminals = [fd for fd in (0, 1, 2) if os.isatty(fd)]
        self._before = {number: signal.signal(number, self._received) for number in STOPPING}
        Thread(target=self._watch, name="hangup", daemon=True).start()

    def _watch(self) -> None:
        """Block until the terminal closes. Where a terminal cannot be polled, the system sends the signal instead."""
        closed = _closes(0, None) and _closes(0, 0)  # of a detached run, the terminal is no longer at 0
        if closed and signal.getsignal(signal.SIGHUP) == self._received:
            os.kill(os.getpid(), signal.SIGHUP)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and (self._hung_up or _closes(0, 0)):
            # The system and the shell may both send it.
            self._hung_up = True
            self._leave_terminal()
            self._exit()
            return
        self._asked += 1
        self._output.hurry()
        self._exit()
        if self._asked == 1:
            self._close(CloseMode.EXIT)
        elif self._asked == 2:
            self._close(CloseMode.NOW)
            timer = Timer(END_S, self._end)
            timer.daemon = True
            timer.start()
        else:
            self._end()

    def _close(self, mode: CloseMode) -> "list[Future[None]]":
        return [session.close(mode) for session in self._sessions]

    def _leave_terminal(self) -> None:
        """Drop what is still painted, and send last words to /dev/null, because the terminal would block or fail."""
        self._output.abandon()
        drop_output(self._terminals)

    def _end(self) -> None:
        """End the process, as a crash would: the run can be resumed."""
        self._usual.restore(self._output.fileno())
        os._exit(int(ExitStatus.STOPPED))

    def settle(self, *, impatient: bool) -> None:
        """Wait for a run whose terminal closed, or stop a run that is still live.

        Called after the app has ended in any way, so that a crash of the app stops the engine cleanly too. If
        `impatient`, the process ends without an engine that does not stop immediately.
        """
        self._usual.leave_raw_mode(self._output.fileno())
        if self._output.abandoned and not self._hung_up:
            self._usual.restore(self._output.fileno())
            self._leave_terminal()
        try:
            for session in self._sessions:
                waits = self._hung_up and session.failure() is None and not self._asked
                mode = CloseMode.NOW if impatient else CloseMode.WAIT if waits else CloseMode.EXIT
                session.close(mode).result(END_S if impatient else None)
        except TimeoutError:
            sys.stderr.write("error: the engine did not stop; ended without it\nhint: swarm-tui runs\n")
            sys.stderr.flush()
            os._exit(int(ExitStatus.STOPPED))
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)


def _closes(fd: int, wait_ms: int | None) -> bool:
    """Whether the terminal closes within this time; None: ever."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(happened & select.POLLHUP for _, happened in poll.poll(wait_ms))
