"""The lists of docs/journal.md: tables and views from the journal's schema, events and states from the domain."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from enum import StrEnum
from typing import get_args

from engine.domain.events import Body
from engine.domain.types import AgentState, HandoffStatus, LandingState, RunState, TaskState, ToolCallState
from engine.journal.schema import STEPS
from tests.docs.markdown import table

TABLES = {
    "events": "The truth, append-only. All other tables are derived from it. `body` is JSON, `cause` another `seq`.",
    "runs": "One row: the run, its state and its totals.",
    "intents": "Every version of the intent.",
    "agents": "Every agent, with its place in the tree, its state and what it has used.",
    "tasks": "Every task. `planner` and `agent` are ids in `agents`.",
    "handoffs": "Every handoff. `task` is null for a planner's, `by_engine` marks those that the engine wrote.",
    "landings": "Every landing; `state` is null while it is in progress. `paths` and `conflicts` are JSON lists.",
    "inbox": "Messages to agents. `consumed` is the event of the turn that read it, null until then.",
    "messages": "The conversations with the models. `role` is user, assistant or tool; `source` says who spoke.",
    "tool_calls": "Every tool call. `answer` is the id in `messages` of its answer.",
    "scratchpads": "Every version of every agent's scratchpad.",
    "greens": "Every check of trunk; `moved` is when green moved to that commit because of it.",
    "breaks": "What the reconciler found out when trunk broke: one of `suspects` is to blame.",
    "pathologies": "What went wrong with agents as agents, and what was done about it.",
    "pivots": "Changes of course, with the agent's reason and the version of its scratchpad.",
    "pauses": "When agents were paused; `until` is null while they are.",
    "failures": "Failures of tools and commands, without what differs from time to time.",
    "slow_steps": "The 20 slowest model calls and tool calls. `tool` is empty for a model call.",
    "tool_use": "Totals of answered tool calls. `build` marks commands that pass the build gate.",
    "prompt_use": "Totals of model calls by agent, prompt version and task. `priced` calls have a known price.",
    "samples": "The machine: bytes, bytes per second, percent. One row every 5 s, one a minute after a day.",
    "agent_samples": "What each agent's commands used. One row every 15 s or more, one in 10 minutes after a day.",
    "blobs": "Texts over 4 KB, compressed, stored once under their hash.",
    "checkpoints": "Stored snapshots, which make opening a run quick.",
    "archived": "Blobs that `swarm-tui archive` moved into a file beside the journal.",
}
VIEWS = {
    "task_board": "Tasks with the paths of their planner and worker, model, cost and age.",
    "tool_times": "Calls, errors and time of each tool.",
    "landings_per_minute": "Landed and conflicted changes per minute.",
    "samples_per_minute": "The machine, per minute.",
    "subtree_use": "What each planner's subtree used at each sample.",
    "error_rate_per_hour": "Checks of trunk per hour, and the share that failed.",
}
STATES: dict[str, type[StrEnum]] = {
    "runs.state": RunState,
    "tasks.state": TaskState,
    "agents.state": AgentState,
    "landings.state": LandingState,
    "handoffs.status": HandoffStatus,
    "tool_calls.state": ToolCallState,
}


def journal_tables() -> str:
    """A section for each table."""
    return _sections("table", TABLES)


def journal_views() -> str:
    """A section for each view."""
    return _sections("view", VIEWS)


def journal_events() -> str:
    """Every kind of event, with the fields of its body."""
    kinds = {str(body.__struct_config__.tag): body.__struct_fields__ for body in get_args(Body)}
    return table(("kind", "body"), ((f"`{kind}`", _codes(fields)) for kind, fields in kinds.items()))


def journal_states() -> str:
    """The values of the columns that hold a state."""
    return table(
        ("column", "values"),
        ((f"`{column}`", _codes(states)) for column, states in STATES.items()),
    )


def _sections(kind: str, described: dict[str, str]) -> str:
    with closing(sqlite3.connect(":memory:")) as db:
        for step in STEPS:
            db.executescript(step)
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = ?", (kind,))]
        assert set(names) == set(described), f"describe each {kind} of the journal once"
        columns = {
            name: [column for (column,) in db.execute("SELECT name FROM pragma_table_xinfo(?)", (name,))]
            for name in names
        }
    return "\n\n".join(f"### {name}\n\n{text}\n\n{_codes(columns[name])}" for name, text in described.items())


def _codes(names: Iterable[str]) -> str:
    return " · ".join(f"`{name}`" for name in names)
