"""What happens when the terminal goes away: the screen ends, the engine goes on until the run is over."""

import os
import select
import signal
import sys
from collections.abc import Sequence
from threading import Thread
from types import FrameType
from typing import Any, Protocol, TextIO

from tui.sessions.session import CloseMode, Session


class _App(Protocol):
    def exit(self, result: int | None = None) -> None: ...

    def call_later(self, callback: Any, *args: Any) -> Any: ...


class _Screen:
    """The stream that the toolkit paints on. Its thread must outlive the terminal: without it painting would block."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            return


class Hangup:
    """Takes SIGHUP and SIGTERM while the app runs, and brings the session to its end afterwards.

    A terminal that goes away without a signal, because it controls no session, counts as one that sent it.
    """

    def __init__(self, app: _App) -> None:
        self._app = app
        self._sessions: Sequence[Session] = ()
        self.hung_up = False
        self._painted_on = sys.__stderr__
        if self._painted_on is not None:
            vars(sys)["__stderr__"] = _Screen(self._painted_on)  # what the toolkit's driver takes
        Thread(target=self._watch, name="hangup", daemon=True).start()
        self._before = {
            number: signal.signal(number, handler)
            for number, handler in ((signal.SIGHUP, self._gone), (signal.SIGTERM, self._terminated))
        }

    def _watch(self) -> None:
        """Wait, without waking up, for the terminal's end; systems whose terminals cannot be polled send the signal."""
        if sys.__stdin__ is None:
            return
        terminal = select.poll()
        terminal.register(sys.__stdin__.fileno(), 0)
        for _, happened in terminal.poll():
            if happened & select.POLLHUP and signal.getsignal(signal.SIGHUP) == self._gone:
                os.kill(os.getpid(), signal.SIGHUP)

    def _gone(self, number: int, frame: FrameType | None) -> None:
        """Nobody looks any more. What is still painted goes nowhere instead of failing."""
        self.hung_up = True
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
            if stream is not None:
                os.dup2(nowhere, stream.fileno())
        self._app.call_later(self._app.exit, 0)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        for session in self._sessions:
            session.close(CloseMode.EXIT)
        self._app.call_later(self._app.exit, None)

    def settle(self, sessions: Sequence[Session]) -> None:
        """Leave no engine behind: wait for a run whose terminal is gone, stop any other that is still live.

        Runs after the app, however it ended; a crash of the screen stops the engine cleanly too.
        """
        self._sessions = sessions
        try:
            for session in sessions:
                if self.hung_up and session.failure() is None:
                    session.close(CloseMode.WAIT).result()
                else:
                    session.close(CloseMode.EXIT).result()
        finally:
            vars(sys)["__stderr__"] = self._painted_on
            for number, handler in self._before.items():
                signal.signal(number, handler)
