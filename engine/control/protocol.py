"""The protocol of a run's Unix socket: requests, answers and events, each one line of JSON.

A request is a command of `engine.domain.commands`, or one of

    {"verb":"status"}                 -> {"ok":true,"status":{run, pid, epoch, seq, state}}
    {"verb":"diff","agent":ID}        -> {"ok":true,"patch":TEXT}
    {"verb":"subscribe","after":SEQ}  -> {"ok":true,"seq":N}, then every later event, one a line

The answer to a command is `{"ok":true}`, to any request that fails `{"ok":false,"error":{kind, message, hint}}`. A
subscription takes over its connection. When its answer arrives, all events up to `seq` are in the journal, and all
later ones follow here, so that a client which reads the journal up to `seq` misses none. An event may arrive here
shortly before it is in the journal; if the run's process dies, the journal counts.
"""

import msgspec
from msgspec import Struct

from engine.domain.bounds import Position
from engine.domain.commands import Command, CommandBody
from engine.domain.errors import ErrorKind
from engine.domain.events import Event
from engine.domain.types import AgentId, RunId, RunState

MAX_REQUEST = 4 * 2**20
"""The most bytes of a request, enough for any intent."""
MAX_ANSWER = 64 * 2**20
"""The most bytes of an answer or event."""
MAX_PATCH = 10 * 2**20
"""The most characters of a patch. In JSON each takes up to six bytes."""


class Status(Struct, frozen=True):
    """The process that runs the run, and its last event."""

    run: RunId
    pid: int
    epoch: int
    seq: int
    state: RunState


class AskStatus(CommandBody, frozen=True, tag="status"):
    """Ask for the `Status`."""


class AskDiff(CommandBody, frozen=True, tag="diff"):
    """Ask for an agent's changes: in its workspace, or what it landed."""

    agent: AgentId


class Subscribe(CommandBody, frozen=True, tag="subscribe"):
    """Ask for all events from now on, but only those after `after`."""

    after: Position = 0


class Failure(Struct, frozen=True):
    """A SwarmError, as it is sent."""

    kind: ErrorKind
    message: str
    hint: str


class Reply(Struct, frozen=True, omit_defaults=True):
    """An answer; which fields are set depends on the request."""

    ok: bool
    error: Failure | None = None
    status: Status | None = None
    patch: str | None = None
    seq: int | None = None


Request = Command | AskStatus | AskDiff | Subscribe

requests = msgspec.json.Decoder(Request)
replies = msgspec.json.Decoder(Reply)
events = msgspec.json.Decoder(Event)


def line(value: Request | Reply | Event) -> bytes:
    """A value as it is sent."""
    return msgspec.json.encode(value) + b"\n"
