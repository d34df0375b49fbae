"""What agent events write: agents' rows, scratchpads, pivots, pauses and pathologies."""

from collections.abc import Iterable

from engine.domain import events as e
from engine.domain.types import Agent, AgentState, Role
from engine.journal.blobs import Shelf
from engine.journal.projections.counts import called, count, tokens
from engine.journal.statements import Parameters, Projections, Statement, Write, insert

PROJECTIONS = Projections()

_AGENT = insert(
    "agents",
    "id path parent role model title goal scope task attempt state doing reason paused priority intent epoch steps "
    "tokens_in_context input_tokens cached_tokens output_tokens usd spawned stepped ended",
)


def _in_the_end(rows: list[Parameters]) -> Iterable[Parameters]:
    """The last state of each agent, with the reason and end time that earlier states leave behind."""
    last: dict[str, Parameters] = {}
    for row in rows:
        id, state, doing, reason, stands, at = row
        if (before := last.get(id)) is not None:
            _, _, _, why, stood, then = before
            reason = why if reason is None else reason
            if stands == "ended" and stood == "at work":
                stands = "ended again"
            elif stands is None or (stands == "ended" and stood is not None):
                stands, at = stood, then
        last[id] = (id, state, doing, reason, stands, at)
    return last.values()


_AGENT_STATE = Statement(
    "agents",
    "UPDATE agents SET state = ?2, doing = ?3, reason = coalesce(?4, reason), ended = CASE ?5 WHEN 'at work' THEN NULL "
    "WHEN 'ended' THEN coalesce(ended, ?6) WHEN 'ended again' THEN ?6 ELSE ended END WHERE id = ?1",
    fold=_in_the_end,
)
_PAUSE = insert("pauses", "seq agent at")
_PAUSE_OVER = Statement("pauses", "UPDATE pauses SET until = ? WHERE agent = ? AND until IS NULL")
_PAUSED = Statement("agents", "UPDATE agents SET paused = ? WHERE id = ?")
_PRIORITY = Statement("agents", "UPDATE agents SET priority = ? WHERE id = ?")
_WORKERS_BELOW = Statement("agents", "UPDATE agents SET workers_limit = ? WHERE id = ?")
_MODEL = Statement("agents", "UPDATE agents SET model = ? WHERE id = ?")
_ROLE_MODEL = Statement(
    "agents",
    "UPDATE agents SET model = ? WHERE role = ? AND (role = 'planner' OR state NOT IN ('done', 'failed', 'cancelled'))",
)
_RUN_MODEL = Statement("runs", "UPDATE runs SET models = json_set(models, ?, ?)")
_SCOPE = Statement("agents", "UPDATE agents SET goal = ?, scope = ? WHERE id = ?")
_PIVOT = insert("pivots", "seq at agent reason scratchpad")
_PATHOLOGY = insert("pathologies", "seq at agent pathology times remedy detail")
_SCRATCHPAD = insert("scratchpads", "agent version at text size blob")
_LOST = Statement(
    "agents",
    "UPDATE agents SET input_tokens = input_tokens + ?2, cached_tokens = cached_tokens + ?3, "
    "output_tokens = output_tokens + ?4, usd = usd + ?5 WHERE id = ?1",
    apart=1,
)
_ENDS = (AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED)


@PROJECTIONS.of(e.AgentSpawned)
def _(event: e.Event, body: e.AgentSpawned, shelf: Shelf) -> Iterable[Write]:
    a: Agent = body.spawned
    who = (a.id, a.path, a.parent, a.role, a.model, a.title, a.goal, a.scope, a.task, a.attempt)
    how = (a.state, a.doing, a.reason, a.paused, a.priority, a.intent, a.epoch, a.steps, a.tokens_in_context)
    yield _AGENT, (*who, *how, *tokens(a.usage), a.spawned_at, a.stepped_at or None, a.ended_at)
    yield count(agents=1)


@PROJECTIONS.of(e.AgentStateChanged)
def _(event: e.Event, body: e.AgentStateChanged, shelf: Shelf) -> Iterable[Write]:
    stands = "ended" if body.state in _ENDS else "at work"
    yield _AGENT_STATE, (event.agent, body.state, body.doing, body.reason, stands, event.at)
    yield from pauses(event, body)


def pauses(event: e.Event, body: e.AgentStateChanged) -> Iterable[Write]:
    """A pause lasts until the agent's next state change."""
    yield _PAUSE_OVER, (event.at, event.agent)
    if body.state is AgentState.PAUSED:
        yield _PAUSE, (event.seq, event.agent, event.at)


def acts(event: e.Event, doing: str) -> Write:
    """The state of an agent that starts a tool."""
    return _AGENT_STATE, (event.agent, AgentState.ACTING, doing, None, None, None)


@PROJECTIONS.of(e.SubtreePaused)
@PROJECTIONS.of(e.SubtreeResumed)
def _(event: e.Event, body: e.SubtreePaused | e.SubtreeResumed, shelf: Shelf) -> Iterable[Write]:
    yield _PAUSED, (isinstance(body, e.SubtreePaused), event.agent)


@PROJECTIONS.of(e.SubtreeLimited)
def _(event: e.Event, body: e.SubtreeLimited, shelf: Shelf) -> Iterable[Write]:
    yield _WORKERS_BELOW, (body.workers, event.agent)


@PROJECTIONS.of(e.PriorityChanged)
def _(event: e.Event, body: e.PriorityChanged, shelf: Shelf) -> Iterable[Write]:
    yield _PRIORITY, (body.priority, event.agent)


@PROJECTIONS.of(e.ModelChanged)
def _(event: e.Event, body: e.ModelChanged, shelf: Shelf) -> Iterable[Write]:
    if event.agent is not None:
        yield _MODEL, (body.model, event.agent)
        return
    for role in Role if body.role is None else (body.role,):
        yield _ROLE_MODEL, (body.model, role)
        yield _RUN_MODEL, (f"$.{role}", body.model)


@PROJECTIONS.of(e.Rescoped)
def _(event: e.Event, body: e.Rescoped, shelf: Shelf) -> Iterable[Write]:
    yield _SCOPE, (body.goal, body.scope, event.agent)


@PROJECTIONS.of(e.PathologySeen)
def _(event: e.Event, body: e.PathologySeen, shelf: Shelf) -> Iterable[Write]:
    yield _PATHOLOGY, (event.seq, event.at, event.agent, body.pathology, body.times, body.remedy, body.detail)


@PROJECTIONS.of(e.ScratchpadRewritten)
def _(event: e.Event, body: e.ScratchpadRewritten, shelf: Shelf) -> Iterable[Write]:
    yield _SCRATCHPAD, (event.agent, body.version, event.at, *shelf.head(body.text))


@PROJECTIONS.of(e.Pivoted)
def _(event: e.Event, body: e.Pivoted, shelf: Shelf) -> Iterable[Write]:
    yield _PIVOT, (event.seq, event.at, event.agent, body.reason, body.version)


@PROJECTIONS.of(e.ModelCallRetried)
def _(event: e.Event, body: e.ModelCallRetried, shelf: Shelf) -> Iterable[Write]:
    yield count(retries=1)
    if body.usage.input and not body.lost:
        spent = tokens(body.usage)
        yield _LOST, (event.agent, *spent)
        yield called(spent)
