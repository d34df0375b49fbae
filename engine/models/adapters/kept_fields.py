"""Fields of an answer that this program does not know: put together from a stream, kept, and sent back.

Models that reason need some of them with the next request: `reasoning_content`, `reasoning_details`, `extra_content`
with a signature on each tool call.
"""

from collections.abc import Iterable
from typing import cast

import msgspec

from engine.domain.conversation import Opaque
from engine.models.adapters import wire_format as wire
from engine.models.adapters.wire_format import Json

MESSAGE = frozenset({"role", "content", "refusal", "tool_calls", "function_call", "tool_call_id", "name"})
CALL = frozenset({"id", "type", "index", "function"})
FUNCTION = frozenset({"name", "arguments"})
"""The fields of a message, of a tool call and of its function that the protocol defines."""

MOST_BYTES = 256 * 1024
"""The most that is kept of one answer, as JSON; of a larger answer nothing is kept."""
_MOST_FIELDS = 32
_DEEPEST = 8
_REPEATED = 32
"""A text of so many characters that comes twice in a row is a repetition, not two pieces."""
_WHOLE = frozenset({"type", "id", "index", "format", "name", "role"})
"""Fields that a server repeats in each piece."""


class Pieces:
    """The unknown fields of one object while it streams in."""

    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self._pieces: dict[str, list[object]] = {}

    def add(self, piece: Json) -> None:
        for name, value in piece.items():
            if name in self._known or value is None:
                continue
            if name in self._pieces or len(self._pieces) < _MOST_FIELDS:
                self._pieces.setdefault(name, []).append(value)

    def fields(self) -> Json:
        """The fields that are not empty."""
        joined = {name: _joined(name, pieces, _DEEPEST) for name, pieces in self._pieces.items()}
        return {name: value for name, value in joined.items() if value not in ("", [], {})}


def _joined(name: str, pieces: list[object], depth: int) -> object:
    """One value: texts are joined, objects field by field, lists by the index of their items; else the last piece."""
    if name in _WHOLE or not depth:
        return pieces[-1]
    texts = [piece for piece in pieces if isinstance(piece, str)]
    if len(texts) == len(pieces):
        return "".join(
            text for at, text in enumerate(texts) if not at or len(text) < _REPEATED or text != texts[at - 1]
        )
    objects = wire.json_objects(pieces)
    if len(objects) == len(pieces):
        fields = Pieces(frozenset())
        for piece in objects:
            fields.add(piece)
        return {key: _joined(key, values, depth - 1) for key, values in fields._pieces.items()}
    if all(isinstance(piece, list) for piece in pieces):
        return _joined_lists((item for piece in pieces for item in cast(list[object], piece)), depth)
    return pieces[-1]


def _joined_lists(items: Iterable[object], depth: int) -> list[object]:
    """Items with the same index and type are pieces of one item."""
    groups: dict[object, list[object]] = {}
    for at, item in enumerate(items):
        index = item.get("index") if isinstance(item, dict) else None
        kind = wire.text_of(cast(Json, item).get("type")) if isinstance(index, int) else ""
        groups.setdefault((index, kind) if isinstance(index, int) else at * 1j, []).append(item)
    return [_joined("", group, depth - 1) if len(group) > 1 else group[0] for group in groups.values()]


def kept(provider: str, model: str, message: Json, calls: list[Json]) -> list[Opaque]:
    """The block that keeps these fields of a message and of each of its calls; none if there are none."""
    if not message and not any(calls):
        return []
    block = wire.opaque(provider, model, {"message": message, "calls": calls})
    return [block] if len(bytes(block.data)) <= MOST_BYTES else []


def restored(block: Opaque) -> tuple[Json, list[Json]]:
    """The fields of a message and of each of its calls, without any that the protocol defines."""
    data = wire.json_object(msgspec.json.decode(block.data))
    message = {name: value for name, value in wire.json_object(data.get("message")).items() if name not in MESSAGE}
    return message, wire.json_objects(data.get("calls"))
