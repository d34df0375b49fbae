"""Notices what no single agent can: tasks that land nothing, changes outside a scope, one failure of many agents.

It tells the nearest planner that can act on it.
"""

from collections.abc import Callable, Iterator

from engine.agents.markdown import bullets
from engine.domain import events as e
from engine.domain import types as t
from engine.domain.events import Draft, Event
from engine.domain.failure_signature import failure_in
from engine.policy.pathologies import BARREN_LIMITED, BARREN_NUDGED, Symptom, barren_in_a_row, found
from engine.policy.scope import claims, strays
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder

SHARED_BY = 4
"""Agents that must meet a failure within an hour before a planner is told."""


class PathologyMonitor:
    """Notes what events show; `report` records what follows. All counts are in the snapshot, so they survive a restart.

    `look_again` is called when there is something to report and no other reaction has the swarm look.
    """

    def __init__(self, run: RunRecorder, look_again: Callable[[], None]) -> None:
        self._run = run
        self._look_again = look_again
        self._met: list[tuple[str, t.AgentId]] = []
        self._drafts: list[Draft] = []

    def tool_finished(self, event: Event, body: e.ToolFinished) -> None:
        """Note the failure in a command's output, if there is one."""
        if body.tool == "shell" and event.agent and (line := failure_in(body.answer)):
            self._met.append((line, event.agent))
            self._look_again()

    def landing_finished(self, event: Event, body: e.LandingFinished) -> None:
        """Note conflicts, and changed paths outside the task's scope."""
        landing = body.landing
        if landing.state is t.LandingState.CONFLICTED:
            self._met += ((f"a conflict in {path}", landing.agent) for path in landing.conflicts)
        elif landing.commit is not None:
            self._note_strays(landing.agent, landing.task, landing.paths)

    def task_ended(self, event: Event, body: e.TaskEnded) -> None:
        """Note a task that landed nothing."""
        if event.task and body.state in (t.TaskState.FAILED, t.TaskState.UNCHANGED):
            self._note_barren(event.task)

    def report(self) -> None:
        """Record what was found since the last call."""
        met, self._met = self._met, []
        for line, agent in met:
            self._note_failure(line, agent)
        drafts, self._drafts = self._drafts, []
        if drafts:
            self._run.record(*drafts)

    # --- many agents, one failure ----------------------------------------------------------------------------

    def _note_failure(self, line: str, agent: t.AgentId) -> None:
        snapshot, since = self._run.snapshot, self._run.clock.now() - t.HOUR
        if snapshot.failures.get(line, {}).get(agent, since) > since:
            return
        self._run.record(Draft(e.FailureNoted(line), agent))
        agents = list(snapshot.failures[line])
        if len(agents) < SHARED_BY or snapshot.failures_told.get(line, since) > since:
            return
        if (planner := self._above_all(agents)) is not None:
            self._drafts.append(Draft(e.FailureShared(line, len(agents)), planner))
            detail = f"{len(agents)} agents: {line}"[:1_000]
            finding = Symptom(planner, t.Pathology.PILES_UP, 1, t.Remedy.TOLD, detail)
            self._tell(planner, finding, "notice_piling", agents=len(agents), failure=line)
            self._run.record(*self._drafts)
            self._drafts = []

    def _above_all(self, agents: list[t.AgentId]) -> t.AgentId | None:
        """The nearest planner above all of these agents that can still get messages."""
        snapshot = self._run.snapshot
        agents = [agent for agent in agents if agent in snapshot.agents]
        shared = set.intersection(*({above.id for above in snapshot.ancestors(agent)} for agent in agents))
        nearest = (above for above in snapshot.ancestors(agents[0]) if above.id in shared)
        return next((above.id for above in nearest if self._gets_messages(above)), None)

    # --- outside the scope -----------------------------------------------------------------------------------

    def _note_strays(self, agent: t.AgentId, task_id: t.TaskId, paths: tuple[str, ...]) -> None:
        snapshot = self._run.snapshot
        task = snapshot.tasks[task_id]
        outside = strays(task.spec.scope, paths)
        if not outside:
            return
        detail = f"{task.spec.title}: {', '.join(outside[:20])}"[:1_000]
        self._drafts.append(Symptom(agent, t.Pathology.LEAVES_SCOPE, 1, t.Remedy.TOLD, detail).draft)
        planner = snapshot.agents[task.planner]
        if t.Pathology.LEAVES_SCOPE in snapshot.pathologies.get(planner.id, {}):  # it has been told of this slice
            return
        foreign = tuple(path for path in outside if not claims(planner.scope, path))
        for other in self._slices_beside(planner):
            theirs = [path for path in foreign if claims(other.scope, path)]
            decides = self._above_all([planner.id, other.id]) if theirs else None
            if decides is not None:
                finding = Symptom(planner.id, t.Pathology.LEAVES_SCOPE, 1, t.Remedy.TOLD, detail)
                about = {"task": task.spec.title, "slice": planner.title, "other": other.title}
                self._tell(decides, finding, "notice_scope", paths=bullets(theirs[:20]), **about)
                return

    def _slices_beside(self, planner: t.Agent) -> Iterator[t.Agent]:
        """The slices that are neither around this planner's nor within it, while their planners are at work."""
        snapshot = self._run.snapshot
        around = {above.id for above in snapshot.ancestors(planner.id)}
        for other in snapshot.agents.values():
            if other.role is not t.Role.PLANNER or other.ended or other.id in around:
                continue
            if planner.id not in {above.id for above in snapshot.ancestors(other.id)}:
                yield other

    # --- nothing lands ---------------------------------------------------------------------------------------

    def _note_barren(self, task: t.TaskId) -> None:
        snapshot = self._run.snapshot
        planner = snapshot.tasks[task].planner
        row = barren_in_a_row(snapshot, planner)
        if len(row) not in (BARREN_NUDGED, BARREN_LIMITED) or not self._gets_messages(snapshot.agents[planner]):
            return
        reasons = bullets(
            f"{task.spec.title}: {task.state}{f' ({task.reason[:200]})' if task.reason else ''}" for task in row
        )
        detail = f"{len(row)} tasks in a row landed nothing"
        finding = found(snapshot, planner, t.Pathology.NEVER_MERGES, detail, limit=len(row) == BARREN_LIMITED)
        self._tell(planner, finding, "notice_barren", count=len(row), tasks=reasons)

    # --- messages --------------------------------------------------------------------------------------------

    def _gets_messages(self, agent: t.Agent) -> bool:
        return agent.role is t.Role.PLANNER and not agent.gone

    def _tell(self, planner: t.AgentId, finding: Symptom, prompt: str, **values: object) -> None:
        """Record the finding and tell a planner about it."""
        text = self._run.prompts[prompt].render(**values)
        self._drafts += [finding.draft, message_to(self._run, planner, t.MessageSource.SYSTEM, text)]
