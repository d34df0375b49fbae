"""What each kind of event writes into the tables that plain SQL reads: one table of functions, a decision per kind."""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from msgspec import Struct, json

from engine import events as e
from engine.journal.blobs import Shelf
from engine.snapshot import OVERTAKING
from engine.types import Agent, AgentState, AgentUse, LandingState, Role, Sample, Task, TaskState, Usage

Parameters = Sequence[object]


class Statement(Struct, frozen=True, eq=False):
    """One prepared write. Statements on different tables may change places within a transaction unless the later
    table reads the earlier one: `TABLES` is the order in which they are run.

    `row`: the part of an INSERT that may be repeated for more rows. `once`: makes one write of all of a transaction,
    to be run after all others, where that comes to the same.
    """

    table: str
    sql: str
    row: str = ""
    once: Callable[[list[Parameters]], Parameters] | None = None


Write = tuple[Statement, Parameters]

TABLES = (
    "runs",
    "intents",
    "agents",
    "tasks",
    "handoffs",
    "landings",
    "trunk",  # after the landings that it follows to their end
    "inbox",
    "messages",
    "inbox_consumed",  # after the messages that ask for the sources of what they consume
    "tool_calls",
    "scratchpads",
    "greens",
    "breaks",
    "pathologies",
    "pivots",
    "samples",
    "agent_samples",
)

RECORD_ONLY = frozenset({e.Warned, e.AnswersDropped, e.BudgetMarked, e.LoadLimited, e.FixupsExhausted, e.TaskUnwanted})
"""Bodies that only `events` holds."""

_MOST = 2**63 - 1
_CALL_TEXT = 500
"""Characters of a call's arguments in `messages.calls`; `tool_calls` has them in full."""

Projection = Callable[[e.Event, Any, Shelf], Iterable[Write]]
_PROJECTIONS: dict[type, Projection] = {}


def project(event: e.Event, shelf: Shelf) -> Iterable[Write]:
    """The writes that follow from one event; large texts go onto the shelf. All strings must be valid UTF-8."""
    return _PROJECTIONS[type(event.body)](event, event.body, shelf)


def decided() -> frozenset[type]:
    """The bodies that are projected or explicitly not."""
    return frozenset(_PROJECTIONS)


def _projects(kind: type) -> Callable[[Projection], Projection]:
    def register(projection: Projection) -> Projection:
        _PROJECTIONS[kind] = projection
        return projection

    return register


def _nothing(event: e.Event, body: object, shelf: Shelf) -> Iterable[Write]:
    return ()


for _kind in RECORD_ONLY:
    _projects(_kind)(_nothing)


def _insert(table: str, columns: str, rest: str = "") -> Statement:
    """Like the fold, a later value of the same id replaces the earlier one, unless `rest` says otherwise."""
    names = columns.split()
    marks = ", ".join("?" * len(names))
    verb = "INSERT" if rest else "INSERT OR REPLACE"
    return Statement(table, f"{verb} INTO {table} ({', '.join(names)}) VALUES ({marks}){rest}", f"({marks})")


def _count(column: str) -> Statement:
    """One more; how many of a transaction are added up."""
    sql = f"UPDATE runs SET {column} = {column} + ?"  # noqa: S608
    return Statement("runs", sql, once=lambda counted: (len(counted),))


def _update(table: str, changes: str, where: str = "id = ?") -> Statement:
    return Statement(table, f"UPDATE {table} SET {changes} WHERE {where}")  # noqa: S608


def _text(value: object) -> str:
    return json.encode(value).decode()


def _tokens(usage: Usage) -> Parameters:
    """What a server claims may be more than SQLite's integers hold."""
    return min(usage.input, _MOST), min(usage.cached, _MOST), min(usage.output, _MOST), usage.usd


# --- the run -------------------------------------------------------------------------------------------------

# A journal holds one run, so its row needs no key.
_RUN = _insert("runs", "id repo branch base check_command models settings version trunk created")
_EPOCH = Statement(
    "runs",
    """UPDATE runs SET
      worked = worked + CASE WHEN epoch_at IS NOT NULL AND ended IS NULL
                        THEN max(0, (SELECT at FROM events WHERE seq = ?) - epoch_at) ELSE 0 END,
      reason = CASE WHEN ended IS NULL THEN reason ELSE '' END,
      exit_status = CASE WHEN ended IS NULL THEN exit_status END,
      state = CASE WHEN ended IS NULL THEN state ELSE 'running' END,
      ended = NULL, epoch = ?, epoch_at = ?, pid = ?, sandbox_level = ?, copy_method = ?,
      settings = coalesce(nullif(?, ''), settings)""",
)
_RUN_STATE = Statement("runs", "UPDATE runs SET state = ?, reason = ?, exit_status = ?")
_RUN_ENDED = Statement(
    "runs",
    "UPDATE runs SET state = ?, reason = ?, exit_status = ?, "
    "worked = worked + CASE WHEN ended IS NULL THEN max(0, ? - coalesce(epoch_at, 0)) ELSE 0 END, "
    "ended = coalesce(ended, ?)",
)
_WORKERS = Statement("runs", "UPDATE runs SET workers_limit = ?, workers_limit_by = ?")
_RUN_SPENT = Statement(
    "runs",
    "UPDATE runs SET model_calls = model_calls + 1, input_tokens = input_tokens + ?, "
    "cached_tokens = cached_tokens + ?, output_tokens = output_tokens + ?, usd = usd + ?",
)
_RETRIED = _count("retries")
_ONE_MORE_AGENT = _count("agents")
_ONE_MORE_HANDOFF = _count("handoffs")
_TASK_COUNTED: dict[str, Statement] = {
    TaskState.LANDED: _count("landed"),
    TaskState.FAILED: _count("failed"),
    TaskState.CANCELLED: _count("cancelled"),
}
_CHECKED = Statement(
    "runs", "UPDATE runs SET checks_passed = checks_passed + ?, checks_failed = checks_failed + (1 - ?)"
)
_TRUNK = Statement(
    "trunk",
    """
    WITH RECURSIVE landed(base, commit_oid) AS MATERIALIZED (
      SELECT base, commit_oid FROM landings WHERE commit_oid IS NOT NULL ORDER BY id DESC LIMIT ?1
    ), trunk(tip, height) AS (
      SELECT ?2, 0 UNION ALL
      SELECT commit_oid, height + 1 FROM trunk JOIN landed ON base = tip WHERE commit_oid <> ?2 AND height < ?1
    )
    UPDATE runs SET trunk = (SELECT tip FROM trunk ORDER BY height DESC LIMIT 1)
    """,
    once=itemgetter(-1),  # each looks from its own landing on, and overwrites what was before
)
_GREEN = Statement("runs", "UPDATE runs SET green = ?, green_at = ?")
_PUBLISHED = Statement("runs", "UPDATE runs SET published = ?, left_alone = ?")


@_projects(e.RunCreated)
def _(event: e.Event, body: e.RunCreated, shelf: Shelf) -> Iterable[Write]:
    models = _text(body.models)
    row = (body.run, body.repo, body.branch, body.base, body.check, models, body.settings, body.version)
    yield _RUN, (*row, body.base, event.at)


@_projects(e.EpochStarted)
def _(event: e.Event, body: e.EpochStarted, shelf: Shelf) -> Iterable[Write]:
    # The epoch before may have died: then it worked until its last event.
    now = (event.epoch, event.at, body.pid, body.sandbox_level, body.copy_method, body.settings)
    yield _EPOCH, (event.seq - 1, *now)


@_projects(e.RunStateChanged)
def _(event: e.Event, body: e.RunStateChanged, shelf: Shelf) -> Iterable[Write]:
    row = (body.state, body.reason, body.exit_status)
    if body.state in ("finished", "stopped", "failed"):
        yield _RUN_ENDED, (*row, event.at, event.at)
    else:
        yield _RUN_STATE, row


@_projects(e.WorkersLimited)
def _(event: e.Event, body: e.WorkersLimited, shelf: Shelf) -> Iterable[Write]:
    yield _WORKERS, (body.workers, body.by)


_SAMPLE_FIELDS = Sample.__struct_fields__
_SAMPLE = _insert("samples", "seq at " + " ".join(_SAMPLE_FIELDS))


@_projects(e.Sampled)
def _(event: e.Event, body: e.Sampled, shelf: Shelf) -> Iterable[Write]:
    yield _SAMPLE, (event.seq, event.at, *(getattr(body.sample, name) for name in _SAMPLE_FIELDS))


_USE_FIELDS = AgentUse.__struct_fields__
_USE = _insert("agent_samples", "seq at agent " + " ".join(_USE_FIELDS))


@_projects(e.AgentsSampled)
def _(event: e.Event, body: e.AgentsSampled, shelf: Shelf) -> Iterable[Write]:
    for agent, use in body.uses.items():
        yield _USE, (event.seq, event.at, agent, *(getattr(use, name) for name in _USE_FIELDS))


# --- intent and messages -------------------------------------------------------------------------------------

_INTENT = _insert("intents", "version at author text")
_INBOX = _insert("inbox", "id at agent source handoff text size")
_CONSUMED = Statement(
    "inbox_consumed", "UPDATE inbox SET consumed = ? WHERE id IN (SELECT value FROM json_each(?)) AND consumed IS NULL"
)
_MESSAGE = _insert("messages", "id seq at agent role source tool call state text size blob calls")
_GIVEN = Statement(
    "messages",
    "INSERT INTO messages (id, seq, at, agent, role, source, text, size, blob) VALUES (?, ?, ?, ?, 'user', coalesce("
    "(SELECT group_concat(source, '+') FROM (SELECT DISTINCT source FROM inbox WHERE id IN "
    "(SELECT value FROM json_each(?)) ORDER BY id)), "
    "CASE WHEN EXISTS (SELECT 1 FROM messages WHERE agent = ?) THEN 'system' ELSE 'opening' END), ?, ?, ?)",
)


@_projects(e.IntentVersioned)
def _(event: e.Event, body: e.IntentVersioned, shelf: Shelf) -> Iterable[Write]:
    yield _INTENT, (body.intent.version, body.intent.at, body.intent.author, body.intent.text)


@_projects(e.MessageQueued)
def _(event: e.Event, body: e.MessageQueued, shelf: Shelf) -> Iterable[Write]:
    message = body.message
    about = (message.id, message.at, message.to_agent, message.source, message.handoff)
    yield _INBOX, (*about, *shelf.head(message.text)[:2])


@_projects(e.TurnTaken)
def _(event: e.Event, body: e.TurnTaken, shelf: Shelf) -> Iterable[Write]:
    about = (event.seq, event.at, event.agent)
    consumed = _text(body.consumed)
    if body.given is not None:
        yield _GIVEN, (_message_id(event, 0), *about, consumed, event.agent, *shelf.head(body.given))
    if body.consumed:
        yield _CONSUMED, (event.seq, consumed)
    calls = _text([{"id": c.id, "tool": c.tool, "arguments": c.arguments[:_CALL_TEXT]} for c in body.message.calls])
    said = shelf.head(body.message.text)
    who = (_message_id(event, 1), *about, "assistant", "model", None, None, body.stop)
    yield _MESSAGE, (*who, *said, calls)
    if body.intent:
        yield _KNOWS, (body.intent, event.agent)
    yield from _spent(event, body.usage, body.usage.input + body.usage.output, step=1)


@_projects(e.ContextCompacted)
def _(event: e.Event, body: e.ContextCompacted, shelf: Shelf) -> Iterable[Write]:
    opening = shelf.head(body.opening)
    who = (_message_id(event, 0), event.seq, event.at, event.agent, "user", "summary", None, None, None)
    yield _MESSAGE, (*who, *opening, "[]")
    yield from _spent(event, body.usage, 0, step=0)


def _message_id(event: e.Event, place: int) -> int:
    """Messages are numbered like the events they came with; one event has at most two."""
    return event.seq * 2 + place


def _spent(event: e.Event, usage: Usage, in_context: int, step: int) -> Iterable[Write]:
    tokens = _tokens(usage)
    yield _AGENT_SPENT, (*tokens, min(in_context, _MOST), step, step, event.at, event.agent)
    yield _RUN_SPENT, tokens


# --- agents --------------------------------------------------------------------------------------------------

_AGENT = _insert(
    "agents",
    "id path parent role model title goal scope task attempt state doing reason paused priority intent epoch steps "
    "tokens_in_context input_tokens cached_tokens output_tokens usd spawned stepped ended",
)
_AGENT_STATE = _update("agents", "state = ?, doing = ?, reason = ?, ended = NULL")
_AGENT_ENDED = _update("agents", "state = ?, doing = ?, reason = ?, ended = coalesce(ended, ?)")
_ACTING = _update("agents", "state = 'acting', doing = ?")
_PAUSED = _update("agents", "paused = ?")
_PRIORITY = _update("agents", "priority = ?")
_WORKERS_BELOW = _update("agents", "workers_limit = ?")
_MODEL = _update("agents", "model = ?")
_ROLE_MODEL = Statement(
    "agents",
    "UPDATE agents SET model = ? WHERE role = ? AND (role = 'planner' OR state NOT IN ('done', 'failed', 'cancelled'))",
)
_RUN_MODEL = Statement("runs", "UPDATE runs SET models = json_set(models, ?, ?)")
_SCOPE = _update("agents", "goal = ?, scope = ?")
_AGENT_SPENT = _update(
    "agents",
    "input_tokens = input_tokens + ?, cached_tokens = cached_tokens + ?, output_tokens = output_tokens + ?, "
    "usd = usd + ?, tokens_in_context = ?, steps = steps + ?, stepped = CASE WHEN ? THEN ? ELSE stepped END",
)
_PIVOT = _insert("pivots", "seq at agent reason scratchpad")
_PATHOLOGY = _insert("pathologies", "seq at agent pathology times remedy detail")
_KNOWS = _update("agents", "intent = max(intent, ?)")
_SCRATCHPAD = _insert("scratchpads", "agent version at text size blob")
_ENDS = (AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED)


@_projects(e.AgentSpawned)
def _(event: e.Event, body: e.AgentSpawned, shelf: Shelf) -> Iterable[Write]:
    a: Agent = body.spawned
    who = (a.id, a.path, a.parent, a.role, a.model, a.title, a.goal, a.scope, a.task, a.attempt)
    how = (a.state, a.doing, a.reason, a.paused, a.priority, a.intent, a.epoch, a.steps, a.tokens_in_context)
    yield _AGENT, (*who, *how, *_tokens(a.usage), a.spawned_at, a.stepped_at or None, a.ended_at)
    yield _ONE_MORE_AGENT, ()


@_projects(e.AgentStateChanged)
def _(event: e.Event, body: e.AgentStateChanged, shelf: Shelf) -> Iterable[Write]:
    if body.state in _ENDS:
        yield _AGENT_ENDED, (body.state, body.doing, body.reason, event.at, event.agent)
    else:
        yield _AGENT_STATE, (body.state, body.doing, body.reason, event.agent)


@_projects(e.SubtreePaused)
def _(event: e.Event, body: e.SubtreePaused, shelf: Shelf) -> Iterable[Write]:
    yield _PAUSED, (1, event.agent)


@_projects(e.SubtreeResumed)
def _(event: e.Event, body: e.SubtreeResumed, shelf: Shelf) -> Iterable[Write]:
    yield _PAUSED, (0, event.agent)


@_projects(e.SubtreeLimited)
def _(event: e.Event, body: e.SubtreeLimited, shelf: Shelf) -> Iterable[Write]:
    yield _WORKERS_BELOW, (body.workers, event.agent)


@_projects(e.PriorityChanged)
def _(event: e.Event, body: e.PriorityChanged, shelf: Shelf) -> Iterable[Write]:
    yield _PRIORITY, (body.priority, event.agent)


@_projects(e.ModelChanged)
def _(event: e.Event, body: e.ModelChanged, shelf: Shelf) -> Iterable[Write]:
    if event.agent is not None:
        yield _MODEL, (body.model, event.agent)
        return
    for role in Role if body.role is None else (body.role,):
        yield _ROLE_MODEL, (body.model, role)
        yield _RUN_MODEL, (f"$.{role}", body.model)


@_projects(e.Rescoped)
def _(event: e.Event, body: e.Rescoped, shelf: Shelf) -> Iterable[Write]:
    yield _SCOPE, (body.goal, body.scope, event.agent)


@_projects(e.PathologySeen)
def _(event: e.Event, body: e.PathologySeen, shelf: Shelf) -> Iterable[Write]:
    yield _PATHOLOGY, (event.seq, event.at, event.agent, body.pathology, body.times, body.remedy, body.detail)


@_projects(e.ScratchpadRewritten)
def _(event: e.Event, body: e.ScratchpadRewritten, shelf: Shelf) -> Iterable[Write]:
    yield _SCRATCHPAD, (event.agent, body.version, event.at, *shelf.head(body.text))


@_projects(e.Pivoted)
def _(event: e.Event, body: e.Pivoted, shelf: Shelf) -> Iterable[Write]:
    yield _PIVOT, (event.seq, event.at, event.agent, body.reason, body.version)


@_projects(e.ModelCallRetried)
def _(event: e.Event, body: e.ModelCallRetried, shelf: Shelf) -> Iterable[Write]:
    yield _RETRIED, ()


# --- tools ---------------------------------------------------------------------------------------------------

_TOOL_STARTED = _insert(
    "tool_calls",
    "seq epoch id agent task tool state target writes arguments arguments_size arguments_blob started",
)
# After a restart the same call may start again, when its answer was not on record.
_TOOL_AGAIN = _update(
    "tool_calls", "state = 'interrupted', ended = ?", "agent = ? AND id = ? AND ended IS NULL AND epoch < ?"
)
# A model's call ids need not be unique: the answer belongs to the oldest open call of that id. An answer to a call
# that never started (it was malformed) has a row of its own.
_TOOL_FINISHED = Statement(
    "tool_calls",
    "INSERT INTO tool_calls (seq, epoch, id, agent, task, tool, state, target, arguments, arguments_size, answer, "
    "answer_size, paths, started, ended, wall_s, gate_wait_s) VALUES (coalesce((SELECT min(seq) FROM tool_calls "
    "WHERE agent = ?4 AND id = ?3 AND ended IS NULL), ?1), ?2, ?3, ?4, ?5, ?6, ?7, '', '', 0, ?8, ?9, ?10, ?11, ?11, "
    "?12, ?13) ON CONFLICT (seq) DO UPDATE SET state = excluded.state, answer = excluded.answer, "
    "answer_size = excluded.answer_size, paths = excluded.paths, ended = excluded.ended, wall_s = excluded.wall_s, "
    "gate_wait_s = excluded.gate_wait_s",
)


@_projects(e.ToolStarted)
def _(event: e.Event, body: e.ToolStarted, shelf: Shelf) -> Iterable[Write]:
    yield _TOOL_AGAIN, (event.at, event.agent, body.call, event.epoch)
    who = (event.seq, event.epoch, body.call, event.agent, event.task)
    what = (body.tool, "running", body.target, body.writes)
    yield _TOOL_STARTED, (*who, *what, *shelf.head(body.arguments), event.at)
    yield _ACTING, (f"{body.tool} {body.target}".rstrip(), event.agent)


@_projects(e.ToolFinished)
def _(event: e.Event, body: e.ToolFinished, shelf: Shelf) -> Iterable[Write]:
    answer = shelf.head(body.answer)
    told = _message_id(event, 0)
    about = (event.seq, event.epoch, body.call, event.agent, event.task, body.tool, body.state)
    done = (told, answer[1], _text(body.paths), event.at, body.wall_s, body.gate_wait_s)
    yield _TOOL_FINISHED, (*about, *done)
    who = (told, event.seq, event.at, event.agent, "tool", "tool", body.tool, body.call, body.state)
    yield _MESSAGE, (*who, *answer, "[]")


# --- tasks ---------------------------------------------------------------------------------------------------

_TASK = _insert(
    "tasks",
    "id title goal scope acceptance priority kind planner state attempt failures losses conflicts intent agent "
    "commit_oid reason queued not_before ended",
)
_TASK_STARTED = _update("tasks", "state = 'working', agent = ?, attempt = ?, started = ?")
_TASK_REQUEUED = _update(
    "tasks",
    "state = 'queued', agent = NULL, reason = ?, not_before = ?, losses = losses + ?, failures = failures + (1 - ?)",
)
_TASK_ENDED = _update("tasks", "state = ?, reason = ?, commit_oid = ?, ended = ?, cancelled_under = ?")
_TASK_LANDING = _update("tasks", "state = 'landing'")
_TASK_HANDED_BACK = _update("tasks", "state = 'working', conflicts = conflicts + ?")
_LANDING_STARTED = _insert("landings", "id task agent change started", " ON CONFLICT (id) DO NOTHING")
_LANDING_FINISHED = _insert(
    "landings",
    "id task agent state base commit_oid paths conflicts reason started at",
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, base = excluded.base, commit_oid = excluded.commit_oid, "
    "paths = excluded.paths, conflicts = excluded.conflicts, reason = excluded.reason, at = excluded.at",
)
_HANDOFF = _insert(
    "handoffs",
    "id at task agent to_agent status summary notes concerns deviations findings feedback landing commit_oid intent "
    "by_engine",
)
_RESOLVED = _update("handoffs", "resolved = ?")


@_projects(e.TaskQueued)
def _(event: e.Event, body: e.TaskQueued, shelf: Shelf) -> Iterable[Write]:
    t: Task = body.queued
    asked = (t.id, t.spec.title, t.spec.goal, t.spec.scope, t.spec.acceptance, t.spec.priority, t.kind, t.planner)
    stands = (t.state, t.attempt, t.failures, t.losses, t.conflicts, t.intent, t.agent, t.commit, t.reason)
    yield _TASK, (*asked, *stands, t.queued_at or event.at, t.not_before, t.ended_at)


@_projects(e.TaskStarted)
def _(event: e.Event, body: e.TaskStarted, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_STARTED, (body.worker, body.attempt, event.at, event.task)


@_projects(e.TaskRequeued)
def _(event: e.Event, body: e.TaskRequeued, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_REQUEUED, (body.reason, body.not_before, body.lost and body.counts, body.lost, event.task)


@_projects(e.TaskEnded)
def _(event: e.Event, body: e.TaskEnded, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_ENDED, (body.state, body.reason, body.commit, event.at, body.intent, event.task)
    if counted := _TASK_COUNTED.get(body.state):
        yield counted, ()


@_projects(e.LandingStarted)
def _(event: e.Event, body: e.LandingStarted, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_LANDING, (event.task,)
    yield _LANDING_STARTED, (body.landing, event.task, event.agent, body.change, event.at)


@_projects(e.LandingFinished)
def _(event: e.Event, body: e.LandingFinished, shelf: Shelf) -> Iterable[Write]:
    done = body.landing
    named = (_text(done.paths), _text(done.conflicts))
    row = (done.id, done.task, done.agent, done.state, done.base, done.commit, *named, done.reason)
    yield _LANDING_FINISHED, (*row, None, done.at)
    if done.commit is not None:
        yield _TRUNK, (OVERTAKING, done.commit)
    if done.state in (LandingState.CONFLICTED, LandingState.REFUSED):
        yield _TASK_HANDED_BACK, (done.state is LandingState.CONFLICTED, event.task)


@_projects(e.HandedOff)
def _(event: e.Event, body: e.HandedOff, shelf: Shelf) -> Iterable[Write]:
    h = body.handoff
    said = (h.text.status, h.text.summary, h.text.notes, h.text.concerns, h.text.deviations, h.text.findings)
    about = (h.id, h.at, h.task, h.agent, h.to_agent)
    yield _HANDOFF, (*about, *said, h.text.feedback, h.landing, h.commit, h.intent, h.by_engine)
    yield _ONE_MORE_HANDOFF, ()


@_projects(e.HandoffResolved)
def _(event: e.Event, body: e.HandoffResolved, shelf: Shelf) -> Iterable[Write]:
    yield _RESOLVED, (event.at if body.resolved else None, body.handoff)


# --- green ---------------------------------------------------------------------------------------------------

_CHECK = _insert("greens", "seq at commit_oid passed exit wall_s output size blob purpose failing failed_tests")
_BREAK = _insert("breaks", "seq at planner tip suspects tasks checks")
_MOVED = _update(
    "greens", "moved = ?", "seq = (SELECT max(seq) FROM greens WHERE commit_oid = ? AND passed) AND moved IS NULL"
)


@_projects(e.CheckFinished)
def _(event: e.Event, body: e.CheckFinished, shelf: Shelf) -> Iterable[Write]:
    check = body.check
    outcome = (check.commit, check.passed, check.exit, check.wall_s)
    found = (check.purpose, check.failing, _text(check.failed_tests))
    yield _CHECK, (event.seq, check.at, *outcome, *shelf.head(check.output), *found)
    yield _CHECKED, (check.passed, check.passed)


@_projects(e.BreakTraced)
def _(event: e.Event, body: e.BreakTraced, shelf: Shelf) -> Iterable[Write]:
    b = body.broken
    yield _BREAK, (event.seq, b.at, event.agent, b.tip, _text(b.suspects), _text(b.tasks), b.checks)


@_projects(e.GreenMoved)
def _(event: e.Event, body: e.GreenMoved, shelf: Shelf) -> Iterable[Write]:
    yield _MOVED, (event.at, body.commit)
    yield _GREEN, (body.commit, event.at)


@_projects(e.Published)
def _(event: e.Event, body: e.Published, shelf: Shelf) -> Iterable[Write]:
    yield _PUBLISHED, (body.trunk, body.left_alone)
