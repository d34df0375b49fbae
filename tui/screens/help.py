"""Help: the keys of the focused pane first, then those that work everywhere, with the reason where one is disabled."""

from tui.format.text import EMPTY, Line, Span, fit, wrap
from tui.input.actions import Context, in_scopes
from tui.input.keymap import Keymap
from tui.widgets.text_view import heading

_TITLES = {
    "focus": "Panes",
    "global": "Everywhere",
    "list": "Moving and finding",
    "agents": "Agents",
    "handoffs": "Handoffs",
    "events": "Events",
    "replay": "Replay",
    "resources": "Resources",
    "diff": "Diff",
    "intent": "Intent editor",
}

_INDENT = " " * 16


def tell_help(keymap: Keymap, context: Context, here: tuple[str, ...], cells: int) -> list[Line]:
    """All actions by scope; `here` are the focused pane's scopes."""
    scopes = [*here, *(scope for scope in ("global", "focus") if scope not in here)]
    scopes += [scope for scope in _TITLES if scope not in scopes]
    lines: list[Line] = []
    for scope in scopes:
        lines += heading(_TITLES[scope] + (" · this pane" if scope in here and scope != "list" else ""))
        for action in in_scopes(scope):
            reason = action.unavailable(context)
            keys = Span("  " + fit(keymap.shown(action.id), 14), "dim" if reason else "accent")
            lines += wrap(action.description, cells, "dim" if reason else "text", first=(keys,), indent=_INDENT)
            if reason:
                lines += wrap(f"not now: {reason}", cells, "dim italic", first=(Span(_INDENT),), indent=_INDENT)
    return [*lines, EMPTY]
