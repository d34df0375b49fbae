"""The command palette: searches the action registry, and shows keys and why an action is not available."""

from functools import partial
from typing import cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tui.input.actions_and_keys import ACTIONS, Action
from tui.widgets.actionable import PaneHost

_LIST_ACTIONS = ("list.filter", "list.enter", "list.back", "list.next_match", "list.previous_match")
"""The list actions that do more than move the cursor."""


class ActionProvider(Provider):
    """The palette's source of entries."""

    @property
    def _host(self) -> PaneHost:
        return cast("PaneHost", self.app)

    def _entries(self) -> list[tuple[Action, str, str]]:
        host = self._host
        context = host.context()
        entries = []
        for action in ACTIONS:
            if action.scope == "intent" or (action.scope == "list" and action.id not in _LIST_ACTIONS):
                continue
            reason = action.unavailable(context)
            text = f"{action.description}  [{host.keymap.shown(action.id)}]"
            entries.append((action, text, f"not available: {reason}" if reason else action.scope))
        return entries

    async def discover(self) -> Hits:
        for action, text, note in self._entries():
            yield DiscoveryHit(Content(text), partial(self._host.act, action.id), text=text, help=note)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action, text, note in self._entries():
            if (score := matcher.match(text)) > 0:
                found = Content(text)  # the matcher's own highlighting reads `[P]` as markup
                for offset in matcher.fuzzy_search.match(query, text)[1]:
                    found = found.stylize(matcher.match_style, offset, offset + 1)
                yield Hit(score, found, partial(self._host.act, action.id), text=text, help=note)
