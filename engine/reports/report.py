"""Reports from a run's journal how the run went: throughput, cost and waste, conflicts, use of time, failures."""

import json
import math
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec

from engine.domain.collisions import LARGE, MANY
from engine.domain.environment import Environment
from engine.domain.types import CommitId
from engine.journal.failures import cannot_read, damaged
from engine.journal.schema import LANDED
from engine.journal.untrusted import limited, number, open_to_read
from engine.repo.git.sizes import file_sizes
from engine.reports.report_values import (
    ChangeReport,
    ClaimReport,
    DependencyReport,
    FailureReport,
    FileReport,
    HeatReport,
    LoadReport,
    NoteReport,
    PromptReport,
    Report,
    RoleReport,
    StepReport,
    SubtreeReport,
)

LISTED = 10
NOTES = 200
"""Notes that a report lists, the newest."""
STARVED_SINCE = 12
"""The first version of the journal's schema whose samples say how long commands had no CPU."""
CHANGES = 50
"""The most changes of tasks that a report lists, the newest."""
TIME_S = 30.0
"""Seconds that all queries of a report may take."""
HOUR_S = 3_600.0
_BASE = """
SELECT json_extract(body, '$.survey.check.passed') FROM events WHERE kind = 'base_surveyed' ORDER BY seq DESC LIMIT 1"""
_ENVIRONMENT = """
SELECT json_extract(body, '$.environment') FROM events WHERE kind = 'environment_surveyed' ORDER BY seq DESC LIMIT 1"""
_CLEAN = "SELECT count(*) FROM events WHERE kind = 'check_finished' AND json_extract(body, '$.check.clean')"
_STARVED = """
SELECT sum(starved * runnable) / sum(runnable), sum(cpu_others * runnable) / sum(runnable) FROM samples
WHERE starved > 0 AND runnable > 0"""
_LIMITS = """
SELECT CASE kind WHEN 'load_limited' THEN at ELSE (SELECT at FROM events WHERE seq = e.seq - 1) END,
  json_extract(body, '$.limit.workers'), json_extract(body, '$.limit.reason')
FROM events e WHERE kind IN ('load_limited', 'epoch_started') ORDER BY seq"""
"""The governor's limits, and the times at which a process ended: a new process begins without a limit."""
_KINDS = {"shell": "commands", "submit_handoff": "landing"}


def report_of(journal: Path, trunk_git: Path) -> Report:
    """Read the journal of a run, live or not, and file sizes from its trunk. Raises SwarmError (journal)."""
    try:
        with closing(open_to_read(journal)) as db, limited(db, TIME_S, named=True):
            values = msgspec.to_builtins(_report(db, trunk_git))
            json.dumps(values, allow_nan=False)  # raises ValueError for infinity and NaN, which damaged journals have
            return msgspec.convert(values, Report)
    except (sqlite3.Error, MemoryError) as error:
        raise cannot_read(journal, error) from error
    except (msgspec.ValidationError, ArithmeticError, ValueError, TypeError, AttributeError) as error:
        raise damaged(journal, f"a row that the report reads: {error}") from error


def _report(db: sqlite3.Connection, trunk_git: Path) -> Report:
    run = db.execute("SELECT *, (SELECT at FROM events ORDER BY seq DESC LIMIT 1) AS last_at FROM runs").fetchone()
    running = 0 if run["ended"] or not run["epoch_at"] else max(0, run["last_at"] - run["epoch_at"])
    wall_s = (run["worked"] + running) / 1e6
    hours = wall_s / HOUR_S
    tokens = run["input_tokens"] + run["output_tokens"]
    states = dict(db.execute("SELECT state, count(*) FROM landings WHERE state IS NOT NULL GROUP BY state"))
    merged, conflicts = states.get("merged", 0) + states.get("resolved", 0), states.get("conflicted", 0)
    landed, unchanged = db.execute(LANDED).fetchone()
    checks = run["checks_passed"] + run["checks_failed"]
    [red] = db.execute("SELECT avg(NOT passed) FROM greens WHERE purpose = 'snapshot'").fetchone()
    [clean] = db.execute(_CLEAN).fetchone()
    base, found = db.execute(_BASE).fetchone(), db.execute(_ENVIRONMENT).fetchone()
    roles = tuple(RoleReport(*row) for row in db.execute(_ROLES))
    files = _files(db, trunk_git, CommitId(run["trunk"]))
    [contention] = db.execute("SELECT avg(contention) FROM samples WHERE building OR gate_waiting").fetchone()
    [locked] = db.execute("SELECT coalesce(sum(index_locked), 0) FROM tool_use").fetchone()
    return Report(
        run=run["id"],
        state=run["state"],
        left_alone=run["left_alone"],
        wall_s=wall_s,
        landed=landed,
        unchanged=unchanged,
        failed=run["failed"],
        landed_per_hour=_share(landed, hours),
        tokens=tokens,
        tokens_per_hour=_share(tokens, hours),
        usd=run["usd"],
        usd_per_hour=None if run["usd"] is None else _share(run["usd"], hours),
        wasted_tokens=sum(role.wasted for role in roles),
        conflicts=conflicts,
        conflict_rate=_share(conflicts, merged + conflicts),
        base_passed=None if base is None else bool(base[0]),
        environment=None if found is None else msgspec.json.decode(found[0], type=Environment),
        checks=checks,
        clean_checks=clean,
        error_rate=red,
        contention=contention,
        load=_load(db, run["last_at"]),
        index_lock_failures=locked,
        time_s=_times(db, run["last_at"]),
        hottest=tuple(file for file in files if file.conflicts)[:LISTED],
        large=tuple(file for file in files if (file.size or 0) >= LARGE and file.tasks >= MANY)[:LISTED],
        roles=roles,
        subtrees=_subtrees(db),
        heat=_heat(db),
        slowest=tuple(StepReport(*row) for row in db.execute(_SLOWEST)),
        failures=tuple(FailureReport(**dict(row)) for row in db.execute(_FAILURES, (LISTED,))),
        prompts=tuple(PromptReport(**dict(row)) for row in db.execute(_PROMPTS)),
        notes=_notes(db),
        changes=tuple(
            ChangeReport(task, title, how, _short(text)) for task, title, how, text in db.execute(_CHANGES, (CHANGES,))
        ),
        dependencies=tuple(DependencyReport(*row) for row in db.execute(_DEPENDENCIES)),
        claims=tuple(ClaimReport(*row) for row in db.execute(_CLAIMS)),
    )


def _load(db: sqlite3.Connection, last_at: int) -> LoadReport:
    measured = number(db, "PRAGMA user_version") >= STARVED_SINCE
    starved, others = db.execute(_STARVED).fetchone() if measured else (None, None)
    limits = limited = 0
    fewest: int | None = None
    lowered_at, now, why = 0, math.inf, ""
    for at, workers, reason in db.execute(_LIMITS):
        if now < math.inf:
            limited += at - lowered_at
        before, now, lowered_at = now, math.inf if workers is None else workers, at
        if now < before:
            limits, fewest, why = limits + 1, workers if fewest is None else min(fewest, workers), reason
    if now < math.inf:
        limited += last_at - lowered_at
    return LoadReport(starved or 0.0, others or 0.0, limits, fewest, limited / 1e6, why)


def _notes(db: sqlite3.Connection) -> tuple[NoteReport, ...]:
    """The newest notes to the person, oldest first, with their answers."""
    answers = {note: None if taken_back else _short(answer) for note, answer, taken_back in db.execute(_ANSWERS)}
    notes = reversed(db.execute(_NOTES, (NOTES,)).fetchall())
    return tuple(
        NoteReport(
            number,
            path,
            kind,
            _short(text),
            msgspec.json.decode(options or "[]", type=tuple[str, ...]),
            answers.get(number),
        )
        for number, path, kind, text, options in notes
    )


def _short(text: str) -> str:
    """A text of an event, or that it is too long to stand there."""
    return "(a long text: see `swarm-tui export`)" if text.startswith("blob:") else text


def _share(value: float, of: float) -> float | None:
    return value / of if of else None


def _files(db: sqlite3.Connection, trunk_git: Path, trunk: CommitId) -> list[FileReport]:
    """All files that had a conflict or that many tasks changed, those with the most conflicts first."""
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
    sizes = file_sizes(trunk_git, trunk, paths)
    found = [FileReport(path, conflicts[path], *touched.get(path, (0, 0)), sizes.get(path)) for path in paths]
    return sorted(found, key=lambda file: (-file.conflicts, -file.landings, file.path))


def _subtrees(db: sqlite3.Connection) -> tuple[SubtreeReport, ...]:
    """A report for each planner, that with the most tokens first."""
    tries = {planner: (landed, hit) for planner, landed, hit in db.execute(_TRIES)}
    uses = {planner: use for planner, *use in db.execute(_USES)}
    agents = db.execute("SELECT id, parent, role, path, tokens, usd FROM agents").fetchall()
    spent: dict[str, tuple[int, float | None]] = {}
    found = []
    for id, parent, role, path, tokens, usd in sorted(agents, key=lambda agent: -agent["path"].count("/")):
        in_all = _sum(spent.pop(id, (0, 0.0)), (tokens, usd))
        if parent is not None:
            spent[parent] = _sum(spent.get(parent, (0, 0.0)), in_all)
        if role == "planner":
            landed, hit = tries.get(id, (0, 0))
            rest = (landed, hit, _share(hit, landed + hit), *uses.get(id, ()))
            found.append(SubtreeReport(path, *in_all, *rest))
    return tuple(sorted(found, key=lambda part: (-part.tokens, part.path)))


def _sum(one: tuple[int, float | None], other: tuple[int, float | None]) -> tuple[int, float | None]:
    usd = None if one[1] is None or other[1] is None else one[1] + other[1]
    return one[0] + other[0], usd


def _heat(db: sqlite3.Connection) -> tuple[HeatReport, ...]:
    """Conflicts by planner and folder; folders have at most two levels."""
    heat: Counter[tuple[str, str]] = Counter()
    for planner, path, times in db.execute(_COLLISIONS):
        heat[planner, "/".join(path.split("/")[:-1][:2]) or "."] += times
    hottest = sorted(heat.items(), key=lambda item: (-item[1], item[0]))
    return tuple(HeatReport(*where, conflicts) for where, conflicts in hottest)


def _times(db: sqlite3.Connection, last_at: int) -> dict[str, float]:
    """How the agents spent their time, without the time between steps."""
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


_ROLES = """
SELECT role, count(*), sum(tokens), CASE WHEN count(*) = count(usd) THEN sum(usd) END,
  sum(CASE WHEN t.ended IS NOT NULL AND t.commit_oid IS NULL OR t.agent <> a.id AND a.role <> 'resolver'
      THEN tokens ELSE 0 END)
FROM agents a LEFT JOIN tasks t ON t.id = a.task GROUP BY role ORDER BY sum(tokens) DESC, role"""
_TRIES = """
SELECT t.planner, sum(l.state IN ('merged', 'resolved')), sum(l.state = 'conflicted')
FROM landings l JOIN tasks t ON t.id = l.task WHERE l.state IS NOT NULL GROUP BY t.planner"""
_USES = """
SELECT parent, max(memory), avg(cpu),
  min(100.0, 100.0 * (sum(gate_s) + sum(lock_s)) / nullif(sum(gate_s) + sum(build_s), 0))
FROM (
  SELECT a.parent, sum(s.memory) AS memory, sum(s.cpu) AS cpu, sum(s.gate_s) AS gate_s, sum(s.lock_s) AS lock_s,
    sum(s.build_s) AS build_s
  FROM agent_samples s JOIN agents a ON a.id = s.agent WHERE a.parent IS NOT NULL GROUP BY a.parent, s.seq
) GROUP BY parent"""
_COLLISIONS = """
SELECT coalesce(p.path, t.planner), value, count(*)
FROM landings l JOIN json_each(l.conflicts) JOIN tasks t ON t.id = l.task LEFT JOIN agents p ON p.id = t.planner
WHERE l.state = 'conflicted' GROUP BY 1, 2"""
_DEPENDENCIES = """
SELECT j.value, coalesce(t.title, e.task, ''), coalesce(json_extract(e.body, '$.landing.commit'), '')
FROM events e JOIN json_each(e.body, '$.landing.dependencies') j LEFT JOIN tasks t ON t.id = e.task
WHERE e.kind = 'landing_finished' ORDER BY e.seq"""
_CLAIMS = """
SELECT coalesce(a.path, e.agent, ''), j.value
FROM events e JOIN json_each(e.body, '$.handoff.facts.doubts') j LEFT JOIN agents a ON a.id = e.agent
WHERE e.kind = 'handed_off' ORDER BY e.seq"""
_SLOWEST = """
SELECT coalesce(a.path, ''), s.tool, coalesce(c.target, ''), s.wall_s
FROM slow_steps s LEFT JOIN agents a ON a.id = s.agent
LEFT JOIN tool_calls c ON c.agent = s.agent AND c.id = s.call AND s.call <> ''
ORDER BY s.wall_s DESC, s.seq"""
_FAILURES = """
SELECT tool, error, sum(times) AS times, count(*) AS agents FROM failures
GROUP BY tool, error ORDER BY times DESC, tool, error LIMIT ?"""
"""Failures of tools and of commands, the most frequent first."""
_CHANGES = """
SELECT id, title, 'held', '' FROM tasks WHERE state = 'held'
UNION ALL SELECT * FROM (
  SELECT task, coalesce(title, ''), CASE
      WHEN e.kind = 'task_amended' THEN (SELECT group_concat(value, ', ') FROM json_each(e.body, '$.changed'))
      WHEN json_extract(e.body, '$.taken_back') THEN 'taken back' ELSE 'told' END,
    coalesce(json_extract(e.body, '$.text'), '')
  FROM events e LEFT JOIN tasks t ON t.id = e.task
  WHERE e.kind IN ('task_amended', 'task_directed') ORDER BY seq DESC LIMIT ?)"""
_NOTES = """
SELECT json_extract(body, '$.note.number'), coalesce(path, ''), json_extract(body, '$.note.kind'),
  json_extract(body, '$.note.text'), json_extract(body, '$.note.options')
FROM events e LEFT JOIN agents a ON a.id = e.agent
WHERE kind = 'note_made' AND json_extract(body, '$.note.to_agent') IS NULL ORDER BY seq DESC LIMIT ?"""
_ANSWERS = """
SELECT json_extract(body, '$.note'), coalesce(json_extract(body, '$.answer'), ''),
  coalesce(json_extract(body, '$.taken_back'), 0)
FROM events WHERE kind = 'note_answered' ORDER BY seq"""
_PROMPTS = """
SELECT prompt, sum(calls) AS calls, sum(u.input_tokens) AS input, sum(u.cached_tokens) AS cached,
  sum(u.output_tokens) AS output, CASE WHEN sum(calls) = sum(priced) THEN sum(u.usd) END AS usd,
  count(DISTINCT u.agent) AS agents, count(DISTINCT CASE WHEN a.state = 'failed' THEN a.id END) AS failed,
  count(DISTINCT nullif(u.task, '')) AS tasks,
  count(DISTINCT CASE WHEN t.commit_oid IS NOT NULL AND t.agent = u.agent THEN t.id END) AS landed
FROM prompt_use u LEFT JOIN agents a ON a.id = u.agent LEFT JOIN tasks t ON t.id = u.task
GROUP BY prompt ORDER BY prompt"""
"""All versions of all prompts that were used, so that versions can be compared."""
