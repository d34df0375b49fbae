"""The running swarm: owns the state, gives agents what they need, takes commands, and ends the run."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engine.agents.host import BudgetSpent
from engine.agents.prompts import Prompts
from engine.agents.reconciler import Reconciler
from engine.domain import commands as c
from engine.domain import events as e
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ErrorKind, ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.events import Draft, Event
from engine.domain.masking import StreamMask
from engine.domain.settings import Settings
from engine.domain.types import (
    ROOT,
    AgentId,
    AgentState,
    CommitId,
    ModelName,
    Role,
    RunState,
    TaskKind,
    Usage,
)
from engine.domain.units import span_s
from engine.orchestrator import recovery
from engine.orchestrator.budget_enforcer import BudgetWatch
from engine.orchestrator.command_handler import drafts_for
from engine.orchestrator.freezer import Freezer
from engine.orchestrator.pathology_monitor import Watch
from engine.orchestrator.supervisor import Supervisor
from engine.policy import completion
from engine.policy.completion import Outcome, Verdict
from engine.ports.world import World
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from engine.tools.toolbox import Toolbox

AGENTS_SAMPLED_S = 15.0
"""Seconds at least between two records of what each agent uses."""
AGENTS_PER_S = 4.0
"""Agents a second, on average, whose use is recorded at most: a week with hundreds of them stays small."""
SAMPLE_S = 5.0
"""Seconds between two resource samples."""
PUBLISH_S = 2.0
"""Seconds at least between two writes of trunk and green to the person's repo."""
OUTAGE = 0.5
OUTAGE_MOST = 5.0
"""Before a provider that stopped answering is asked again, in longest waits of a call: the first, and the last."""
DRAIN_S = 10.0
"""Seconds that agents are given to reach a safe point when the run stops."""


@dataclass(frozen=True)
class Watched:
    """The agent that somebody looks at, and where its live text goes, masked."""

    agent: AgentId
    on_text: Callable[[str], None]
    masked: StreamMask

    def hear(self, text: str) -> None:
        if shown := self.masked.feed(text):
            self.on_text(shown)

    def pause(self, event: Event) -> None:
        """Show what was held back, once a turn or a command has ended."""
        if isinstance(event.body, e.TurnTaken | e.ToolFinished) and (rest := self.masked.rest()):
            self.on_text(rest)


class Swarm:
    """One run in one process. Implements agents.host.Host; all of it lives on one event loop.

    `run` may be called once. `submit` takes commands meanwhile; `on_change` tells of every event, after it is
    folded into `snapshot`.
    """

    def __init__(
        self, world: World, settings: Settings, prompts: Prompts, toolbox: Toolbox, snapshot: Snapshot, epoch: int
    ) -> None:
        self.settings, self.prompts, self.toolbox, self.snapshot = settings, prompts, toolbox, snapshot
        self.clock, self.ids, self.journal, self.trunk = world.clock, world.ids, world.journal, world.trunk
        self.workspaces, self.models, self.meters = world.workspaces, world.models, world.meters
        self.gate, self.checker = world.gate, world.checker
        self.mask = world.mask
        self.reconciler = Reconciler(self)
        self.watch_over = Watch(self)
        self.governor = world.governor
        self.epoch = epoch
        self._after_crash = not snapshot.ended
        self._seq = snapshot.seq
        self._sound = True
        self._listeners: list[Callable[[Event], None]] = []
        self._watched: Watched | None = None
        self._mail: dict[AgentId, asyncio.Event] = {}
        self._go_on = asyncio.Event()
        self._stirred = asyncio.Event()
        self._check_wanted = asyncio.Event()
        self._publish_wanted = asyncio.Event()
        self._landings_unchecked = 0
        self.budget = BudgetWatch(self)
        self.supervisor = Supervisor(self, world.journal, world.governor, self.fail, self._stirred.set)
        self.freezer = Freezer(self, snapshot, self.gate, self.supervisor.stop_clock)
        self.freezable = self.freezer.freezable
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None

    # --- the one way in which state changes ------------------------------------------------------------------

    def record(self, *drafts: Draft, cause: int | None = None) -> int:
        now = self.clock.now()
        events: list[Event] = []
        try:
            for draft in drafts:
                body = self.mask.value(draft.body)
                event = Event(self._seq + 1, now, self.epoch, body, draft.agent, draft.task, cause)
                fold(self.snapshot, event)
                self._seq += 1
                events.append(event)
        except BaseException:
            self._sound = False  # half of it may be in the snapshot, which is not to be kept
            raise
        finally:  # an event that the fold refuses is a fault; what was folded before it must still be on record
            self.journal.append(events)
        if self._sound:
            self.journal.checkpoint(self.snapshot)
        seq = self._seq
        for event in events:
            self._react(event)
            for listener in self._listeners:
                listener(event)
        return seq

    async def durable(self, seq: int) -> None:
        await self.journal.durable(seq)

    def _react(self, event: Event) -> None:
        """Note what an event calls for; `_go` does it."""
        self.supervisor.react(event)
        self.watch_over.note(event)
        if self.watch_over.has_something_to_say:
            self._stirred.set()
        if self._watched is not None and self._watched.agent == event.agent:
            self._watched.pause(event)
        match event.body:
            case e.MessageQueued(message=message):
                if (mail := self._mail.get(message.to_agent)) is not None:
                    mail.set()
            case e.LandingFinished(landing=done) if done.commit is not None:
                self._landings_unchecked += 1
                self._publish_wanted.set()
                if self._landings_unchecked >= self.settings.repo.check_landings:
                    self._check_wanted.set()
            case e.GreenMoved():
                self._publish_wanted.set()
            case e.TaskEnded() if event.task and self.snapshot.tasks[event.task].kind is TaskKind.FIXUP:
                self._check_wanted.set()
            case e.AgentSpawned(spawned=agent) if agent.parent is None:
                self._check_wanted.set()  # where trunk stands at the start
            case e.SubtreeResumed() | e.RunStateChanged(state=RunState.RUNNING):
                self._go_on.set()
                self._go_on.clear()
            case e.AgentStateChanged(state=AgentState.THINKING):
                return
            case e.TurnTaken() | e.ToolStarted() | e.ToolFinished() | e.Sampled() | e.AgentsSampled():
                return
        self._stirred.set()

    # --- what agents need (agents.host.Host) -----------------------------------------------------------------

    async def safe_point(self, agent: AgentId) -> None:
        if not self._held(agent):
            return
        run_on = self.supervisor.stop_clock(agent)
        self.record(Draft(e.AgentStateChanged(AgentState.PAUSED), agent, self.snapshot.agents[agent].task))
        while self._held(agent):
            await self._go_on.wait()
        run_on()

    async def thawed(self, agent: AgentId) -> None:
        if self.snapshot.is_frozen(agent):
            before = self.snapshot.agents[agent]
            await self.safe_point(agent)
            self.record(Draft(e.AgentStateChanged(AgentState.ACTING, before.doing), agent, before.task))

    def _held(self, agent: AgentId) -> bool:
        if self._outcome is not None or self.snapshot.is_paused(agent):
            return True
        return self.snapshot.agents[agent].role is Role.PLANNER and self.budget.holds(agent)

    async def message_for(self, agent: AgentId) -> None:
        mail = self._mail.setdefault(agent, asyncio.Event())
        while not self.snapshot.inboxes.get(agent):
            mail.clear()
            await mail.wait()

    async def ask(self, agent: AgentId, request: Request) -> Turn:
        outages = 0
        while True:
            await self._may_ask(agent)
            model = self.snapshot.agents[agent].model  # after an outage perhaps another: a person's way out of it
            retrying = partial(self._asks_again, agent, model)
            try:
                return await self.models.ask(model, request, partial(self.show, agent), retrying)
            except ModelError as error:
                if error.kind is not ModelErrorKind.RETRYABLE:
                    raise
                if not self.snapshot.model_calls:
                    hint = "is its server reachable? `swarm-tui doctor` shows its address; then: swarm-tui resume"
                    raise SwarmError(ErrorKind.PROVIDER, error.message, hint, ExitStatus.NOT_GREEN) from error
                wait = min(OUTAGE_MOST, OUTAGE * 2**outages) * self.models.longest_wait(model)
                retrying(f"no answer: {error.message}", wait, error.usage)
            run_on = self.supervisor.stop_clock(agent)
            await self.clock.sleep(wait)
            run_on()
            outages += 1

    async def _may_ask(self, agent: AgentId) -> None:
        """Hold the agent while it is paused, and a planner while the budget has no call for it. Raises BudgetSpent."""
        await self.safe_point(agent)
        while refusal := self.budget.take(agent):
            if self.snapshot.agents[agent].role is not Role.PLANNER:
                raise BudgetSpent(refusal, self.budget.of_task_only(agent))
            await self.safe_point(agent)

    def _asks_again(self, agent: AgentId, model: ModelName, reason: str, seconds: float, spent: Usage) -> None:
        task = self.snapshot.agents[agent].task
        waits = e.AgentStateChanged(AgentState.THINKING, f"asks again in {seconds:.0f} s: {reason}")
        again = e.ModelCallRetried(model, reason, seconds, spent)
        self.record(Draft(again, agent, task), Draft(waits, agent, task))

    def show(self, agent: AgentId, text: str) -> None:
        if self._watched is not None and self._watched.agent == agent:
            self._watched.hear(text)

    # --- what the world may ask ------------------------------------------------------------------------------

    def on_change(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from now on, on the swarm's loop; it must not block."""
        self._listeners.append(listener)

    def watch(self, agent: AgentId | None, on_text: Callable[[str], None]) -> None:
        """Hand the live text and command output of one agent to `on_text`; of none for None."""
        self._watched = None if agent is None else Watched(agent, on_text, self.mask.stream())

    async def submit(self, command: c.Command) -> None:
        """Carry a command out; returns once it is on disk. Raises SwarmError when it cannot be done."""
        match command:
            case c.Stop(reason=reason):
                self.stop(Outcome(RunState.STOPPED, ExitStatus.STOPPED, reason))
                return
            case c.Cancel(path=path, reason=reason) if path == ROOT:
                self.stop(Outcome(RunState.STOPPED, ExitStatus.STOPPED, reason))
                return
            case _:
                if isinstance(command, c.SetModel):
                    await self.models.prepare([command.model])
                drafts = drafts_for(self, command)
                if drafts:
                    self.record(*drafts)
                    await self.freezer.settle()
        self._settle_pause()
        await self.durable(self._seq)

    async def diff(self, agent: AgentId) -> str:
        """The agent's change as it stands now, or as it landed; empty when there is none."""
        desk = self.supervisor.desk(agent)
        if desk is not None and desk.opened is not None:
            return self.mask.text(await desk.opened.diff())
        task_id = self.snapshot.agents[agent].task
        commit = self.snapshot.tasks[task_id].commit if task_id else None
        return self.mask.text(await self.trunk.diff(CommitId(f"{commit}^"), commit)) if commit else ""

    def stop(self, outcome: Outcome) -> None:
        """End this process's work on the run; the first outcome counts."""
        if self._outcome is None:
            self._outcome = outcome
            self._stirred.set()

    def fail(self, error: BaseException) -> None:
        """End the run because the program itself, or its provider, cannot go on; `run` raises the error."""
        if isinstance(error, ModelError):
            hint = "check the key and the model's name; `swarm-tui doctor` shows what is set"
            error = SwarmError(ErrorKind.PROVIDER, error.message, hint, ExitStatus.REFUSED)
        self._error = self._error or error
        status = error.status if isinstance(error, SwarmError) else ExitStatus.NOT_GREEN
        self.stop(Outcome(RunState.FAILED, status, str(error)))

    # --- the run ---------------------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Work until the run is finished, stopped or failed. Raises SwarmError when the program cannot go on."""
        helpers = [
            asyncio.create_task(self.supervisor.guarded(work), name=work.__name__)
            for work in (self._measure, self._reconcile, self._publish)
        ]
        try:
            await recovery.recover(self, self._after_crash)
            await self._go()
        except Exception as error:
            self.fail(error)
        finally:
            await self._end(helpers)
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    async def _go(self) -> None:
        while self._outcome is None:
            self.budget.look()
            self.watch_over.speak()
            self.supervisor.start_all()
            self._settle_pause()
            await self._conclude()
            self._conclude_spent()
            if self._outcome is None:
                await self._stirring()

    async def _stirring(self) -> None:
        """Wait for a reason to look again: an event that calls for something, or a backoff that has passed."""
        now = self.clock.now()
        later = self.supervisor.next_start(now)
        timeout = (later - now) / 1_000_000 if later is not None else None
        try:
            async with asyncio.timeout(timeout):
                await self._stirred.wait()
        except TimeoutError:
            return
        self._stirred.clear()

    def _settle_pause(self) -> None:
        """A pausing run is paused once nobody thinks or acts."""
        if self.snapshot.state is RunState.PAUSING and not any(
            agent.state in (AgentState.STARTING, AgentState.THINKING, AgentState.ACTING)
            for agent in self.snapshot.agents.values()
        ):
            self.record(Draft(e.RunStateChanged(RunState.PAUSED, self.snapshot.reason)))

    # --- the end ---------------------------------------------------------------------------------------------

    async def _conclude(self) -> None:
        """End the run once it is done and the last check has spoken."""
        if not completion.is_done(self.snapshot, self.supervisor.activity):
            return
        if (failed := completion.root_failed(self.snapshot)) is not None:
            self.stop(failed)
            return
        verdict = await self._last_verdict()
        self._landings_unchecked = 0
        if verdict not in (None, Verdict.REPAIRING) and completion.is_done(self.snapshot, self.supervisor.activity):
            self.stop(completion.finished(self.snapshot, verdict))

    def _conclude_spent(self) -> None:
        spent = completion.out_of_budget(
            self.snapshot, self.supervisor.activity, self.budget.grace, self.budget.overrun_s
        )
        if spent is not None:
            self.stop(spent)

    async def _last_verdict(self) -> Verdict | None:
        """Check trunk while the swarm still listens; None when the run is to end before the check has."""
        checking = asyncio.ensure_future(self.reconciler.reconcile(last=True))
        checking.add_done_callback(lambda _: self._stirred.set())
        try:
            while not checking.done() and self._outcome is None:
                await self._stirring()
                self.supervisor.start_all()
            return checking.result() if checking.done() else None
        finally:
            checking.cancel()
            await asyncio.gather(checking, return_exceptions=True)

    async def _end(self, helpers: list[asyncio.Task[None]]) -> None:
        """Let agents reach a safe point, then end them all, and write the last refs and the outcome."""
        self.supervisor.closing = True
        agents = list(self.supervisor.running.values())
        try:
            if agents and self._error is None and self._outcome is not None:
                await self._drain()
        finally:  # also when a second signal cuts the drain short
            for task in (*agents, *helpers):
                task.cancel()
            await asyncio.gather(*agents, *helpers, return_exceptions=True)
        if self._outcome is not None:
            await self.publish_now()
            o = self._outcome
            self.record(Draft(e.RunStateChanged(o.state, o.reason, int(o.status))))
            await self.durable(self._seq)

    async def _drain(self) -> None:
        """Wait until nobody thinks or acts, at most DRAIN_S."""
        active = (AgentState.STARTING, AgentState.THINKING, AgentState.ACTING)
        end = self.clock.monotonic() + DRAIN_S
        while self.clock.monotonic() < end:
            if not any(self.snapshot.agents[id].state in active for id in self.supervisor.running):
                return
            await self.clock.sleep(0.05)

    # --- beside the agents -----------------------------------------------------------------------------------

    async def _measure(self) -> None:
        due = 0.0
        while True:
            sample = await self.meters.sample()
            drafts = [Draft(e.Sampled(sample))]
            uses, now = self.meters.uses(), self.clock.monotonic()
            if now >= due and (uses or self.snapshot.uses):
                drafts.append(Draft(e.AgentsSampled(uses)))
                due = now + max(AGENTS_SAMPLED_S, len(uses) / AGENTS_PER_S)
            self.record(*drafts)
            if (change := self.governor.consider(sample)) is not None:
                self.record(Draft(e.LoadLimited(change)))
            self._stirred.set()
            await self.clock.sleep(SAMPLE_S)

    async def _reconcile(self) -> None:
        every = self.settings.repo.check_every
        while True:
            try:
                async with asyncio.timeout(span_s(every) if every else None):
                    await self._check_wanted.wait()
            except TimeoutError:
                pass
            self._check_wanted.clear()
            self._landings_unchecked = 0
            await self.reconciler.reconcile()

    async def _publish(self) -> None:
        while True:
            await self._publish_wanted.wait()
            self._publish_wanted.clear()
            await self.publish_now()
            await self.clock.sleep(PUBLISH_S)

    async def publish_now(self) -> None:
        """Bring trunk and green into the person's repo. Trouble with that repo is told and stops nothing."""
        try:
            left_alone = await self.trunk.publish()
        except SwarmError as error:
            left_alone = f"your repo was not brought up to date: {error.message}"
        if left_alone and left_alone != self.snapshot.left_alone:
            self.record(Draft(e.Warned(left_alone)))
        self.record(Draft(e.Published(self.snapshot.trunk, self.snapshot.green, left_alone)))
