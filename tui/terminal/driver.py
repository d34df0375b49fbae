"""Textual's driver, made to paint on the terminal whatever stderr is, to survive any byte that a terminal sends, and to
restore the terminal after the process was suspended.

It reads keys and writes frames in the event loop. Textual's own driver uses threads for both: a key would have to get
the interpreter and a CPU three times on its way to the screen, and wait for the engine each time.
"""

import asyncio
import os
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any, cast

from textual import constants
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from tui.terminal.output import Output
from tui.terminal.sgr import shortened

if TYPE_CHECKING:
    from textual.app import App

READ = 4096
"""Bytes of input that are read at a time."""
TICK_S = constants.ESCAPE_DELAY + 0.01
"""Seconds after which a lone escape is a key, not the start of a sequence."""


def driver_on(output: Output) -> type[LinuxDriver]:
    """A driver that writes to `output`. Textual's own writes to stderr."""

    class TerminalDriver(LinuxDriver):
        def __init__(
            self,
            app: "App[object]",
            *,
            debug: bool = False,
            mouse: bool = True,
            size: tuple[int, int] | None = None,
        ) -> None:
            super().__init__(app, debug=debug, mouse=mouse, size=size)
            self._file = cast(Any, output)
            self._parser = XTermParser()
            self._decode = getincrementaldecoder("utf-8")("ignore").decode
            self._tick: asyncio.TimerHandle | None = None
            self._waiting = False

        def _sigcont_application(self, *_: object) -> None:
            """After SIGSTOP, during which a shell may have used the terminal. Not in the signal handler: it could wait
            for a lock that the interrupted code holds.
            """
            if self._auto_restart:
                self._loop.call_soon_threadsafe(self._take_terminal_again)

        def _take_terminal_again(self) -> None:
            self.suspend_application_mode()
            self.resume_application_mode()
            self._app.refresh(layout=True)

        # --- input ------------------------------------------------------------------------------------------------

        def start_application_mode(self) -> None:
            super().start_application_mode()  # type: ignore[no-untyped-call]
            if self._key_thread is not None:  # otherwise the process is in the background, and stopped
                self._loop.add_reader(self.fileno, self._read)

        def run_input_thread(self) -> None:
            """End Textual's thread at once, because the event loop reads the keys."""

        def _read(self) -> None:
            try:
                received = os.read(self.fileno, READ)
            except OSError:
                received = b""
            if not received:  # the terminal has closed
                self._loop.remove_reader(self.fileno)
                return
            if text := self._decode(received):  # the parser takes an empty text for the end of all input
                for message in self._parser.feed(text):
                    self.process_message(message)
            if self._tick is not None:
                self._tick.cancel()
            self._tick = self._loop.call_later(TICK_S, self._end_escape)

        def _end_escape(self) -> None:
            for message in self._parser.tick():
                self.process_message(message)

        def send_message(self, message: Message) -> None:
            self._app.post_message(message)

        def disable_input(self) -> None:
            self._loop.remove_reader(self.fileno)
            super().disable_input()
            self._key_thread = None

        # --- output -----------------------------------------------------------------------------------------------

        def write(self, data: str) -> None:
            """Write what the terminal takes now, and the rest when it takes more. Waits only if too much is left."""
            frame = shortened(data)
            if not output.offer(frame):
                output.write(frame)
            if not output.settled():
                self._loop.add_writer(output.fileno(), self._write_rest)
                self._waiting = True

        def _write_rest(self) -> None:
            if output.settled():
                self._stop_waiting()

        def _stop_waiting(self) -> None:
            if self._waiting:
                self._waiting = False
                self._loop.remove_writer(output.fileno())

        def close(self) -> None:
            self._stop_waiting()
            output.flush()
            super().close()

    return TerminalDriver
