"""The key tables of docs/screen.md, from the action registry."""

from tests.docs.markdown import cell, table
from tui.input.actions_and_keys import ACTIONS, in_scopes
from tui.input.keys_in_force import DEFAULT, shown

SCOPES = tuple(dict.fromkeys(action.scope for action in ACTIONS))


def key_table(scope: str) -> str:
    """The actions of a scope: their keys, what they do, and their ids for `[keys]`."""
    rows = [
        (" ".join(_key(key) for key in DEFAULT.keys[action.id]), cell(action.description), f"`{action.id}`")
        for action in in_scopes(scope)
    ]
    return table(("key", "does", "id"), rows)


def _key(key: str) -> str:
    return f"`{shown(key)}`".replace("|", "\\|")
