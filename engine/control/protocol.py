"""What is said on a run's Unix socket: one JSON value a line, requests up, answers and events down.

A request is a command as `engine.domain.commands` spells it, or one of

    {"verb":"status"}                 -> {"ok":true,"status":{run, pid, epoch, seq, state}}
    {"verb":"diff","agent":ID}        -> {"ok":true,"patch":TEXT}
    {"verb":"subscribe","after":SEQ}  -> {"ok":true,"seq":N}, then every later event, one a line

A command answers `{"ok":true}`, whatever fails `{"ok":false,"error":{kind, message, hint}}`. A subscription has the
connection for itself. When its first line arrives, all events up to `seq` are in the journal, and all later ones
follow here: whoever reads the journal up to `seq` and then follows has no hole. What follows may run ahead of the
disk by a moment; after a crash of the run's process the journal decides.
"""

import msgspec
from msgspec import Struct

from engine.domain.commands import Command, CommandBody
from engine.domain.errors import ErrorKind
from engine.domain.events import Event
from engine.domain.types import AgentId, RunId, RunState

MAX_REQUEST = 4 * 2**20
"""Bytes in one request line; an intent fits."""
MAX_ANSWER = 64 * 2**20
"""Bytes in one answer or event line."""
MAX_PATCH = 10 * 2**20
"""Characters of a patch: in JSON each takes up to six bytes."""


class Status(Struct, frozen=True):
    """Who owns the run, and how far it is."""

    run: RunId
    pid: int
    epoch: int
    seq: int
    state: RunState


class AskStatus(CommandBody, frozen=True, tag="status"):
    """Who are you, and how far?"""


class AskDiff(CommandBody, frozen=True, tag="diff"):
    """An agent's copy as it stands now, or what it landed."""

    agent: AgentId


class Subscribe(CommandBody, frozen=True, tag="subscribe"):
    """Events from now on, those after `after` only."""

    after: int = 0


class Failure(Struct, frozen=True):
    """A SwarmError on its way through the socket."""

    kind: ErrorKind
    message: str
    hint: str


class Reply(Struct, frozen=True, omit_defaults=True):
    """Any answer; which fields are set depends on the verb."""

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
    """A value as it goes over the socket."""
    return msgspec.json.encode(value) + b"\n"
