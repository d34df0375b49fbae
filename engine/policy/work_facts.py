"""What the record says of the work behind a handoff, and how that reads."""

from collections import Counter

from engine.domain import types as t
from engine.domain.handoff_facts import Facts, SuiteLog, SuiteRun
from engine.domain.landing_text import task_state_text
from engine.domain.spending import Spent, of_subtree, of_task
from engine.domain.units import counted, duration_text
from engine.policy.claims import doubts
from engine.state.retired import added
from engine.state.snapshot import Snapshot


def task_facts(
    s: Snapshot, task: t.Task, text: t.HandoffText, now: t.Micros, landing: t.Landing | None, *, by_engine: bool
) -> Facts:
    """The facts of a task that ends, over all of its attempts."""
    agents = [agent for id in s.children.get(task.planner, ()) if (agent := s.agents[id]).task == task.id]
    attempts = [agent for agent in agents if agent.role is not t.Role.RESOLVER]
    logs = [log for agent in agents if agent.attempt == task.attempt and (log := s.test_logs.get(agent.id)) is not None]
    log = SuiteLog(
        tuple(run for each in logs for run in each.runs),
        logs[-1].fresh if logs else 0,
        any(each.maybe for each in logs),
        all(each.whole for each in logs),
    )
    spent = s.spent.get(of_task(task.id), Spent())
    landed = landing if landing is not None and landing.commit is not None else None
    return Facts(
        wall_s=sum(_wall_s(agent, now) for agent in attempts),
        attempts=len(attempts),
        steps=spent.steps,
        tokens=spent.tokens,
        commits=int(landed is not None),
        files=len(landed.paths) if landed is not None else 0,
        added=landed.added if landed is not None else 0,
        removed=landed.removed if landed is not None else 0,
        onto_newer=landed is not None and landed.onto_newer,
        tests=(tests := _counting(log)),
        stale=log.stale,
        earlier=len(log.runs) - len(tests or ()),
        check=check_state(s, landed),
        dependencies=landed.dependencies if landed is not None else (),
        doubts=() if by_engine else doubts(_claims(text), log),
    )


def slice_facts(s: Snapshot, planner: t.Agent, text: t.HandoffText, now: t.Micros, *, by_engine: bool) -> Facts:
    """The facts of a planner that hands off, with everything below it."""
    planners = {agent.id for agent in s.subtree(planner.id) if agent.role is t.Role.PLANNER}
    tasks = [s.tasks[id] for each in planners for id in s.tasks_of.get(each, ())]
    stopped = t.TaskState.CANCELLED if by_engine else "open"  # the engine hands off only with all below it cancelled
    lands = {t.TaskState.LANDING} if by_engine else set[t.TaskState]()
    states = Counter(str(task.state if task.ended or task.state in lands else stopped) for task in tasks)
    retired = list(s.retired_in(planner.id))
    states.update(added(*({str(state): n for state, n in each.all_tasks().items()} for each in retired)))
    mine = {task.commit for task in tasks if task.commit is not None}
    commits = len(mine) + sum(each.commits for each in retired)
    landings = [landing for landing in s.landings if landing.commit in mine]
    known = len(landings) == commits  # a snapshot keeps only the newest landings
    lines = [(landing.added, landing.removed) for landing in landings]
    counted = known and all(added is not None for added, _ in lines)
    spent = s.spent.get(of_subtree(planner.path), Spent())
    log = s.test_logs.get(planner.id, SuiteLog())
    return Facts(
        wall_s=_wall_s(planner, now),
        steps=spent.steps,
        tokens=spent.tokens,
        commits=commits,
        files=len({path for landing in landings for path in landing.paths}) if known else None,
        added=sum(added or 0 for added, _ in lines) if counted else None,
        removed=sum(removed or 0 for _, removed in lines) if counted else None,
        tests=(tests := _counting(log)),
        stale=log.stale,
        earlier=len(log.runs) - len(tests or ()),
        tasks=dict(sorted(states.items())),
        check=check_state(s, None),
        dependencies=tuple(dict.fromkeys(name for landing in landings for name in landing.dependencies)),
        doubts=() if by_engine or not log.runs else doubts(_claims(text), log),
    )


def facts_lines(facts: Facts) -> list[tuple[str, str, str]]:
    """The facts in words: of each a label, the value, and what a program printed about it, if that matters."""
    lines = [("tasks", ", ".join(f"{number} {task_state_text(state)}" for state, number in facts.tasks.items()), "")]
    changed = [counted(facts.commits, "commit")] if facts.tasks and facts.commits else []
    changed += [counted(facts.files, "file")] if facts.files else []
    changed += [f"+{facts.added} -{facts.removed}"] if facts.commits and facts.added is not None else []
    lines.append(("changed", ", ".join(changed), ""))
    took = [duration_text(facts.wall_s), counted(facts.steps, "step"), f"{facts.tokens:,} tokens"]
    took += [f"{facts.attempts} attempts"] if facts.attempts > 1 else []
    lines.append(("took", ", ".join(took) if facts.steps else "", ""))
    runs = facts.tests or ()
    earlier = facts.earlier + max(0, len(runs) - 1)
    more = f"; {counted(earlier, 'earlier run')}" if earlier else ""
    if runs:
        run = runs[-1]
        when = f" after {duration_text(run.wall_s)}" if run.ended.startswith(("exit ", "killed")) else ""
        changed_after = "; files changed after it" if facts.stale else ""
        lines.append(("tests", f"`{run.command}`: {run.ended}{when}{changed_after}{more}", run.output))
    elif facts.stale:
        lines.append(("tests", f"none after the last change{more}", ""))
    elif facts.tests == () and not facts.tasks and facts.steps:
        lines.append(("tests", "none run", ""))
    lines.append(("check of trunk", facts.check, ""))
    lines.append(("new dependencies", ", ".join(facts.dependencies), ""))
    lines += [("claim", doubt, "") for doubt in facts.doubts]
    return [line for line in lines if line[1]]


def check_state(s: Snapshot, landed: t.Landing | None) -> str:
    """What is known of the project's check on trunk; `landed`: with a change that has just landed. Empty: no check."""
    last = s.last_check
    if not s.check_command:
        return ""
    if last is None:
        return "not checked yet"
    passes = "passes" if last.passed else "fails"
    if landed is None and last.commit == s.trunk:
        return passes
    return f"not checked yet; {'passed' if last.passed else 'failed'} before"


def checked_since(s: Snapshot, commit: t.CommitId) -> t.CheckMark | None:
    """The first check of trunk with a landed commit in it, if it is known."""
    places = {landing.commit: place for place, landing in enumerate(s.landings) if landing.commit is not None}
    landed = places.get(commit)
    later = (mark for mark in s.marks if landed is not None and places.get(mark.commit, -1) >= landed)
    return next(later, None)


def _claims(text: t.HandoffText) -> str:
    return "\n\n".join((text.summary, text.notes, text.concerns))


def _counting(log: SuiteLog) -> tuple[SuiteRun, ...] | None:
    """The run whose result counts. One before the last change counts only if it passed: others may fail on purpose."""
    last = log.runs[-1] if log.stale and log.runs[-1].passed and log.runs[-1].covers else log.last
    return (last,) if last is not None else () if log.runs or log.whole else None


def _wall_s(agent: t.Agent, now: t.Micros) -> float:
    return round(max(0, (agent.ended_at or now) - agent.spawned_at) / 1e6, 1)
