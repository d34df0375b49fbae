"""A queue of keys and pasted texts: each is handled completely before the next one, however long that takes.

A terminal sends several keys at once when a person types fast or the connection is slow. Textual would send all of them
to the widget that has the focus, even those meant for a screen that the first key opens: letters of a text would become
commands.
"""

import time
from collections import deque

from textual import events
from textual.app import App
from textual.dom import NoScreen
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tui.terminal.painting import PaintingScreen
from tui.terminal.thread_priority import collect_while_idle

STUCK_S = 1.0
"""Seconds after which the queue finds out why a key is still being handled."""
INTERRUPT = "ctrl+c"
"""The key that is handled even if the one before it never is. As in a terminal, it drops what was typed before it."""


Typed = events.Key | events.Paste


class KeyQueueApp(App[int]):
    """An app that handles one key at a time."""

    class Handled(Message):
        """Follows a key from the widget that received it up to the app: when it arrives, the key is handled.

        It is sent twice, so that it also follows a message that the widget sends because of the key.
        """

        def __init__(self, key: "Typed", target: Widget, on: "Screen[object]", *, again: bool) -> None:
            super().__init__()
            self.key = key
            self.target = target
            self.on = on
            self.again = again

    def __init__(self, *, ansi_color: bool | None = None, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class, ansi_color=ansi_color)
        self._queue: deque[Typed] = deque()
        self._key: Typed | None = None
        """The key, or pasted text, that is being handled."""
        self._target: Widget | None = None
        """The widget that handles it, and then the screen that it opened, until that is painted."""
        self._key_at = 0.0
        self._typed_at = 0.0
        self._looking = False

    def on_mount(self) -> None:
        if not self.is_headless:
            self.set_interval(1.0, lambda: collect_while_idle(time.monotonic() - self._typed_at))

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent | events.Paste):
            self._typed_at = time.monotonic()
        if not isinstance(event, Typed) or event.is_forwarded:
            await super().on_event(event)
            return
        self._queue.append(event)
        if self._key is None:
            await self._handle_next()
        elif not self._looking:
            self._looking = True
            self.set_timer(STUCK_S, self._look)

    async def _handle_next(self) -> None:
        """Handle the oldest key in the queue, if there is one."""
        self._key = None
        if not (self._queue and self.screen_stack):
            return
        screen, target = self.screen, self.focused or self.screen
        self._key = key = self._queue.popleft()
        self._target, self._key_at = target, time.monotonic()
        if isinstance(key, events.Paste):
            self.before_paste(key)
        if isinstance(key, events.Key) and isinstance(screen, PaintingScreen) and not isinstance(target, Input):
            await self._act(screen, key)
        else:
            await super().on_event(key)
        if not target.post_message(self.Handled(key, target, screen, again=True)):
            self.call_later(self._handle_next_after, key)

    def before_paste(self, event: events.Paste) -> None:
        """May change a text just before the focused widget gets it."""

    async def _handle_next_after(self, key: Typed) -> None:
        """Handle the next key, unless the queue has already stopped waiting for this one."""
        if key is self._key:
            await self._handle_next()

    async def _act(self, screen: "PaintingScreen[object]", key: events.Key) -> None:
        """Do what the key is bound to. Textual would first offer it to each node from the focus up to the app."""
        self.app_focus = True
        if await self._check_bindings(key.key, priority=True) or await self._check_bindings(key.key):
            screen.paint_now()

    def on_key_queue_app_handled(self, event: Handled) -> None:
        """Handle the next key, but only after a screen that this one opened is painted and has the focus."""
        key = event.key
        if event.again and event.target.post_message(self.Handled(key, event.target, event.on, again=False)):
            return
        if self.screen_stack[-1:] in ([], [event.on]):  # empty while the app ends
            self.call_later(self._handle_next_after, key)
        elif key is self._key:
            self._target = self.screen
            self.screen.call_after_refresh(self.call_later, self._handle_next_after, key)

    async def _look(self) -> None:
        """While keys wait, check from time to time whether they wait in vain."""
        self._looking = False
        if self._key is not None and time.monotonic() - self._key_at >= STUCK_S and self._is_stuck():
            await self._handle_next()
        if self._queue and not self._looking:
            self._looking = True
            self.set_timer(STUCK_S, self._look)

    def _is_stuck(self) -> bool:
        """Whether a person interrupts the key, or its widget is gone and with it what would complete the key.

        The interrupt key itself is stuck once a dialog is open: that has to work even if the pane below never answers.
        """
        interrupts = [index for index, key in enumerate(self._queue) if _interrupts(key)]
        if interrupts:
            for _ in range(interrupts[-1]):
                self._queue.popleft()
            return True
        stack = self.screen_stack
        if _interrupts(self._key):
            stack = stack[-1:]
        try:
            return self._target is None or self._target.screen not in stack
        except NoScreen:
            return True


def _interrupts(key: Typed | None) -> bool:
    return isinstance(key, events.Key) and key.key == INTERRUPT
