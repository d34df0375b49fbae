"""Event bodies as JSON text and back, bit for bit. Large strings become blobs; lone surrogates are kept separately."""

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct, json
from msgspec.structs import replace

from engine.domain.conversation import Opaque
from engine.domain.events import Body, TurnTaken
from engine.journal.blobs import LIMIT, BlobMissing, Shelf, blob, restore

_DECODER: json.Decoder[Body] = json.Decoder(Body)
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOST = '"$surrogates"'
_T = TypeVar("_T")


class _Lost(Struct, frozen=True):
    """Lone surrogates of a body, which UTF-8 and SQLite cannot hold: (string, character, code point).

    The body has U+FFFD in their place; strings are numbered in the order in which `_map_leaves` visits them.
    """

    lost: tuple[tuple[int, int, int], ...] = msgspec.field(name="$surrogates", default=())


def encode_body(body: Body, shelf: Shelf) -> tuple[Body, bytes]:
    """The body with lone surrogates replaced, as SQLite needs it, and its exact JSON text."""
    exact: Any = body
    if isinstance(body, TurnTaken) and any(isinstance(block, Opaque) for block in body.message.blocks):
        exact = _map_raw(body, lambda raw: _shelve_raw(raw, shelf))
    try:
        text = json.encode(exact)
        if b":null" in text and not _readable(text):
            body, exact = _map_leaves(body, _finite), _map_leaves(exact, _finite)
            text = json.encode(exact)
        return body, shelf.shelve(text)
    except UnicodeEncodeError:
        body, (exact, lost) = _map_leaves(body, _finite), _without_surrogates(_map_leaves(exact, _finite))
        marks = json.encode(_Lost(lost))
        return _without_surrogates(body)[0], shelf.shelve(json.encode(exact)[:-1] + b"," + marks[1:])


def decode_body(text: bytes, blobs: Mapping[str, bytes]) -> Body:
    """The body as `encode_body` got it. Raises BlobMissing, or msgspec.MsgspecError if the text is not a body."""
    text = restore(text, blobs)
    body = _DECODER.decode(text)
    if _LOST.encode() in text and (lost := json.decode(text, type=_Lost).lost):
        body = _with_surrogates(body, lost)
    if isinstance(body, TurnTaken) and b'"json:' in text:
        body = _map_raw(body, lambda raw: _restore_raw(raw, blobs))
    return body


def decode_outline(text: bytes) -> Body:
    """The body with references in place of large strings, for callers that need only its small fields."""
    return _DECODER.decode(text)


def _readable(text: bytes) -> bool:
    """Whether each null is where the body allows one: msgspec encodes NaN and infinity as null, too."""
    try:
        _DECODER.decode(text)
    except msgspec.ValidationError:
        return False
    return True


def _finite(leaf: Any) -> Any:
    return 0.0 if isinstance(leaf, float) and not math.isfinite(leaf) else leaf


# --- raw JSON of providers -----------------------------------------------------------------------------------


def _map_raw(body: TurnTaken, change: Callable[[Raw], Raw]) -> TurnTaken:
    blocks = tuple(
        replace(block, data=change(block.data)) if isinstance(block, Opaque) else block for block in body.message.blocks
    )
    return replace(body, message=replace(body.message, blocks=blocks))


def _shelve_raw(raw: Raw, shelf: Shelf) -> Raw:
    """Raw JSON stays in the text only if decoding is certain to give back the same bytes."""
    data = bytes(raw)
    if len(data) <= LIMIT and data == data.strip() and b'"blob:' not in data and not data.startswith(b'"json:'):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            json.decode(data)
            return raw
    return Raw(b'"json:%s:%d"' % (shelf.put(data).encode(), len(data)))


def _restore_raw(raw: Raw, blobs: Mapping[str, bytes]) -> Raw:
    data = bytes(raw)
    if not data.startswith(b'"json:'):
        return raw
    try:
        _, hash, _ = data.decode().split(":")
    except ValueError:
        raise BlobMissing("a reference to raw JSON is broken") from None
    return Raw(blob(hash, blobs))


# --- lone surrogates -----------------------------------------------------------------------------------------


def _map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with `change` applied to everything in it that is not a container, in field order."""
    if isinstance(value, Struct):
        return replace(value, **{name: _map_leaves(getattr(value, name), change) for name in value.__struct_fields__})
    if isinstance(value, tuple):
        return tuple(_map_leaves(item, change) for item in value)
    if isinstance(value, dict):
        return {_map_leaves(key, change): _map_leaves(item, change) for key, item in value.items()}
    return change(value)


def _without_surrogates(body: _T) -> tuple[_T, tuple[tuple[int, int, int], ...]]:
    lost: list[tuple[int, int, int]] = []
    numbers = count()

    def clean(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        number = next(numbers)
        lost.extend((number, match.start(), ord(match[0])) for match in _SURROGATE.finditer(text))
        return _SURROGATE.sub("\ufffd", text)

    return _map_leaves(body, clean), tuple(lost)


def _with_surrogates(body: _T, lost: tuple[tuple[int, int, int], ...]) -> _T:
    places: dict[int, list[tuple[int, int]]] = {}
    for string, at, code in lost:
        places.setdefault(string, []).append((at, code))
    numbers = count()

    def spoil(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        parts: list[str] = []
        done = 0
        for at, code in sorted(places.get(next(numbers), ())):
            parts += text[done:at], chr(code)
            done = at + 1
        return "".join((*parts, text[done:])) if parts else text

    whole: _T = _map_leaves(body, spoil)
    return whole
