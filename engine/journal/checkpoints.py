"""Checkpoints of the snapshot, in chunks stored under their hash, so that checkpoints share what is equal.

A run's older agents, tasks and handoffs no longer change until they leave the snapshot. They are cut into chunks in
order of creation. A chunk stays equal from one checkpoint to the next and is stored once, as a blob; a checkpoint is a
list of hashes. Whether a chunk begins at a key depends on that key alone, so when entries leave, later chunks stay
equal.
"""

import dataclasses
import gc
import sqlite3
import typing
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from types import GenericAlias
from typing import Any, NamedTuple

from msgspec import UNSET, Struct, UnsetType, defstruct, msgpack

from engine.domain.types import AgentId, TaskId
from engine.journal.blobs import Shelf, blob
from engine.journal.statements import BLOB, json_text, write
from engine.state.snapshot import OVERTAKING, Snapshot

MEANING = 3
"""Raise this when the fold makes another state from the same events, or an older checkpoint would be read as another
state; `tests/engine/journal/test_recorded_fold.py` fails then. Checkpoints with another number are ignored."""
MADE_BY = f"fold {MEANING}"
"""The value of `checkpoints.made_by` for this program's checkpoints."""
EVERY = 10_000
"""Events between two checkpoints: folding that many takes a fraction of a second."""
CHUNK = 256
"""Values per chunk, on average."""

_CHECKPOINT = "INSERT OR REPLACE INTO checkpoints (seq, made_by, parts) VALUES (?, ?, ?)"
_CHUNKED = ("agents", "tasks", "handoffs", "scratchpads", "spent", "inboxes")
"""The snapshot's dicts that grow with the run; most of their entries no longer change."""
_DERIVED = ("paths", "children", "tasks_of", "made_on")
"""Fields computed from the agents, tasks and landings."""
_REST = tuple(field for field in dataclasses.fields(Snapshot) if field.name not in (*_CHUNKED, *_DERIVED))


class Parts(Struct, frozen=True):
    """A checkpoint: the hashes of each large dict's chunks, and the hash of everything else."""

    chunks: dict[str, tuple[str, ...]]
    rest: str

    def hashes(self) -> set[str]:
        return {self.rest, *(hash for hashes in self.chunks.values() for hash in hashes)}


def _plain(kind: Any) -> Any:
    """The field's type in a form that msgspec can decode."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is deque:
        return GenericAlias(list, arguments)
    if origin is Counter:
        return GenericAlias(dict, (arguments[0], int))
    return kind


_HINTS = typing.get_type_hints(Snapshot)
_REST_TYPE = defstruct("_Rest", [(field.name, _plain(_HINTS[field.name]) | UnsetType, UNSET) for field in _REST])
_REST_DECODER = msgpack.Decoder(_REST_TYPE)
_DECODERS: Mapping[str, msgpack.Decoder[tuple[Any, ...]]] = {
    name: msgpack.Decoder(GenericAlias(tuple, (GenericAlias(tuple, typing.get_args(_HINTS[name])), ...)))
    for name in _CHUNKED
}


class _Chunk(NamedTuple):
    """A run of a dict's entries. Comparing two is quick while they hold the same objects."""

    keys: tuple[Any, ...]
    values: tuple[Any, ...]
    hash: str


class Chunks:
    """The chunks of the last checkpoint that was cut or put together. Not thread-safe."""

    def __init__(self) -> None:
        self._known: dict[str, list[_Chunk]] = {name: [] for name in _CHUNKED}

    def copy(self) -> "Chunks":
        new = Chunks()
        new._known = dict(self._known)
        return new

    def cut(self, snapshot: Snapshot, shelf: Shelf) -> Parts:
        """Put new chunks on the shelf. The snapshot must not change meanwhile.

        Raises OverflowError or UnicodeEncodeError for a snapshot that cannot be stored.
        """
        hashes: dict[str, tuple[str, ...]] = {}
        for name in _CHUNKED:
            of = getattr(snapshot, name)
            all_keys, all_values = tuple(of), tuple(of.values())
            before, now = {chunk.keys[0]: chunk for chunk in self._known[name]}, []
            edges = [0, *(at for at, key in enumerate(all_keys) if at and _begins(key)), len(of)]
            for at, end in pairwise(edges if of else ()):
                keys, values = all_keys[at:end], all_values[at:end]
                known = before.get(keys[0])
                if known is None or known.values != values or known.keys != keys:
                    pairs = msgpack.encode(list(zip(keys, values, strict=True)))
                    known = _Chunk(keys, values, shelf.put(pairs))
                now.append(known)
            self._known[name] = now
            hashes[name] = tuple(chunk.hash for chunk in now)
        rest = {field.name: getattr(snapshot, field.name) for field in _REST}
        plain = {name: list(value) if isinstance(value, deque) else value for name, value in rest.items()}
        return Parts(hashes, shelf.put(msgpack.encode(plain)))

    def store(self, db: sqlite3.Connection, snapshot: Snapshot) -> None:
        """Write a checkpoint in a transaction of its own. Raises what `cut` raises, and sqlite3.Error.

        After an error some chunks may not have been written, so this object must no longer be used.
        """
        shelf = Shelf()
        parts = self.cut(snapshot, shelf)
        with db:
            db.execute("BEGIN IMMEDIATE")
            write(db, BLOB, shelf.take())
            db.execute(_CHECKPOINT, (snapshot.seq, MADE_BY, json_text(parts)))

    def known(self) -> set[str]:
        """The hashes of chunks that are in memory."""
        return {chunk.hash for chunks in self._known.values() for chunk in chunks}

    def put_together(self, parts: Parts, blobs: Mapping[str, bytes]) -> Snapshot:
        """The snapshot of `parts`. Raises BlobMissing, or msgspec.MsgspecError or ValueError if they are none."""
        known = {chunk.hash: chunk for chunks in self._known.values() for chunk in chunks}
        if any(len(set(hashes)) < len(hashes) for hashes in parts.chunks.values()):
            raise ValueError("a chunk is named twice")
        with _no_collection():
            for name, decoder in _DECODERS.items():
                self._known[name] = [
                    known[hash] if hash in known else _chunk(decoder.decode(blob(hash, blobs)), hash)
                    for hash in parts.chunks.get(name, ())
                ]
            snapshot, rest = Snapshot(), _REST_DECODER.decode(blob(parts.rest, blobs))
            for field in _REST:  # one that a newer version added keeps its default
                if (value := getattr(rest, field.name)) is not UNSET:
                    setattr(snapshot, field.name, _like(getattr(snapshot, field.name), value))
            for name in _CHUNKED:
                of: dict[Any, Any] = {}
                for chunk in self._known[name]:
                    of.update(zip(chunk.keys, chunk.values, strict=True))
                setattr(snapshot, name, of)
            _check(snapshot)
            _derive(snapshot)
            if not known:
                gc.freeze()  # all of it stays: three collections over it would take a quarter of the loading time
        return snapshot


def size_of(snapshot: Snapshot) -> int:
    """About how many bytes a checkpoint of the snapshot holds, texts included."""
    fields = (getattr(snapshot, field.name) for field in dataclasses.fields(snapshot) if field.name not in _DERIVED)
    return sum(len(repr(each)) for of in fields for each in (of.items() if isinstance(of, dict) else (of,)))


def _begins(key: str) -> bool:
    """Whether a chunk begins with this key."""
    return zlib.crc32(key.encode()) % CHUNK == 0


def _chunk(pairs: tuple[tuple[Any, Any], ...], hash: str) -> _Chunk:
    keys, values = zip(*pairs, strict=True)  # raises ValueError for none
    return _Chunk(keys, values, hash)


def _like(default: Any, value: Any) -> Any:
    """The value in the container type of `default`."""
    if isinstance(default, deque):
        return deque(value, default.maxlen)
    return Counter(value) if isinstance(default, Counter) else value


def _check(snapshot: Snapshot) -> None:
    """Raises ValueError for agents and tasks that refer to nobody, and for agents above themselves."""
    above: set[AgentId] = set()
    for id, agent in snapshot.agents.items():  # in the order in which they were spawned
        if agent.id != id or (agent.parent is not None and agent.parent not in above):
            raise ValueError(f"agent {id} has no parent")
        above.add(id)
    if any(task.planner not in above for task in snapshot.tasks.values()):
        raise ValueError("a task has no planner")


def _derive(snapshot: Snapshot) -> None:
    snapshot.paths = {agent.path: id for id, agent in snapshot.agents.items()}
    children: defaultdict[AgentId | None, list[AgentId]] = defaultdict(list)
    for id, agent in snapshot.agents.items():
        children[agent.parent].append(id)
    snapshot.children = {id: tuple(below) for id, below in children.items() if id is not None}
    tasks: defaultdict[AgentId, list[TaskId]] = defaultdict(list)
    for task_id, task in snapshot.tasks.items():
        tasks[task.planner].append(task_id)
    snapshot.tasks_of = {id: tuple(of) for id, of in tasks.items()}
    landed = [landing for landing in snapshot.landings if landing.commit is not None][-OVERTAKING:]
    snapshot.made_on = {landing.base: landing.commit for landing in landed if landing.commit is not None}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector: it would take longer than creating the values, all of which stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
