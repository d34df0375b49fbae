"""Enforces the budget: reserves the worst case of each model call, marks limits, tells the agents concerned."""

import asyncio
import math
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.events import Draft, Event
from engine.domain.settings import LimitSettings
from engine.domain.spending import RUN, Mark, Part, Spent, of_role, parts_of
from engine.domain.types import Agent, AgentId, MessageSource, Role, TaskId, Usage
from engine.policy.budget import (
    BudgetStatus,
    budget_statuses,
    call_grace_s,
    grace_s,
    is_held,
    is_reached,
    limits_for,
    limits_of,
    mark_of,
    named,
    reached,
    task_budget_status,
)
from engine.policy.reservations import (
    GRACE_OUTPUT,
    LEAST_GRACE_OUTPUT,
    USEFUL_OUTPUT,
    Amount,
    Room,
    affordable_output,
    amount,
    fits_beside,
    kept_for_handoffs,
    only_waits,
    shortage,
    spent_amount,
    total,
)
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder


class Admission(Struct, frozen=True):
    """Whether a model call may start: with an answer of `output` tokens, not at all, or (neither) not yet.

    `last`: it is one of the agent's last, a limit is reached. `too_small`: the limit has no room for any call at all;
    `need` describes what the first one may cost.
    """

    output: int = 0
    last: bool = False
    refusal: str = ""
    too_small: bool = False
    need: str = ""


class BudgetEnforcer:
    """One for the swarm. `look` keeps the recorded marks up to date; `reserve` is called before every model call.

    When a limit is reached, each agent that runs in the limited part may make `grace_steps` more calls, as far as they
    fit into what is kept for them, so that it can hand off. An agent that starts later, or after a restart of the
    program, has none.
    """

    def __init__(self, run: RunRecorder) -> None:
        self._run = run
        self._ran_out_at: float | None = None
        self.grace: dict[AgentId, int] = {}
        """Model calls that agents may still make in a part whose limit is reached."""
        self.released = asyncio.Event()
        """Set and cleared whenever a call has ended: what it reserved is free again."""
        self._in_flight: dict[AgentId, Amount] = {}
        self._unrecorded: dict[AgentId, Amount] = {}
        """What complete calls have used whose turn is not recorded yet."""
        self._handoffs: dict[AgentId, Amount] = {}
        """The worst case of one more call of each agent, with a short answer."""
        self._parts: dict[AgentId, frozenset[Part]] = {}
        """The parts that each agent with an entry in one of the above counts towards."""
        self._warned_of_prices = False
        run.on_event(self._recorded)

    def look(self) -> None:
        """Compare what is spent with the limits, and record what has changed."""
        settings, marks = self._run.settings, self._run.snapshot.budget_marks
        now = {status.part: status for status in budget_statuses(settings, self._run.snapshot, self._run.clock.now())}
        for status in now.values():
            self._mark(status, mark_of(self._run.snapshot, status))
        for part in [part for part, old in marks.items() if part not in now and not part.startswith("task ")]:
            self._mark(BudgetStatus(part, 0.0, "no limit"), Mark.ROOM)
        if is_reached(self._run.snapshot, RUN):
            self._ran_out_at = self._run.clock.monotonic() if self._ran_out_at is None else self._ran_out_at
        else:
            self._ran_out_at = None
        self._watch_prices()

    def reserve(self, agent: AgentId, wanted: int, most: Callable[[int], Usage], *, patient: bool = True) -> Admission:
        """Reserve the worst case of an agent's next call, whose answer should have up to `wanted` tokens.

        `most` is the worst case of the call by the length of its answer. `patient`: wait for calls under way if they
        have reserved what is left, instead of ending the part's work. `release` ends the reservation.
        """
        self.look()
        me = self._run.snapshot.agents[agent]
        if me.task is not None:
            self._look_at_task(me, me.task)
        ceiling = self._run.settings.budget.ceiling_price

        def cost(output: int) -> Amount:
            return amount(most(output), ceiling)

        at = reached(self._run.snapshot, me)
        if at is None:
            self.grace.pop(agent, None)
        elif self.grace.get(agent, 0) <= 0:
            return Admission(refusal=self._used_up(at))
        limits = limits_for(self._run.settings, me)
        short = min(wanted, GRACE_OUTPUT)
        self._handoffs[agent] = cost(short)
        longest, least = (wanted, USEFUL_OUTPUT) if at is None else (short, LEAST_GRACE_OUTPUT)
        least, output = min(least, longest), longest
        for part, limit in limits.items():
            room = self._room(part, limit, agent)
            if at is None:
                if fits_beside(room, cost(longest)):
                    continue  # it fits whatever is kept for handoffs, which takes long to compute with many agents
                room = replace(room, kept=self._kept(part, limit))
            may = affordable_output(room, cost, longest, least)
            if not may and (patient or at is not None) and only_waits(room, cost(least)):
                return Admission()
            if not may:
                return self._short(me, part, limit, room, cost(least), wanted, most)
            output = min(output, may)
        if limits:
            self._in_flight[agent] = cost(output)
        if at is not None:
            self.grace[agent] -= 1
        return Admission(output, last=at is not None)

    def renew_grace(self, agent: AgentId) -> None:
        """Let an agent of an earlier process hand off although its budget is used up, as far as there is room."""
        self.grace.setdefault(agent, self._run.settings.budget.grace_steps)

    def allow_one_more(self, agent: AgentId) -> None:
        """Let an agent that used one of its last calls in vain make another one, as far as there is room."""
        if agent in self.grace:
            self.grace[agent] += 1

    def give_back(self, agent: AgentId) -> None:
        """Undo the reservation of one of an agent's last calls, which is not made."""
        self.grace[agent] += 1
        self.release(agent)

    def streamed(self, agent: AgentId, usage: Usage) -> bool:
        """Count what has arrived of an answer. Returns whether the call has used more than it may, by itself."""
        now = amount(usage, self._run.settings.budget.ceiling_price)
        reserved = self._in_flight.get(agent)
        if reserved is None or (now.usd <= reserved.usd and now.tokens <= reserved.tokens):
            return False
        self._in_flight[agent] = Amount(max(now.usd, reserved.usd), max(now.tokens, reserved.tokens), 1)
        return not self.has_room(agent)

    def has_room(self, agent: AgentId) -> bool:
        """Whether an agent's call under way, or its next try, still fits with all others that are under way."""
        need, me = self._in_flight.get(agent, Amount()), self._run.snapshot.agents[agent]
        limits = limits_for(self._run.settings, me).items()
        rooms = (self._room(part, limit, agent) for part, limit in limits)
        return all(not shortage(room.limits, room.spent + room.in_flight, need) for room in rooms)

    def completed(self, agent: AgentId, usage: Usage) -> None:
        """An agent's call is complete: its use counts, although its turn is recorded only later."""
        used = amount(usage, self._run.settings.budget.ceiling_price)
        self._unrecorded[agent] = self._unrecorded.get(agent, Amount()) + used

    def release(self, agent: AgentId) -> None:
        """End the reservation of an agent's call, which has ended."""
        self._in_flight.pop(agent, None)
        self.released.set()
        self.released.clear()

    def holds(self, agent: AgentId) -> bool:
        """Whether an agent may make no model call now."""
        return is_held(self._run.snapshot, self._run.snapshot.agents[agent], self.grace)

    @property
    def overrun_s(self) -> float:
        """Seconds since the limit of the whole run was reached; 0 if it is not."""
        return 0.0 if self._ran_out_at is None else self._run.clock.monotonic() - self._ran_out_at

    @property
    def most_overrun_s(self) -> float:
        """Seconds after which the run ends once its limit is reached."""
        return grace_s(limits_of(self._run.settings)[RUN])

    def call_grace_s(self, part: Part) -> float:
        """Seconds for which calls under way in a part may go on once its limit is reached."""
        return call_grace_s(limits_of(self._run.settings).get(part, LimitSettings()))

    def of_task_only(self, agent: AgentId) -> bool:
        """Whether the limit that stops an agent is its task's own, not that of a larger part."""
        part = reached(self._run.snapshot, self._run.snapshot.agents[agent])
        return part is not None and part.startswith("task ")

    # --- reserving -------------------------------------------------------------------------------------------

    def _recorded(self, event: Event) -> None:
        """What complete calls have used is in the snapshot now."""
        if event.agent is not None and isinstance(event.body, e.TurnTaken | e.ContextCompacted):
            self._unrecorded.pop(event.agent, None)
        elif event.agent is not None and isinstance(event.body, e.AgentStateChanged):
            agent = self._run.snapshot.agents[event.agent]
            if agent.ended:
                self._handoffs.pop(agent.id, None)
                self._parts.pop(agent.id, None)
            if agent.ended and agent.task is not None:
                self.grace.pop(agent.id, None)

    def _room(self, part: Part, limits: LimitSettings, agent: AgentId) -> Room:
        """The room in a part for an agent's call, with nothing kept for handoffs."""
        spent = self._run.snapshot.spent.get(part, Spent())
        so_far = spent_amount(spent, self._run.settings.budget.ceiling_price) + self._sum(self._unrecorded, part)
        return Room(limits, so_far, self._sum(self._in_flight, part, agent))

    def _kept(self, part: Part, limits: LimitSettings) -> Amount:
        """What is kept of a part's limit for handoffs."""
        agents, budget = self._run.snapshot.agents, self._run.settings.budget
        known = ((agents.get(id), worst) for id, worst in self._handoffs.items() if self._is_in(id, part))
        inside = [(each, worst) for each, worst in known if each is not None and _at_work(each, part)]
        at_work = [each for each, _ in inside for _ in range(_weight(each))]
        handoffs = [worst for _, worst in inside]
        return kept_for_handoffs(limits, at_work, handoffs, budget.grace_steps, budget.ceiling_price)

    def _sum(self, amounts: dict[AgentId, Amount], part: Part, but: AgentId | None = None) -> Amount:
        """The sum of `amounts` over the agents in a part, except for `but`."""
        agents = self._run.snapshot.agents
        return total(
            each
            for id, each in amounts.items()
            if id != but and id in agents and (part == RUN or self._is_in(id, part))
        )

    def _is_in(self, agent: AgentId, part: Part) -> bool:
        """Whether an agent's calls count towards a part; this never changes for an agent."""
        if (parts := self._parts.get(agent)) is None:
            known = self._run.snapshot.agents.get(agent)
            if known is None:
                return False
            parts = frozenset(parts_of(known))
            if not known.ended:
                self._parts[agent] = parts
        return part in parts

    def _short(
        self,
        me: Agent,
        part: Part,
        limits: LimitSettings,
        room: Room,
        need: Amount,
        wanted: int,
        most: Callable[[int], Usage],
    ) -> Admission:
        """What becomes of a call that does not fit: the limit is reached, or not even a handoff fits any more."""
        if me.id in self.grace:
            self.grace[me.id] = 0
            at = reached(self._run.snapshot, me)
            return Admission(refusal=self._used_up(at or part))
        kind = shortage(limits, room.spent + room.kept + room.in_flight, need)
        least = f"the next call may need {_words(kind, need, up=True)}"
        if getattr(room.kept, kind):
            least += f", with {_words(kind, room.kept)} kept for handoffs"
        if getattr(room.in_flight, kind):
            least += f", and {_words(kind, room.in_flight)} reserved by calls under way"
        status = BudgetStatus(part, 1.0, f"{_number(kind, room.spent)} of {_words(kind, limits)}; {least}", limits)
        if not self._run.snapshot.model_calls:
            needed = room.kept + need
            return Admission(refusal=status.limit, too_small=True, need=_words(kind, needed, up=True))
        if me.task is not None and part == task_budget_status(self._run.settings, self._run.snapshot, me.task).part:
            self._mark_task(me, me.task, status, Mark.REACHED)
        else:
            self._mark(status, Mark.REACHED)
        return self.reserve(me.id, wanted, most)

    def _used_up(self, part: Part) -> str:
        return f"the budget of {part} is used up: {self._run.snapshot.budget_marks[part].limit}"

    # --- marking ---------------------------------------------------------------------------------------------

    def _mark(self, status: BudgetStatus, mark: Mark) -> None:
        part, limit = status.part, status.limit
        old = self._run.snapshot.budget_marks.get(part)
        if mark is (old.mark if old else Mark.ROOM):
            return
        drafts = [Draft(e.BudgetMarked(part, mark, limit, named(status.limits)))]
        inside = [agent for agent in self._run.snapshot.agents.values() if not agent.ended and part in parts_of(agent)]
        if mark is Mark.NEAR:
            drafts += self._tell(self._planners(part, inside), "budget", part=part, limit=limit)
        elif mark is Mark.REACHED:
            grace = self._grace_steps(status, inside)
            planners = min(self._run.settings.budget.grace_steps, 2 * grace)
            self.grace |= {agent.id: planners if agent.role is Role.PLANNER else grace for agent in inside}
            workers = [agent for agent in inside if agent.role is not Role.PLANNER]
            drafts += self._tell(workers, "hand_off_now", limit=limit, steps=grace)
            if part != RUN:  # the run ends: its planners can do nothing about that before it is resumed
                told = self._planners(part, inside)
                drafts += self._tell(told, "budget_reached", part=part, limit=limit, steps=planners)
        self._run.record(*drafts)

    def _grace_steps(self, status: BudgetStatus, inside: list[Agent]) -> int:
        """How many more calls each agent may make: fewer if a limit on calls has no room for more."""
        most = self._run.settings.budget.grace_steps
        if not status.limits.steps:
            return most
        spent = self._run.snapshot.spent.get(status.part, Spent())
        at_work = sum(_weight(agent) for agent in inside if _at_work(agent, status.part))
        return max(1, min(most, (status.limits.steps - spent.steps) // max(1, at_work)))

    def _look_at_task(self, agent: Agent, task: TaskId) -> None:
        status = task_budget_status(self._run.settings, self._run.snapshot, task)
        self._mark_task(agent, task, status, mark_of(self._run.snapshot, status))

    def _mark_task(self, agent: Agent, task: TaskId, status: BudgetStatus, mark: Mark) -> None:
        old = self._run.snapshot.budget_marks.get(status.part)
        if mark is (old.mark if old else Mark.ROOM):
            return
        drafts = [Draft(e.BudgetMarked(status.part, mark, status.limit, named(status.limits)), agent.id, task)]
        grace = self._run.settings.budget.grace_steps
        if mark is Mark.NEAR:
            drafts += self._tell([agent], "task_budget", limit=status.limit)
        elif mark is Mark.REACHED:
            self.grace[agent.id] = grace
            drafts += self._tell([agent], "hand_off_now", limit=status.limit, steps=grace)
        self._run.record(*drafts)

    def _planners(self, part: Part, inside: list[Agent]) -> list[Agent]:
        """The planners that a part's limit concerns: those inside it and the one above; for a role, all of them."""
        agents = self._run.snapshot.agents
        everyone = [agent for agent in agents.values() if agent.role is Role.PLANNER and not agent.ended]
        if part.startswith("role "):
            return [] if part == of_role(Role.PLANNER) else everyone
        within = {agent.id for agent in inside}
        above = {agent.parent for agent in inside if agent.role is Role.PLANNER} - within
        return [agent for agent in everyone if agent.id in within or agent.id in above]

    def _tell(self, agents: list[Agent], prompt: str, **values: object) -> list[Draft]:
        text = self._run.prompts[prompt].render(**values)
        return [message_to(self._run, agent.id, MessageSource.REMINDER, text, task=agent.task) for agent in agents]

    def _watch_prices(self) -> None:
        """Warn, once in this process, that a limit in USD cannot count calls of unknown price."""
        spent, budget = self._run.snapshot.spent.get(RUN), self._run.settings.budget
        limits = (budget, *budget.role.values(), *budget.subtree.values())
        in_usd = any(each.usd for each in limits) or self._run.settings.task.max_usd
        if self._warned_of_prices or spent is None or not spent.unpriced or not in_usd:
            return
        self._warned_of_prices = True
        how = "its tokens do not count against limits in USD; limit tokens, or set a ceiling_price"
        if budget.ceiling_price:
            how = f"its tokens count as {budget.ceiling_price:g} USD per million; set its prices to count exactly"
        self._run.record(Draft(e.Warned(f"the price of a model is unknown: {how}")))


def _at_work(agent: Agent, part: Part) -> bool:
    """Whether an agent must hand off when a part's limit is reached. At the run's own, planners wait for a resume."""
    return not agent.ended and (agent.role is not Role.PLANNER or part != RUN)


def _weight(agent: Agent) -> int:
    """How many calls an agent needs to hand off: a planner first cancels what is open."""
    return 2 if agent.role is Role.PLANNER else 1


def _words(kind: str, amount: Amount | LimitSettings, *, up: bool = False) -> str:
    one = getattr(amount, kind) == 1
    unit = {"usd": "USD", "tokens": "tokens", "steps": "model call" if one else "model calls"}[kind]
    if up and kind == "usd":
        amount = Amount(math.ceil(amount.usd * 100) / 100)
    return f"{_number(kind, amount)} {unit}"


def _number(kind: str, amount: Amount | LimitSettings) -> str:
    value = getattr(amount, kind)
    return f"{value:.2f}" if kind == "usd" else f"{value:.0f}"
