"""What task events write: tasks, landings and handoffs."""

from collections.abc import Iterable

from engine.domain import events as e
from engine.domain.types import LandingState, Task
from engine.journal.blobs import Shelf
from engine.journal.projections.counts import count
from engine.journal.statements import Projections, Statement, Write, insert, json_text
from engine.state.snapshot import OVERTAKING

PROJECTIONS = Projections()

_TASK = insert(
    "tasks",
    "id title goal scope acceptance priority kind planner state attempt failures losses conflicts intent agent "
    "commit_oid reason queued not_before ended after_tasks replaces directions",
)
_TASK_STATE = Statement("tasks", "UPDATE tasks SET state = ? WHERE id = ?")
_TASK_AMENDED = Statement(
    "tasks",
    "UPDATE tasks SET title = ?, goal = ?, scope = ?, acceptance = ?, priority = ?, after_tasks = ?, "
    "intent = coalesce(nullif(?, 0), intent) WHERE id = ?",
)
_AGENTS_AMENDED = Statement(
    "agents",
    "UPDATE agents SET title = ?, goal = ?, scope = ? WHERE task = ? AND state NOT IN ('done', 'failed', 'cancelled')",
)
_TASK_DIRECTED = Statement(
    "tasks",
    "UPDATE tasks SET directions = (SELECT json_group_array(value) FROM (SELECT value FROM json_each(directions) "
    "WHERE value <> ?1 UNION ALL SELECT ?1 WHERE NOT ?2)) WHERE id = ?3",
)
_TASK_STARTED = Statement(
    "tasks", "UPDATE tasks SET state = 'working', agent = ?, attempt = ?, started = ? WHERE id = ?"
)
_ATTEMPT_CONTINUED = Statement("tasks", "UPDATE tasks SET state = 'working', losses = losses + ? WHERE id = ?")
_TASK_REQUEUED = Statement(
    "tasks",
    "UPDATE tasks SET state = 'queued', agent = NULL, reason = ?, not_before = ?, losses = losses + ?, "
    "failures = failures + (1 - ?) WHERE id = ?",
)
_TASK_ENDED = Statement(
    "tasks", "UPDATE tasks SET state = ?, reason = ?, commit_oid = ?, ended = ?, cancelled_under = ? WHERE id = ?"
)
_TASK_LANDING = Statement("tasks", "UPDATE tasks SET state = 'landing' WHERE id = ?")
_TASK_HANDED_BACK = Statement("tasks", "UPDATE tasks SET state = 'working', conflicts = conflicts + ? WHERE id = ?")
_LANDING_STARTED = insert("landings", "id task agent change started", " ON CONFLICT (id) DO NOTHING")
_LANDING_FINISHED = insert(
    "landings",
    "id task agent state base commit_oid paths conflicts reason started at",
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, base = excluded.base, commit_oid = excluded.commit_oid, "
    "paths = excluded.paths, conflicts = excluded.conflicts, reason = excluded.reason, at = excluded.at",
)
_TRUNK = Statement(
    "landings",  # runs after the landing's own row is written
    """
    WITH RECURSIVE landed(base, commit_oid) AS MATERIALIZED (
      SELECT base, commit_oid FROM landings WHERE commit_oid IS NOT NULL ORDER BY id DESC LIMIT ?1
    ), trunk(tip, height) AS (
      SELECT ?2, 0 UNION ALL
      SELECT commit_oid, height + 1 FROM trunk JOIN landed ON base = tip WHERE commit_oid <> ?2 AND height < ?1
    )
    UPDATE runs SET trunk = (SELECT tip FROM trunk ORDER BY height DESC LIMIT 1)
    """,
    apart=1,
    fold=lambda rows: rows[-1:],  # each starts from its own landing and overwrites the result of the one before
)
_HANDOFF = insert(
    "handoffs",
    "id at task agent to_agent status summary notes concerns deviations findings feedback landing commit_oid intent "
    "by_engine",
)
_RESOLVED = Statement("handoffs", "UPDATE handoffs SET resolved = ? WHERE id = ?")


@PROJECTIONS.of(e.TaskQueued)
def _(event: e.Event, body: e.TaskQueued, shelf: Shelf) -> Iterable[Write]:
    t: Task = body.queued
    asked = (t.id, t.spec.title, t.spec.goal, t.spec.scope, t.spec.acceptance, t.spec.priority, t.kind, t.planner)
    stands = (t.state, t.attempt, t.failures, t.losses, t.conflicts, t.intent, t.agent, t.commit, t.reason)
    more = (json_text(t.spec.after), t.replaces, json_text(t.directions))
    yield _TASK, (*asked, *stands, t.queued_at or event.at, t.not_before, t.ended_at, *more)


@PROJECTIONS.of(e.TaskHeld)
@PROJECTIONS.of(e.TaskReleased)
def _(event: e.Event, body: e.TaskHeld | e.TaskReleased, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_STATE, ("held" if isinstance(body, e.TaskHeld) else "queued", event.task)


@PROJECTIONS.of(e.TaskAmended)
def _(event: e.Event, body: e.TaskAmended, shelf: Shelf) -> Iterable[Write]:
    spec = body.spec
    asked = (spec.title, spec.goal, spec.scope, spec.acceptance, spec.priority, json_text(spec.after))
    yield _TASK_AMENDED, (*asked, body.intent, event.task)
    yield _AGENTS_AMENDED, (spec.title, spec.goal, spec.scope, event.task)


@PROJECTIONS.of(e.TaskDirected)
def _(event: e.Event, body: e.TaskDirected, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_DIRECTED, (body.text, body.taken_back, event.task)


@PROJECTIONS.of(e.TaskStarted)
def _(event: e.Event, body: e.TaskStarted, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_STARTED, (body.worker, body.attempt, event.at, event.task)


@PROJECTIONS.of(e.AttemptContinued)
def _(event: e.Event, body: e.AttemptContinued, shelf: Shelf) -> Iterable[Write]:
    yield _ATTEMPT_CONTINUED, (body.crashed, event.task)


@PROJECTIONS.of(e.TaskRequeued)
def _(event: e.Event, body: e.TaskRequeued, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_REQUEUED, (body.reason, body.not_before, body.lost and body.counts, body.lost, event.task)


@PROJECTIONS.of(e.TaskEnded)
def _(event: e.Event, body: e.TaskEnded, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_ENDED, (body.state, body.reason, body.commit, event.at, body.intent, event.task)
    if body.state in ("landed", "unchanged", "failed", "cancelled"):
        yield count(**{body.state: 1})


@PROJECTIONS.of(e.LandingStarted)
def _(event: e.Event, body: e.LandingStarted, shelf: Shelf) -> Iterable[Write]:
    yield _TASK_LANDING, (event.task,)
    yield _LANDING_STARTED, (body.landing, event.task, event.agent, body.change, event.at)


@PROJECTIONS.of(e.LandingFinished)
def _(event: e.Event, body: e.LandingFinished, shelf: Shelf) -> Iterable[Write]:
    done = body.landing
    named = (json_text(done.paths), json_text(done.conflicts))
    row = (done.id, done.task, done.agent, done.state, done.base, done.commit, *named, done.reason)
    yield _LANDING_FINISHED, (*row, None, done.at)
    if done.commit is not None:
        yield _TRUNK, (OVERTAKING, done.commit)
    if done.state in (LandingState.CONFLICTED, LandingState.REFUSED):
        yield _TASK_HANDED_BACK, (done.state is LandingState.CONFLICTED, event.task)


@PROJECTIONS.of(e.HandedOff)
def _(event: e.Event, body: e.HandedOff, shelf: Shelf) -> Iterable[Write]:
    h = body.handoff
    said = (
        h.text.status,
        h.text.summary,
        h.text.notes,
        h.text.concerns,
        h.text.deviations,
        h.text.sections.get("findings", ""),
    )
    about = (h.id, h.at, h.task, h.agent, h.to_agent)
    yield _HANDOFF, (*about, *said, h.text.feedback, h.landing, h.commit, h.intent, h.by_engine)
    yield count(handoffs=1)


@PROJECTIONS.of(e.HandoffResolved)
def _(event: e.Event, body: e.HandoffResolved, shelf: Shelf) -> Iterable[Write]:
    yield _RESOLVED, (event.at if body.resolved else None, body.handoff)
