"""Enforces the budget: marks limits that are near or reached, tells the agents concerned, and counts grace calls."""

from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.spending import RUN, Mark, Part, of_role, parts_of
from engine.domain.types import Agent, AgentId, MessageSource, Role, TaskId
from engine.policy.budget import budget_statuses, is_held, is_reached, reached, task_budget_status
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder


class BudgetEnforcer:
    """One for the swarm. `look` keeps the recorded marks up to date; `take` is called before every model call.

    When a limit is reached, each agent that runs in the limited part may make `grace_steps` more calls, so that it
    can hand off. An agent that starts later, or after a restart of the program, has none.
    """

    def __init__(self, run: RunRecorder) -> None:
        self._run = run
        self._ran_out_at: float | None = None
        self.grace: dict[AgentId, int] = {}
        """Model calls that agents may still make beyond the budget."""
        self._warned_of_prices = False

    def look(self) -> None:
        """Compare what is spent with the limits, and record what has changed."""
        settings, marks = self._run.settings, self._run.snapshot.budget_marks
        now = {status.part: status for status in budget_statuses(settings, self._run.snapshot, self._run.clock.now())}
        for part, status in now.items():
            self._mark(part, status.mark, status.limit)
        for part in [part for part, old in marks.items() if part not in now and not part.startswith("task ")]:
            self._mark(part, Mark.ROOM, "no limit")
        if is_reached(self._run.snapshot, RUN):
            self._ran_out_at = self._run.clock.monotonic() if self._ran_out_at is None else self._ran_out_at
        else:
            self._ran_out_at = None
        self._watch_prices()

    def take(self, agent: AgentId) -> str:
        """Use one model call of an agent's budget; returns why it may not make one, or an empty string."""
        self.look()
        me = self._run.snapshot.agents[agent]
        if me.task is not None:
            self._look_at_task(me, me.task)
        part = reached(self._run.snapshot, me)
        if part is None:
            self.grace.pop(agent, None)
            return ""
        if self.grace.get(agent, 0) > 0:
            self.grace[agent] -= 1
            return ""
        return f"the budget of {part} is used up: {self._run.snapshot.budget_marks[part].limit}"

    def holds(self, agent: AgentId) -> bool:
        """Whether an agent may make no model call now."""
        return is_held(self._run.snapshot, self._run.snapshot.agents[agent], self.grace)

    @property
    def overrun_s(self) -> float:
        """Seconds since the limit of the whole run was reached; 0 if it is not."""
        return 0.0 if self._ran_out_at is None else self._run.clock.monotonic() - self._ran_out_at

    def of_task_only(self, agent: AgentId) -> bool:
        """Whether the limit that stops an agent is its task's own, not that of a larger part."""
        part = reached(self._run.snapshot, self._run.snapshot.agents[agent])
        return part is not None and part.startswith("task ")

    # --- marking ---------------------------------------------------------------------------------------------

    def _mark(self, part: Part, mark: Mark, limit: str) -> None:
        old = self._run.snapshot.budget_marks.get(part)
        if mark is (old.mark if old else Mark.ROOM):
            return
        drafts = [Draft(e.BudgetMarked(part, mark, limit))]
        inside = [agent for agent in self._run.snapshot.agents.values() if not agent.ended and part in parts_of(agent)]
        if mark is Mark.NEAR:
            drafts += self._tell(self._planners(part, inside), "budget", part=part, limit=limit)
        elif mark is Mark.REACHED:
            grace = self._run.settings.budget.grace_steps
            self.grace |= {agent.id: grace for agent in inside}
            workers = [agent for agent in inside if agent.role is not Role.PLANNER]
            drafts += self._tell(workers, "hand_off_now", limit=limit, steps=grace)
            if part != RUN:  # the run ends: its planners can do nothing about that before it is resumed
                told = self._planners(part, inside)
                drafts += self._tell(told, "budget_reached", part=part, limit=limit, steps=grace)
        self._run.record(*drafts)

    def _look_at_task(self, agent: Agent, task: TaskId) -> None:
        status = task_budget_status(self._run.settings, self._run.snapshot, task)
        old = self._run.snapshot.budget_marks.get(status.part)
        if status.mark is (old.mark if old else Mark.ROOM):
            return
        drafts = [Draft(e.BudgetMarked(status.part, status.mark, status.limit), agent.id, task)]
        grace = self._run.settings.budget.grace_steps
        if status.mark is Mark.NEAR:
            drafts += self._tell([agent], "task_budget", limit=status.limit)
        elif status.mark is Mark.REACHED:
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
