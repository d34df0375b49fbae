"""What a run's record says of how it went: throughput, cost, conflicts, where time goes, what fails again and again."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from engine.contention import LARGE, MANY
from engine.journal.connection import cannot_read
from engine.repo.sizes import sizes_of
from engine.types import CommitId

LISTED = 10
HOUR_S = 3_600.0
_USES = """
  SELECT p.path, max(u.memory), avg(u.cpu),
    min(100.0, 100.0 * (sum(u.gate_s) + sum(u.lock_s)) / nullif(sum(u.gate_s) + sum(u.build_s), 0))
  FROM (
    SELECT a.parent, sum(s.memory) AS memory, sum(s.cpu) AS cpu, sum(s.gate_s) AS gate_s, sum(s.lock_s) AS lock_s,
      sum(s.build_s) AS build_s
    FROM agent_samples s JOIN agents a ON a.id = s.agent WHERE a.parent IS NOT NULL GROUP BY a.parent, s.seq
  ) u JOIN agents p ON p.id = u.parent GROUP BY p.path"""
_KINDS = {"shell": "commands", "submit_handoff": "landing"}


class FileReport(Struct, frozen=True):
    """`size` in bytes; None where the run's trunk is gone or does not hold the file."""

    path: str
    conflicts: int
    landings: int
    tasks: int
    size: int | None


class SubtreeReport(Struct, frozen=True):
    """The tasks of one planner. `conflict_rate`: conflicts for each try to land that merged or conflicted.

    What its workers' commands used, of the moments that were sampled: bytes of memory at most, percent of a core on
    average, and percent of the time of builds that was spent waiting. None: nothing was sampled.
    """

    path: str
    landed: int
    conflicts: int
    conflict_rate: float | None
    memory: int | None = None
    cpu: float | None = None
    contention: float | None = None


class FailureReport(Struct, frozen=True):
    tool: str
    error: str
    times: int
    agents: int


class PromptReport(Struct, frozen=True):
    """What agents did under one version of a role's prompt, `NAME@VERSION`. Counts are of model calls, tokens, agents.

    `tasks` that were worked on under it, and how many of those it `landed` in the end; `failed` agents. `usd` is None
    when a price is unknown.
    """

    prompt: str
    calls: int
    input: int
    cached: int
    output: int
    usd: float | None
    agents: int
    failed: int
    tasks: int
    landed: int


class Report(Struct, frozen=True):
    """Times in seconds of all agents together, `wall_s` of the run; rates are for an hour of it. None: unknown.

    `conflict_rate` is of tries to land, `error_rate` of snapshots of trunk; `index_lock_failures` are commands that
    found git's index locked, which never waits but fails.
    """

    run: str
    state: str
    wall_s: float
    landed: int
    failed: int
    landed_per_hour: float | None
    tokens: int
    tokens_per_hour: float | None
    usd: float | None
    usd_per_hour: float | None
    conflicts: int
    conflict_rate: float | None
    checks: int
    error_rate: float | None
    contention: float | None
    index_lock_failures: int
    time_s: dict[str, float]
    hottest: tuple[FileReport, ...]
    large: tuple[FileReport, ...]
    subtrees: tuple[SubtreeReport, ...]
    failures: tuple[FailureReport, ...]
    prompts: tuple[PromptReport, ...]


def report_of(journal: Path, trunk_git: Path) -> Report:
    """Read a run's journal, live or not, and the sizes of files from its trunk. Raises SwarmError (journal)."""
    try:
        with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            db.row_factory = sqlite3.Row
            return _report(db, trunk_git)
    except (sqlite3.Error, TypeError) as error:
        raise cannot_read(journal, error) from error


def _report(db: sqlite3.Connection, trunk_git: Path) -> Report:
    run = db.execute("SELECT *, (SELECT at FROM events ORDER BY seq DESC LIMIT 1) AS last_at FROM runs").fetchone()
    running = 0 if run["ended"] or not run["epoch_at"] else max(0, run["last_at"] - run["epoch_at"])
    wall_s = (run["worked"] + running) / 1e6
    hours = wall_s / HOUR_S
    tokens = run["input_tokens"] + run["output_tokens"]
    states = dict(db.execute("SELECT state, count(*) FROM landings WHERE state IS NOT NULL GROUP BY state"))
    merged, conflicts = states.get("merged", 0) + states.get("resolved", 0), states.get("conflicted", 0)
    checks = run["checks_passed"] + run["checks_failed"]
    [red] = db.execute("SELECT avg(NOT passed) FROM greens WHERE purpose = 'snapshot'").fetchone()
    files = _files(db, trunk_git, CommitId(run["trunk"]))
    [contention] = db.execute("SELECT avg(contention) FROM samples WHERE building OR gate_waiting").fetchone()
    [locked] = db.execute("SELECT coalesce(sum(index_locked), 0) FROM tool_use").fetchone()
    return Report(
        run=run["id"],
        state=run["state"],
        wall_s=wall_s,
        landed=run["landed"],
        failed=run["failed"],
        landed_per_hour=_share(run["landed"], hours),
        tokens=tokens,
        tokens_per_hour=_share(tokens, hours),
        usd=run["usd"],
        usd_per_hour=None if run["usd"] is None else _share(run["usd"], hours),
        conflicts=conflicts,
        conflict_rate=_share(conflicts, merged + conflicts),
        checks=checks,
        error_rate=red,
        contention=contention,
        index_lock_failures=locked,
        time_s=_times(db, run["last_at"]),
        hottest=tuple(file for file in files if file.conflicts)[:LISTED],
        large=tuple(file for file in files if (file.size or 0) >= LARGE and file.tasks >= MANY)[:LISTED],
        subtrees=_subtrees(db),
        failures=tuple(FailureReport(**dict(row)) for row in db.execute(_FAILURES, (LISTED,))),
        prompts=tuple(PromptReport(**dict(row)) for row in db.execute(_PROMPTS)),
    )


def _share(value: float, of: float) -> float | None:
    return value / of if of else None


def _files(db: sqlite3.Connection, trunk_git: Path, trunk: CommitId) -> list[FileReport]:
    """All files that had a conflict or that many tasks changed, the most fought over first."""
    conflicts = Counter(
        dict(
            db.execute(
                "SELECT value, count(*) FROM landings, json_each(conflicts) WHERE state = 'conflicted' GROUP BY value"
            )
        )
    )
    touched = {
        path: (landings, tasks)
        for path, landings, tasks in db.execute(
            "SELECT value, count(*), count(DISTINCT task) FROM landings, json_each(paths) "
            "WHERE commit_oid IS NOT NULL GROUP BY value"
        )
    }
    paths = {*conflicts, *(path for path, (_, tasks) in touched.items() if tasks >= MANY)}
    sizes = sizes_of(trunk_git, trunk, paths)
    found = [FileReport(path, conflicts[path], *touched.get(path, (0, 0)), sizes.get(path)) for path in paths]
    return sorted(found, key=lambda file: (-file.conflicts, -file.landings, file.path))


def _subtrees(db: sqlite3.Connection) -> tuple[SubtreeReport, ...]:
    """By planner, the highest rate of conflicts first; those too whose workers used something and landed nothing."""
    rows = db.execute(
        "SELECT coalesce(agents.path, tasks.planner), sum(landings.state IN ('merged', 'resolved')) AS landed, "
        "sum(landings.state = 'conflicted') AS conflicts FROM landings JOIN tasks ON tasks.id = landings.task "
        "LEFT JOIN agents ON agents.id = tasks.planner WHERE landings.state IS NOT NULL GROUP BY 1"
    )
    tries = {path: (landed, hit) for path, landed, hit in rows if landed + hit}
    uses = {path: use for path, *use in db.execute(_USES)}
    found = []
    for path in {*tries, *uses}:
        landed, hit = tries.get(path, (0, 0))
        found.append(SubtreeReport(path, landed, hit, _share(hit, landed + hit), *uses.get(path, ())))
    return tuple(sorted(found, key=lambda part: (-(part.conflict_rate or 0), part.path)))


def _times(db: sqlite3.Connection, last_at: int) -> dict[str, float]:
    """Where agents' time goes. What is not in here is spent between steps."""
    [thinking] = db.execute("SELECT sum(wall_s) FROM prompt_use").fetchone()
    [paused] = db.execute("SELECT sum(coalesce(until, ?) - at) / 1e6 FROM pauses", (last_at,)).fetchone()
    found = {"thinking": thinking or 0.0}
    found |= dict.fromkeys(("commands", "builds", "gate", "landing", "files"), 0.0)
    uses = "SELECT tool, build, wall_s, gate_wait_s FROM tool_use WHERE tool <> 'wait'"
    for tool, build, wall_s, gate_s in db.execute(uses):
        found["builds" if build else _KINDS.get(tool, "files")] += max(0.0, wall_s - gate_s)
        found["gate"] += gate_s
    found["paused"] = paused or 0.0
    return {name: round(float(seconds), 3) for name, seconds in found.items()}


_FAILURES = """
SELECT tool, error, sum(times) AS times, count(*) AS agents FROM failures
GROUP BY tool, error ORDER BY times DESC, tool, error LIMIT ?"""
"""Errors of tools and of commands, the most frequent first."""
_PROMPTS = """
SELECT prompt, sum(calls) AS calls, sum(u.input_tokens) AS input, sum(u.cached_tokens) AS cached,
  sum(u.output_tokens) AS output, CASE WHEN sum(calls) = sum(priced) THEN sum(u.usd) END AS usd,
  count(DISTINCT u.agent) AS agents, count(DISTINCT CASE WHEN a.state = 'failed' THEN a.id END) AS failed,
  count(DISTINCT nullif(u.task, '')) AS tasks,
  count(DISTINCT CASE WHEN t.state = 'landed' AND t.agent = u.agent THEN t.id END) AS landed
FROM prompt_use u LEFT JOIN agents a ON a.id = u.agent LEFT JOIN tasks t ON t.id = u.task
GROUP BY prompt ORDER BY prompt"""
"""Each version of each prompt that was used, so that two of them can be compared."""
