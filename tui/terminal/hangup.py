"""Hang-ups: when the terminal closes, the app exits but the engine continues until the run ends."""

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


class _Output:
    """The stream that Textual writes to. Ignores errors of a closed terminal, which would end its writer thread."""

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
    """Handles SIGHUP and SIGTERM while the app runs, and ends the session afterwards.

    A terminal that closes without sending SIGHUP, because it is not the controlling terminal, is treated the same.
    """

    def __init__(self, app: _App) -> None:
        self._app = app
        self._sessions: Sequence[Session] = ()
        self.hung_up = False
        self._painted_on = sys.__stderr__
        if self._painted_on is not None:
            vars(sys)["__stderr__"] = _Output(self._painted_on)  # the stream that Textual's driver uses
        Thread(target=self._watch, name="hangup", daemon=True).start()
        self._before = {
            number: signal.signal(number, handler)
            for number, handler in ((signal.SIGHUP, self._gone), (signal.SIGTERM, self._terminated))
        }

    def _watch(self) -> None:
        """Block until the terminal closes. Where a terminal cannot be polled, the system sends the signal instead."""
        if sys.__stdin__ is None:
            return
        terminal = select.poll()
        terminal.register(sys.__stdin__.fileno(), 0)
        for _, happened in terminal.poll():
            if happened & select.POLLHUP and signal.getsignal(signal.SIGHUP) == self._gone:
                os.kill(os.getpid(), signal.SIGHUP)

    def _gone(self, number: int, frame: FrameType | None) -> None:
        """Exit the app, and send what it still paints to /dev/null so that it cannot fail."""
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
        """Wait for a run whose terminal closed, or stop a run that is still live.

        Called after the app has ended in any way, so that a crash of the app stops the engine cleanly too.
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
