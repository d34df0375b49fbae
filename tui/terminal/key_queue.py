"""A queue of keys: each is handled completely before the next one.

A terminal sends several keys at once when a person types fast or the connection is slow. Textual would send all of them
to the focused widget, even those that are meant for a screen that the first key opens.
"""

import asyncio
from collections import deque

from textual import events
from textual.app import App
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tui.terminal.painting import PaintingScreen

STUCK_S = 1.0
"""Seconds after which a key that is still being handled no longer delays the next one."""


class KeyQueueApp(App[int]):
    """An app that handles one key at a time."""

    class Handled(Message):
        """Follows a key from the widget that received it up to the app: when it arrives, the key is handled.

        It is sent twice, so that it also follows a message that the widget sends because of the key.
        """

        def __init__(self, target: Widget, on: "Screen[object]", *, again: bool) -> None:
            super().__init__()
            self.target = target
            self.on = on
            self.again = again

    def __init__(self, *, ansi_color: bool | None = None, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class, ansi_color=ansi_color)
        self._queue: deque[events.Key] = deque()
        self._started_at: float | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
            return
        self._queue.append(event)
        if self._started_at is None or asyncio.get_running_loop().time() - self._started_at > STUCK_S:
            await self._handle_next()

    async def _handle_next(self) -> None:
        """Handle the oldest key in the queue, if there is one."""
        self._started_at = None
        if not self._queue:
            return
        self._started_at = asyncio.get_running_loop().time()
        screen, target, key = self.screen, self.focused or self.screen, self._queue.popleft()
        if isinstance(screen, PaintingScreen) and not isinstance(target, Input):
            await self._act(screen, key)
        else:
            await super().on_event(key)
        if not target.post_message(self.Handled(target, screen, again=True)):
            self.call_later(self._handle_next)

    async def _act(self, screen: "PaintingScreen[object]", key: events.Key) -> None:
        """Do what the key is bound to. Textual would first offer it to each node from the focused one up to the app."""
        self.app_focus = True
        if await self._check_bindings(key.key, priority=True) or await self._check_bindings(key.key):
            screen.paint_now()

    def on_key_queue_app_handled(self, event: Handled) -> None:
        """Handle the next key, but only after a screen that this one opened is painted and has the focus."""
        if event.again and event.target.post_message(self.Handled(event.target, event.on, again=False)):
            return
        if self.screen is event.on:
            self.call_later(self._handle_next)
        else:
            self.screen.call_after_refresh(self.call_later, self._handle_next)
