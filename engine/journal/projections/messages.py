"""What conversation events write: queued messages, turns, tool calls and their answers."""

from collections.abc import Iterable

from engine.domain import events as e
from engine.domain.bounds import LARGEST
from engine.domain.types import Usage
from engine.journal.blobs import Shelf
from engine.journal.projections.agents import acts
from engine.journal.projections.counts import called, tokens
from engine.journal.projections.totals import prompted, used
from engine.journal.statements import (
    Projections,
    Statement,
    Write,
    added,
    insert,
    json_text,
    last,
    last_known,
    total,
)

PROJECTIONS = Projections()

_CALL_TEXT = 500
"""Characters of a call's arguments in `messages.calls`; `tool_calls` has them in full."""

_INTENT = insert("intents", "version at author text")
_INBOX = insert("inbox", "id at agent source handoff text size")
_CONSUMED = Statement(
    "messages",  # runs after the statements that read the sources of the consumed messages
    "UPDATE inbox SET consumed = ? WHERE id IN (SELECT value FROM json_each(?)) AND consumed IS NULL",
    apart=1,
)
_MESSAGE = insert("messages", "id seq at agent role source tool call state text size blob calls")
_GIVEN = Statement(
    "messages",
    "INSERT INTO messages (id, seq, at, agent, role, source, text, size, blob) VALUES (?, ?, ?, ?, 'user', coalesce("
    "(SELECT group_concat(source, '+') FROM (SELECT DISTINCT source FROM inbox WHERE id IN "
    "(SELECT value FROM json_each(?)) ORDER BY id)), "
    "CASE WHEN EXISTS (SELECT 1 FROM messages WHERE agent = ?) THEN 'system' ELSE 'opening' END), ?, ?, ?)",
)
_AGENT_SPENT = Statement(
    "agents",
    "UPDATE agents SET input_tokens = input_tokens + ?2, cached_tokens = cached_tokens + ?3, "
    "output_tokens = output_tokens + ?4, usd = usd + ?5, tokens_in_context = ?6, steps = steps + ?7, "
    "stepped = coalesce(?8, stepped) WHERE id = ?1",
    apart=1,
    fold=added(1, *[total] * 4, last, total, last_known),
)
_KNOWS = Statement("agents", "UPDATE agents SET intent = max(intent, ?) WHERE id = ?", apart=2)


@PROJECTIONS.of(e.IntentVersioned)
def _(event: e.Event, body: e.IntentVersioned, shelf: Shelf) -> Iterable[Write]:
    yield _INTENT, (body.intent.version, body.intent.at, body.intent.author, body.intent.text)


@PROJECTIONS.of(e.MessageQueued)
def _(event: e.Event, body: e.MessageQueued, shelf: Shelf) -> Iterable[Write]:
    message = body.message
    about = (message.id, message.at, message.to_agent, message.source, message.handoff)
    yield _INBOX, (*about, *shelf.head(message.text)[:2])


@PROJECTIONS.of(e.TurnTaken)
def _(event: e.Event, body: e.TurnTaken, shelf: Shelf) -> Iterable[Write]:
    about = (event.seq, event.at, event.agent)
    consumed = json_text(body.consumed)
    if body.given is not None:
        yield _GIVEN, (_message_id(event, 0), *about, consumed, event.agent, *shelf.head(body.given))
    if body.consumed:
        yield _CONSUMED, (event.seq, consumed)
    calls = json_text([{"id": c.id, "tool": c.tool, "arguments": c.arguments[:_CALL_TEXT]} for c in body.message.calls])
    said = shelf.head(body.message.text)
    who = (_message_id(event, 1), *about, "assistant", "model", None, None, body.stop)
    yield _MESSAGE, (*who, *said, calls)
    if body.intent:
        yield _KNOWS, (body.intent, event.agent)
    yield from _spent(event, body.usage, body.usage.input + body.usage.output, step=1)
    yield from prompted(event, body)


@PROJECTIONS.of(e.ContextCompacted)
def _(event: e.Event, body: e.ContextCompacted, shelf: Shelf) -> Iterable[Write]:
    opening = shelf.head(body.opening)
    who = (_message_id(event, 0), event.seq, event.at, event.agent, "user", "summary", None, None, None)
    yield _MESSAGE, (*who, *opening, "[]")
    yield from _spent(event, body.usage, 0, step=0)


def _message_id(event: e.Event, place: int) -> int:
    """A message id, derived from the event's number; one event has at most two messages."""
    return event.seq * 2 + place


def _spent(event: e.Event, usage: Usage, in_context: int, step: int) -> Iterable[Write]:
    spent = tokens(usage)
    yield _AGENT_SPENT, (event.agent, *spent, min(in_context, LARGEST), step, event.at if step else None)
    yield called(spent)


# --- tools ---------------------------------------------------------------------------------------------------

_TOOL_STARTED = insert(
    "tool_calls",
    "seq epoch id agent task tool state target writes arguments arguments_size arguments_blob started",
    apart=1,
)
# After a restart, a call whose answer was not recorded may start again.
_TOOL_AGAIN = Statement(
    "tool_calls",
    "UPDATE tool_calls SET state = 'interrupted', ended = ? WHERE agent = ? AND id = ? AND ended IS NULL AND epoch < ?",
    apart=2,  # in event order with the answers, which close calls, too
)
# A model's call ids need not be unique: the answer belongs to the oldest open call with that id. An answer to a
# malformed call, which never started, gets a row of its own.
_TOOL_FINISHED = Statement(
    "tool_calls",
    "INSERT INTO tool_calls (seq, epoch, id, agent, task, tool, state, target, arguments, arguments_size, answer, "
    "answer_size, paths, started, ended, wall_s, gate_wait_s) VALUES (coalesce((SELECT min(seq) FROM tool_calls "
    "WHERE agent = ?4 AND id = ?3 AND ended IS NULL AND seq < ?1), ?1), ?2, ?3, ?4, ?5, ?6, ?7, '', '', 0, ?8, ?9, "
    "?10, ?11, ?11, ?12, ?13) ON CONFLICT (seq) DO UPDATE SET state = excluded.state, answer = excluded.answer, "
    "answer_size = excluded.answer_size, paths = excluded.paths, ended = excluded.ended, wall_s = excluded.wall_s, "
    "gate_wait_s = excluded.gate_wait_s",
    apart=2,
)


@PROJECTIONS.of(e.ToolStarted)
def _(event: e.Event, body: e.ToolStarted, shelf: Shelf) -> Iterable[Write]:
    if event.epoch > 1:
        yield _TOOL_AGAIN, (event.at, event.agent, body.call, event.epoch)
    who = (event.seq, event.epoch, body.call, event.agent, event.task)
    what = (body.tool, "running", body.target, body.writes)
    yield _TOOL_STARTED, (*who, *what, *shelf.head(body.arguments), event.at)
    yield acts(event, f"{body.tool} {body.target}".rstrip())


@PROJECTIONS.of(e.ToolFinished)
def _(event: e.Event, body: e.ToolFinished, shelf: Shelf) -> Iterable[Write]:
    answer = shelf.head(body.answer)
    told = _message_id(event, 0)
    about = (event.seq, event.epoch, body.call, event.agent, event.task, body.tool, body.state)
    done = (told, answer[1], json_text(body.paths), event.at, body.wall_s, body.gate_wait_s)
    yield _TOOL_FINISHED, (*about, *done)
    who = (told, event.seq, event.at, event.agent, "tool", "tool", body.tool, body.call, body.state)
    yield _MESSAGE, (*who, *answer, "[]")
    yield from used(event, body)
