"""Rows that the journal's reader returns, as frozen values."""

from msgspec import Struct

from engine.domain.types import AgentId, CallId, Micros, TaskId


class CallRow(Struct, frozen=True):
    """A tool call in a model's turn; `arguments` holds the first 500 characters."""

    id: str
    tool: str
    arguments: str


class MessageRow(Struct, frozen=True):
    """One message of a conversation. Page by `id`; `role` is user, assistant or tool.

    `source` is the origin (opening, intent, handoff, steer, system, ..., model, tool, summary; several are joined by
    `+`), `state` how an assistant's turn or a tool call ended. `size` is the whole text's, in bytes.
    """

    id: int
    seq: int
    at: Micros
    agent: AgentId
    role: str
    source: str
    text: str
    size: int
    whole: bool
    tool: str | None = None
    call: CallId | None = None
    state: str | None = None
    calls: tuple[CallRow, ...] = ()


class ToolCallRow(Struct, frozen=True):
    """One tool call. `answer` has at most the first 4 KB, and is None while the call runs."""

    tool: str
    target: str
    answer: str | None
    started: Micros
    ended: Micros | None


class TaskRow(Struct, frozen=True):
    id: TaskId
    title: str
    state: str


class Followed(Struct, frozen=True):
    """What a handoff led to: the planner's turn that it fed, and the tasks that this turn spawned.

    `answer` is None until the planner has read the handoff, and for the root's own handoff.
    """

    answer: MessageRow | None = None
    tasks: tuple[TaskRow, ...] = ()
