"""Starts planners and attempts at tasks, supervises them, and stops them when they are cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

from engine.agents.attempt import Attempt, MachineTrouble
from engine.agents.holds import holds
from engine.agents.planner import Planner
from engine.domain import events as e
from engine.domain.events import Draft, Event
from engine.domain.types import ROOT, Agent, AgentId, AgentState, Intent, Role, RunState, TaskId, TaskState
from engine.orchestrator.base_survey import about_the_base
from engine.policy.budget import may_start, reached
from engine.policy.run_end import Activity
from engine.policy.scheduling import next_task, resting
from engine.policy.task_order import WAITING
from engine.ports.protocols import Workspace
from engine.runtime.host import Host

Work = Callable[[], Coroutine[None, None, None]]


class Supervisor:
    """The agents that run in this process.

    `fail` gets the errors that end the run; `look_again` is called whenever an agent has stopped. Once `closing` is
    set, agents that stop record nothing: the next process continues them.
    """

    def __init__(self, host: Host, fail: Callable[[BaseException], None], look_again: Callable[[], None]) -> None:
        self.host = host
        self.snapshot = snapshot = host.snapshot
        self.closing = False
        self._fail = fail
        self._look_again = look_again
        self.running: dict[AgentId, asyncio.Task[None]] = {}
        self._attempts: dict[AgentId, Attempt] = {}
        self._queued = {id for id, task in snapshot.tasks.items() if task.state in WAITING}
        self._interrupted: dict[TaskId, None] = {}
        """Tasks whose attempts an earlier process began and this one has not continued yet, in order."""
        self._trouble = MachineTrouble()
        self._to_start = {id: None for id, agent in snapshot.agents.items() if agent.role is Role.PLANNER}
        """Planners that have work and do not run, in the order in which they start."""

    # --- what the swarm asks ---------------------------------------------------------------------------------

    @property
    def activity(self) -> Activity:
        """What this process still has to do."""
        return Activity({*self._queued, *self._interrupted}, bool(self._attempts))

    def next_start(self, now: int) -> int | None:
        """When the next backoff of a queued task ends; None if there is none."""
        return min((t for id in self._queued if (t := self.snapshot.tasks[id].not_before) > now), default=None)

    def workspace(self, agent: AgentId) -> Workspace | None:
        """The workspace of an agent that attempts a task now, if it has used one."""
        attempt = self._attempts.get(agent)
        return attempt.context.opened if attempt is not None and attempt.context is not None else None

    @property
    def running_agents(self) -> list[Agent]:
        """The agents that run in this process; some may have ended just now."""
        return [agent for id in self.running if (agent := self.snapshot.agents.get(id)) is not None]

    # --- reactions to events ---------------------------------------------------------------------------------

    def agent_spawned(self, event: Event, body: e.AgentSpawned) -> None:
        """Start a new planner with the next `start_all`."""
        if body.spawned.role is Role.PLANNER:
            self._to_start[body.spawned.id] = None

    def message_queued(self, event: Event, body: e.MessageQueued) -> None:
        """Start a planner that is done and gets a message."""
        self._wake(body.message.to_agent)

    def agent_changed(self, event: Event, body: e.AgentStateChanged) -> None:
        """Stop an agent that is cancelled."""
        if body.state is AgentState.CANCELLED:
            self._cancel(event.agent)

    def task_queued(self, event: Event, body: e.TaskQueued | e.TaskRequeued) -> None:
        """Start the task as soon as there is a worker slot."""
        assert event.task is not None
        self._queued.add(event.task)

    def task_started(self, event: Event, body: e.TaskStarted) -> None:
        """Take the task off the queue."""
        assert event.task is not None
        self._queued.discard(event.task)

    def attempt_continued(self, event: Event, body: e.AttemptContinued) -> None:
        """Continue the attempt as soon as there is a worker slot."""
        assert event.task is not None
        self._interrupted[event.task] = None

    def task_ended(self, event: Event, body: e.TaskEnded) -> None:
        """Stop the attempt of a cancelled task in this same step, so that it cannot do anything more."""
        assert event.task is not None
        if body.state in (TaskState.LANDED, TaskState.UNCHANGED):
            self._trouble.in_a_row = 0
        elif body.state == TaskState.CANCELLED:
            self._queued.discard(event.task)
            self._cancel(event.agent)

    def task_unwanted(self, event: Event, body: e.TaskUnwanted) -> None:
        """Stop the attempt; its landing ends first."""
        self._cancel(event.agent)

    # --- starting --------------------------------------------------------------------------------------------

    def start_all(self) -> None:
        """Start new planners, hold tasks, and start as many attempts as there are worker slots."""
        self._start_planners()
        if drafts := holds(self.host, self._queued):
            self.host.record(*drafts)
        self._admit()

    def _cancel(self, agent: AgentId | None) -> None:
        if agent is not None and (task := self.running.get(agent)) is not None:
            task.cancel()

    def _start_planners(self) -> None:
        running = self.snapshot.state is RunState.RUNNING
        if self.snapshot.root is None and running and (intent := self.snapshot.intent) is not None:
            root = self._root(intent)
            self.host.record(Draft(e.AgentSpawned(root), None), *about_the_base(self.host, root.id))
        waiting, self._to_start = self._to_start, {}
        for id in reversed(waiting):
            if (agent := self.snapshot.agents.get(id)) is None:  # recovery ended its task, and it has left memory
                continue
            held = self.host.governor.limit == 0 or reached(self.snapshot, agent) is not None
            if agent.state is AgentState.STARTING and held:
                self._to_start[id] = None
            elif not agent.gone and (not agent.ended or self.snapshot.inboxes.get(id)):
                self._start(id, Planner(self.host, id).run, partial(self._wake, id))

    def _wake(self, id: AgentId, _cancelled: bool = False) -> None:
        """Start an agent with the next `start_all` if it is a planner that is done and has got a message."""
        agent = self.snapshot.agents.get(id)
        done = agent is not None and agent.role is Role.PLANNER and agent.state is AgentState.DONE
        if done and id not in self.running and self.snapshot.inboxes.get(id):
            self._to_start[id] = None

    def _root(self, intent: Intent) -> Agent:
        return Agent(
            id=AgentId(self.host.ids.new("a")),
            path=ROOT,
            parent=None,
            role=Role.PLANNER,
            model=self.snapshot.models[Role.PLANNER],
            title="root",
            intent=intent.version,
            epoch=self.snapshot.epoch,
            spawned_at=self.host.clock.now(),
        )

    def _admit(self) -> None:
        self._continue_attempts()
        while self._has_slot(working := self._working()):
            task = next_task(self.snapshot, self._queued, working, self.host.clock.now())
            alive = sum(not agent.ended for agent in self.running_agents)
            if task is None or alive >= self.host.settings.swarm.max_agents:
                return
            self._run_attempt(Attempt.begin(self.host, task, self._trouble))

    def _working(self) -> list[TaskId]:
        """The tasks that take a worker slot."""
        waiting = self.snapshot.waiting_landings
        return [attempt.task_id for attempt in self._attempts.values() if attempt.task_id not in waiting]

    def _has_slot(self, working: list[TaskId]) -> bool:
        """Whether one more worker may start. Resting workers load no machine, and may rest for days."""
        if len(working) >= self.snapshot.workers_limit:
            return False
        limit = self.host.governor.limit
        return len(working) < limit or 0 < limit > len(working) - resting(self.snapshot)

    def _continue_attempts(self) -> None:
        """Continue attempts of an earlier process while there are worker slots; they come before the queue."""
        for id in list(self._interrupted):
            task = self.snapshot.tasks[id]
            agent = self.snapshot.agents[task.agent] if task.agent is not None else None
            if task.ended or agent is None:
                del self._interrupted[id]
                if agent is not None and task.state is TaskState.CANCELLED:
                    Attempt(self.host, id, agent.id, self._trouble).settle_cancelled()
            elif (
                self._has_slot(self._working())
                and not self.snapshot.is_paused(agent.id)
                and may_start(self.snapshot, task)
            ):
                del self._interrupted[id]
                self._run_attempt(Attempt.resume(self.host, task, self._trouble))

    def _run_attempt(self, attempt: Attempt) -> None:
        self._attempts[attempt.agent] = attempt
        self._start(attempt.agent, attempt.run, partial(self._attempt_ended, attempt))

    def _attempt_ended(self, attempt: Attempt, cancelled: bool) -> None:
        del self._attempts[attempt.agent]
        if cancelled and not self.closing:
            attempt.settle_cancelled()

    def _start(self, agent: AgentId, work: Work, ended: Callable[[bool], None]) -> None:
        """Run an agent's work as a task. `ended` is called with whether it was cancelled, even if it never began."""
        task = asyncio.create_task(self.guarded(work), name=str(self.snapshot.agents[agent].path))
        self.running[agent] = task

        def on_end(task: asyncio.Task[None]) -> None:
            self.running.pop(agent, None)
            ended(task.cancelled())
            self._look_again()

        task.add_done_callback(on_end)

    async def guarded(self, work: Work) -> None:
        """Run some work; an error in it ends the run instead of being lost with the task."""
        try:
            await work()
        except Exception as error:
            self._fail(error)
