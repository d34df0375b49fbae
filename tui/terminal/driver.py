"""Textual's driver, made to paint on the terminal whatever stderr is, to survive any byte that a terminal sends, and to
restore the terminal after the process was suspended.
"""

from typing import TYPE_CHECKING, Any, cast

from textual.drivers.linux_driver import LinuxDriver

from tui.terminal.output import Output

if TYPE_CHECKING:
    from textual.app import App


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

        def run_input_thread(self) -> None:
            """Read keys until the app ends. Input that is not UTF-8 is dropped; it would end Textual's own."""
            while not self.exit_event.is_set():
                try:
                    super().run_input_thread()
                except UnicodeDecodeError:
                    continue

    return TerminalDriver
