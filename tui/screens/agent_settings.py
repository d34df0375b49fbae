"""Changes what agents work with: models, priorities, worker limits and goals."""

from tui.bridge import (
    AgentPath,
    ModelName,
    Rescope,
    Role,
    SetModel,
    SetPriority,
    SetWorkers,
    SwarmError,
    scope_fault,
    split_model,
)
from tui.input.handlers import handles
from tui.screens.modal import AskText
from tui.screens.steering import names_of
from tui.widgets.actionable import Controller

ANY = "any"
"""Entered instead of a number: no limit but that of the run."""


class AgentSettings(Controller):
    """Changes the settings of the selected agent, of its subtree or of the run."""

    @handles("global.fewer")
    def fewer_workers(self) -> None:
        self._limit_workers(-1)

    @handles("global.more")
    def more_workers(self) -> None:
        self._limit_workers(1)

    def _limit_workers(self, by: int) -> None:
        run = self.view.run
        if run is not None:
            before, limit = run.workers_limit, max(0, run.workers_limit + by)
            note = f"worker limit: {limit}"
            self.host.commands.send_undoable(
                [SetWorkers(limit)], [SetWorkers(before)], note, f"worker limit of {limit}"
            )

    @handles("agents.model")
    def change_model(self) -> None:
        agent = self.view.agent
        assert agent is not None

        def change(model: str | None) -> None:
            if model is None:
                return
            role, _, of_role = model.partition("=")
            try:
                split_model(ModelName(of_role if role in list(Role) else model))
            except SwarmError as error:
                self.host.show_note(f"{error.message}\n{error.hint}", error=True)
                return
            if role in list(Role):
                of_before = self.view.run.models.get(Role(role)) if self.view.run is not None else None
                self.host.commands.send_undoable(
                    [SetModel(ModelName(of_role), role=Role(role))],
                    [SetModel(of_before, role=Role(role))] if of_before else [],
                    f"model of every {role}: {of_role}",
                    f"model of every {role}",
                )
                return
            paths = self.view.targets
            self.host.commands.send_undoable(
                [SetModel(ModelName(model), path) for path in paths],
                [command for path in paths for command in self._models_of(path)],
                f"model of {names_of(paths)} and below: {model}, from the next call",
                f"model of {names_of(paths)}",
            )

        self.app.push_screen(
            AskText(
                f"model of {names_of(self.view.targets)} and below",
                value=agent.model,
                placeholder="PROVIDER:NAME, or ROLE=PROVIDER:NAME",
            ),
            change,
        )

    def _models_of(self, path: AgentPath) -> list[SetModel]:
        """Commands that restore the models of a subtree: one wherever an agent's model differs from its parent's."""
        run = self.view.run
        assert run is not None
        top = run.paths[path]
        return [
            SetModel(agent.model, agent.path)
            for agent in run.subtree(top)
            if agent.id == top or agent.parent is None or run.agents[agent.parent].model != agent.model
        ]

    @handles("agents.priority")
    def change_priority(self) -> None:
        agent = self.view.agent
        assert agent is not None

        def change(text: str | None) -> None:
            if text is None:
                return
            try:
                priority = int(text)
            except ValueError:
                self.host.show_note(f"priority: '{text}' is not a whole number", error=True)
                return
            self.host.commands.send_undoable(
                [SetPriority(agent.path, priority)],
                [SetPriority(agent.path, agent.priority)],
                f"{agent.path}: priority {priority}",
                f"priority of {agent.path}",
            )

        title = f"priority of {agent.path} (higher starts its tasks earlier)"
        self.app.push_screen(AskText(title, value=str(agent.priority), placeholder="a whole number"), change)

    @handles("agents.workers")
    def limit_workers_below(self) -> None:
        run, agent = self.view.run, self.view.agent
        assert run is not None
        assert agent is not None
        before = run.workers_limit if agent.parent is None else run.workers_below.get(agent.id)

        def change(text: str | None) -> None:
            if text is None:
                return
            if text != ANY and not text.isdecimal():
                self.host.show_note(f"workers: '{text}' is not a whole number; {ANY} removes the limit", error=True)
                return
            wanted = None if text == ANY else int(text)
            limit = "none" if wanted is None else str(wanted)
            self.host.commands.send_undoable(
                [SetWorkers(wanted, agent.path)],
                [SetWorkers(before, agent.path)],
                f"worker limit below {agent.path}: {limit}",
                f"worker limit below {agent.path}",
            )

        title = f"worker limit below {agent.path}"
        value = ANY if before is None else str(before)
        self.app.push_screen(AskText(title, value=value, placeholder=f"a whole number, or {ANY}"), change)

    @handles("agents.rescope")
    def rescope(self) -> None:
        agent = self.view.agent
        assert agent is not None

        def change(goal: str | None) -> None:
            if goal is None:
                return

            def send(scope: str | None) -> None:
                if scope is not None and scope != agent.scope and (fault := scope_fault(scope)):
                    self.host.show_note(f"scope: {fault}", error=True)
                    ask_scope(scope)
                elif scope is not None:
                    self.host.commands.send_undoable(
                        [Rescope(agent.path, goal, scope)],
                        [Rescope(agent.path, agent.goal, agent.scope)] if agent.goal else [],
                        f"new goal sent to {agent.path}",
                        f"goal of {agent.path}",
                    )

            def ask_scope(value: str) -> None:
                ask = AskText(f"scope of {agent.path}", value=value, placeholder="globs, such as src/parser/**")
                self.app.push_screen(ask, send)

            ask_scope(agent.scope or "**")

        self.app.push_screen(AskText(f"new goal of {agent.path}", value=agent.goal), change)
