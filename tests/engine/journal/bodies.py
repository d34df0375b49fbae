"""Hypothesis strategies for event bodies of every kind, made from their types; with hostile strings."""

import enum
import types
from typing import Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import Raw, Struct, json

from engine.domain.events import Body, Event
from engine.domain.types import AgentId, TaskId

HOSTILE = (
    "",
    "\0",
    "\ud800",
    "a\udfffb\ud83d",
    "latin\udce9\n\x1b[1m\u202e",
    "latin\\xe9.txt",
    "\ud83d\ude00",
    "😀",
    "\x1b]0;title\x07",
    '"blob:' + "a" * 40 + ':5"',
    "blob:" + "a" * 40 + ":5",
    "json:" + "a" * 40 + ":5",
    '"$surrogates":[[0,0,55296]]',
    "\\ud800",
    '\\"',
    "\u2028",
    "x" * 4096,
    "x" * 4097,
    "é" * 3000,
    '"\\\n' * 3000,
    "blob:" + "b" * 9000,
    "\ud800" * 5000,
    "'; DROP TABLE events; --",
)
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=40), st.text(max_size=40))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RAWS = st.one_of(
    _JSON.map(json.encode),
    st.sampled_from(
        [
            b' {"a" : 1} ',
            b'{"a":"\\ud800"}',
            b'"json:' + b"a" * 40 + b':5"',
            b'["blob:' + b"a" * 40 + b':5"]',
            b'{"signature":"' + b"s" * 5000 + b'"}',
            b"[" * 3000 + b"]" * 3000,
            b"",
            b"not json",
        ]
    ),
).map(Raw)


def strategy(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type as the engine's frozen values use types."""
    if kind is Raw:
        return RAWS
    if isinstance(kind, NewType):
        return strategy(kind.__supertype__)
    if kind is str:
        return TEXTS
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(0, 2**53)
    if kind is float:
        return st.floats(0, 1e9)
    if kind is type(None):
        return st.none()
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and issubclass(kind, Struct):
        hints = get_type_hints(kind)
        return st.builds(kind, **{name: strategy(hints[name]) for name in kind.__struct_fields__})
    return _generic(kind)


def _generic(kind: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of([strategy(each) for each in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(strategy(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(strategy(arguments[0]), strategy(arguments[1]), max_size=2)
    raise TypeError(f"no strategy for {kind}")


KINDS: tuple[type, ...] = get_args(Body)


def numbered(bodies: list[Any], first: int = 1) -> list[Event]:
    """Events with these bodies, in order, of one agent and one task."""
    return [
        Event(first + n, 1_000 + first + n, 1, body, AgentId("a-1"), TaskId("t-1")) for n, body in enumerate(bodies)
    ]
