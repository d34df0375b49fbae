"""Encodes events, handoffs and messages as lines of JSON, for scripts and other programs. Pure."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from engine.domain.conversation import Message
from engine.domain.events import Event, HandedOff, MessageQueued, TurnTaken
from engine.domain.json_text import json_line
from engine.state.snapshot import Snapshot


def event_line(event: Event) -> bytes:
    """One event: `seq, at, epoch, kind, agent, task, cause, body`, as the journal's columns are named."""
    return json_line(_columns(event))


def export_lines(event: Event) -> Iterator[bytes]:
    """A line for the event, then one for each handoff and message in it; `record` is event, handoff or message.

    `message` lines have `agent`, `role` (`user` or `assistant`), `text` and `calls`; those for an inbox have the `role`
    `inbox`, and `source`.
    """
    yield json_line({"record": "event", **_columns(event)})
    match event.body:
        case HandedOff(handoff):
            yield json_line({"record": "handoff", "seq": event.seq, **_plain(handoff)})
        case MessageQueued(queued):
            yield json_line({"record": "message", "seq": event.seq, "role": "inbox", **_plain(queued)})
        case TurnTaken(given=given, message=message):
            about = {"record": "message", "seq": event.seq, "at": event.at, "agent": event.agent}
            if given is not None:
                yield json_line({**about, "role": "user", "text": given, "calls": []})
            yield json_line({**about, "role": message.role, "text": message.text, "calls": _calls(message)})


def snapshot_line(snapshot: Snapshot) -> bytes:
    """The whole state of a run after event `seq`, with the field names of the snapshot."""
    return json_line(msgspec.to_builtins(snapshot, enc_hook=_raw, str_keys=True))


def _columns(event: Event) -> dict[str, Any]:
    body = _plain(event.body)
    body.pop("kind")
    return {
        "seq": event.seq,
        "at": event.at,
        "epoch": event.epoch,
        "kind": event.kind,
        "agent": event.agent,
        "task": event.task,
        "cause": event.cause,
        "body": body,
    }


def _plain(value: Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(value, enc_hook=_raw)
    return plain


def _raw(value: Any) -> Any:
    """A provider's own block as JSON, a deque as a list."""
    if isinstance(value, Raw):
        return msgspec.json.decode(bytes(value))
    if isinstance(value, deque):
        return list(value)
    raise TypeError(f"cannot encode {type(value).__name__} as JSON")


def _calls(message: Message) -> list[dict[str, str]]:
    return [{"id": call.id, "tool": call.tool, "arguments": call.arguments} for call in message.calls]
