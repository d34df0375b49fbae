"""What happens when the terminal goes away: the screen ends, the engine goes on until the run is over."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, Protocol

from tui.bridge import CloseMode, Session


class _App(Protocol):
    def exit(self, result: int | None = None) -> None: ...

    def call_later(self, callback: Any, *args: Any) -> Any: ...


class Hangup:
    """Takes SIGHUP and SIGTERM while the app runs, and brings the session to its end afterwards."""

    def __init__(self, app: _App) -> None:
        self._app = app
        self._sessions: Sequence[Session] = ()
        self.hung_up = False
        self._before = {
            number: signal.signal(number, handler)
            for number, handler in ((signal.SIGHUP, self._gone), (signal.SIGTERM, self._terminated))
        }

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
            for number, handler in self._before.items():
                signal.signal(number, handler)
