"""Keys in turn: each is answered in full before the next is looked at.

A terminal hands over several keys at once when a person types fast, or the line is slow. The toolkit would give all of
them to the widget that has the focus, also those that are meant for what the first one opens.
"""

import asyncio
from collections import deque

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.message import Message
from textual.screen import Screen

STUCK_S = 1.0
"""Seconds after which a key that nobody answers does not hold up the next one."""


class KeyQueueApp(App[int]):
    """An app that takes one key at a time."""

    class Answered(Message):
        """Follows a key on its way up from the widget that got it: when it arrives, the key is answered.

        It goes that way twice, behind what the widget says in answer (that a line was submitted, for example).
        """

        def __init__(self, target: DOMNode, on: "Screen[object]", *, again: bool) -> None:
            super().__init__()
            self.target = target
            self.on = on
            self.again = again

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self._waiting: deque[events.Key] = deque()
        self._taken_at: float | None = None

    @property
    def handling_key(self) -> bool:
        """Whether a key is being answered."""
        return self._taken_at is not None and asyncio.get_running_loop().time() - self._taken_at <= STUCK_S

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
            return
        self._waiting.append(event)
        if not self.handling_key:
            await self._take()

    async def _take(self) -> None:
        """Have the oldest waiting key answered, if there is one."""
        self._taken_at = None
        if not self._waiting:
            return
        self._taken_at = asyncio.get_running_loop().time()
        screen, target = self.screen, self.focused or self.screen
        await super().on_event(self._waiting.popleft())
        if not target.post_message(self.Answered(target, screen, again=True)):
            self.call_later(self._take)

    def on_key_queue_app_answered(self, event: Answered) -> None:
        """What the key asked for has begun; a screen that it opened, and a focus that it moved, come first."""
        if event.again and event.target.post_message(self.Answered(event.target, event.on, again=False)):
            return
        if self.screen is event.on:
            self.call_later(self._take)
        else:
            self.screen.call_after_refresh(self.call_later, self._take)
