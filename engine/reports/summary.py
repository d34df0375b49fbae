"""The summary that is printed when a run ends, for scripts."""

from collections import Counter

from msgspec import Struct

from engine.domain.notes import NoteKind
from engine.domain.resource_use import LoadLimit
from engine.domain.types import CommitId, LandingState, Micros, Role, RunId, RunState, TaskState
from engine.reports.result import Result
from engine.state.retired import added
from engine.state.snapshot import Snapshot


class Summary(Struct, frozen=True):
    """The outcome of a run. Counts include everything from before a resume.

    `repo` and `db` are absolute paths. `base`, `trunk` and `green` are full commit ids or None. `usd` is None if a
    price is unknown. `wall_s` is the working time in seconds. `error_rate` is the share of failed checks, None before
    the first. `load_limit` is what the governor allowed last, with its reason; None if it never set a limit.
    `exit_status` is None if the run has not ended. `unpublished` and `fetch`: see engine.reports.result.

    The `total` of `agents` includes resolvers and reconcilers. `tasks` are those that have ended, except for those that
    were handed off without a change, which are `empty` in `landings`. `notes` are what planners assumed and asked the
    person; `open` of these have no answer. `input` includes `cached` in `tokens`. `check` has runs on trunk.
    """

    run: RunId
    state: RunState
    exit_status: int | None
    repo: str
    base: CommitId | None
    trunk: CommitId | None
    green: CommitId | None
    agents: dict[str, int]
    tasks: dict[str, int]
    landings: dict[str, int]
    handoffs: int
    notes: dict[str, int]
    tokens: dict[str, int]
    usd: float | None
    wall_s: float
    landed_per_hour: float
    check: dict[str, int]
    error_rate: float | None
    load_limit: LoadLimit | None
    db: str
    unpublished: str
    fetch: str
    sandbox_level: str
    sandbox_not_guaranteed: tuple[str, ...]
    sandbox_granted: tuple[str, ...]
    sandbox_tools: tuple[str, ...]


def summarise(snapshot: Snapshot, now: Micros, db: str, result: Result | None = None) -> Summary:
    """The summary of a run at `now`; `db` is the path of its journal."""
    in_memory = Counter(agent.role for agent in snapshot.agents.values())
    roles = Counter(added(in_memory, *(each.roles for each in snapshot.retired.values())))
    kinds = snapshot.note_counts
    tasks, landings, usage = snapshot.task_counts, snapshot.landing_counts, snapshot.usage
    return Summary(
        run=snapshot.run,
        state=snapshot.state,
        exit_status=snapshot.exit_status,
        repo=snapshot.repo,
        base=snapshot.base or None,
        trunk=snapshot.trunk or None,
        green=snapshot.green,
        agents={"planners": roles[Role.PLANNER], "workers": roles[Role.WORKER], "total": roles.total()},
        tasks={state.value: tasks[state] for state in (TaskState.LANDED, TaskState.FAILED, TaskState.CANCELLED)},
        landings={state.value: landings[state] for state in LandingState},
        handoffs=snapshot.handoff_count,
        notes={
            "assumptions": kinds[NoteKind.ASSUMPTION],
            "questions": kinds[NoteKind.QUESTION],
            "open": len(snapshot.notes_to_person()),
        },
        tokens={"input": usage.input, "cached": usage.cached, "output": usage.output},
        usd=None if usage.usd is None else round(usage.usd, 6),
        wall_s=round(snapshot.wall(now) / 1_000_000, 3),
        landed_per_hour=round(snapshot.landed_per_hour(now), 2),
        check={"passed": snapshot.checks_passed, "failed": snapshot.checks_failed},
        error_rate=snapshot.error_rate,
        load_limit=snapshot.load_limit,
        db=db,
        unpublished=result.unpublished if result else "",
        fetch=result.fetch if result else "",
        sandbox_level=snapshot.sandbox_level,
        sandbox_not_guaranteed=snapshot.not_guaranteed,
        sandbox_granted=snapshot.granted,
        sandbox_tools=snapshot.tools,
    )
