"""Help: the keys of the focused pane first, then those that work everywhere, with the reason where one is disabled."""

from tui.keymap import Context, Keymap, in_scopes
from tui.text import EMPTY, Line, Span, fit
from tui.widgets.prose import heading

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


def tell_help(keymap: Keymap, context: Context, here: tuple[str, ...], cells: int) -> list[Line]:
    """All actions by scope; `here` are the focused pane's scopes."""
    scopes = [*here, *(scope for scope in ("global", "focus") if scope not in here)]
    scopes += [scope for scope in _TITLES if scope not in scopes]
    lines: list[Line] = []
    for scope in scopes:
        lines += heading(_TITLES[scope] + (" · this pane" if scope in here and scope != "list" else ""))
        for action in in_scopes(scope):
            reason = action.unavailable(context)
            lines.append(
                (
                    Span("  " + fit(keymap.shown(action.id), 14), "dim" if reason else "accent"),
                    Span(action.description, "dim" if reason else "text"),
                    Span(f"  ({reason})" if reason else "", "dim italic"),
                )
            )
    return [*lines, EMPTY]
