"""The keys of all actions: the registry's, overridden by the person's own. Makes bindings and the footer from them."""

import difflib
from collections.abc import Iterable, Mapping

from textual.binding import Binding

from tui.bridge import ErrorKind, SwarmError
from tui.input.actions_and_keys import ACTIONS, ALWAYS, BY_ID, Action, ActionContext

# Keys that do not reach programs: a terminal, or tmux with its default settings, keeps or changes them.
FORBIDDEN = frozenset(
    {f"ctrl+{letter}" for letter in "abimhsz"}
    | {f"{modifier}+enter" for modifier in ("ctrl", "shift", "alt")}
    | {f"alt+{arrow}" for arrow in ("up", "down", "left", "right")}
)
_SHOWN = {
    "question_mark": "?",
    "exclamation_mark": "!",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "number_sign": "#",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "full_stop": ".",
    "comma": ",",
    "colon": ":",
    "plus": "+",
    "minus": "-",
    "underscore": "_",
    "equals_sign": "=",
    "slash": "/",
    "vertical_line": "|",
    "escape": "esc",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
}
_NAMED = {shown: name for name, shown in _SHOWN.items()}


class Keymap:
    """The keys of all actions."""

    def __init__(self, remapped: Mapping[str, str] | None = None) -> None:
        """`remapped` maps an action's id to keys separated by spaces. Raises SwarmError (settings) for invalid ones."""
        self.keys: dict[str, tuple[str, ...]] = {action.id: action.keys for action in ACTIONS}
        for id, keys in (remapped or {}).items():
            self.keys[id] = _parse(id, keys)
        for scope in {action.scope for action in ACTIONS}:
            self._check_clashes(scope, remapped or {})

    def _check_clashes(self, scope: str, remapped: Mapping[str, str]) -> None:
        owners: dict[str, str] = {}
        for action in ACTIONS:
            if action.scope != scope:
                continue
            for key in self.keys[action.id]:
                if (other := owners.setdefault(key, action.id)) != action.id:
                    culprit, owner = (action.id, other) if action.id in remapped else (other, action.id)
                    raise _bad(culprit, f"{shown(key)} is already the key of {owner}", "choose another key")

    def bindings(self, *scopes: str) -> list[Binding]:
        """The bindings of these scopes; each runs `act('ID')`."""
        return [
            Binding(",".join(self.keys[action.id]), f"act({action.id!r})", action.description, id=action.id)
            for action in ACTIONS
            if action.scope in scopes
        ]

    def shown(self, id: str) -> str:
        """The action's keys as they are shown."""
        return " ".join(shown(key) for key in self.keys[id])

    def footer(self, scopes: Iterable[str], context: ActionContext, most: int = 5) -> list[tuple[Action, str]]:
        """The few actions that matter most in these scopes now, each with its label.

        Urgent ones come first, then the others by rank. Help and quit are always among them.
        """
        wanted = set(scopes)
        ranked: list[tuple[int, Action, str]] = []
        for action in ACTIONS:
            if action.scope in wanted and not action.unavailable(context):
                if label := action.urgent(context):
                    ranked.append((0, action, label))
                elif action.footer:
                    ranked.append((action.footer, action, action.label))
        ranked.sort(key=lambda entry: entry[0])
        always = [entry for entry in ranked if entry[1].id in ALWAYS]
        chosen = [entry for entry in ranked if entry[1].id not in ALWAYS][: most - len(always)]
        return [(action, label) for _, action, label in (*chosen, *always)]


def shown(key: str) -> str:
    """A key's name as it is shown."""
    return _SHOWN.get(key, key)


def _bad(id: str, message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.SETTINGS, f"keys: {id}: {message}", hint)


def _parse(id: str, keys: str) -> tuple[str, ...]:
    if id not in BY_ID:
        near = difflib.get_close_matches(id, BY_ID, n=1)
        hint = f"did you mean {near[0]}?" if near else "to list all actions: swarm-tui help screen"
        raise _bad(id, "no such action", hint)
    names = tuple(_NAMED.get(key, key) for key in keys.split())
    if not names:
        raise _bad(id, "no key", 'write one or more, for example "x" or "ctrl+x f5"')
    if all(name in FORBIDDEN for name in names):
        raise _bad(id, f"{keys} does not reach programs inside tmux", "add another key")
    return names


DEFAULT = Keymap()
"""The registry's keys, which classes bind; the app overrides them with the person's own when it starts."""
