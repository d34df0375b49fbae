"""The help page: the keys of the focused pane, then all others, with the reason if one is not available."""

from tui.format.text import EMPTY, Line, Span, fit, wrap
from tui.input.actions_and_keys import ActionContext, in_scopes
from tui.input.keys_in_force import Keymap
from tui.widgets.text_view import heading

_TITLES = {
    "focus": "Panes",
    "global": "Everywhere",
    "list": "Lists",
    "agents": "Agents",
    "handoffs": "Handoffs",
    "events": "Events",
    "replay": "Replay",
    "resources": "Resources",
    "diff": "Diff",
    "intent": "Intent editor",
}

_INDENT = " " * 16


def help_lines(keymap: Keymap, context: ActionContext, here: tuple[str, ...], cells: int) -> list[Line]:
    """All actions by scope, those of the focused pane (`here`) first."""
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
                lines += wrap(f"not available: {reason}", cells, "dim italic", first=(Span(_INDENT),), indent=_INDENT)
    return [*lines, EMPTY]
