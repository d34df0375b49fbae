"""What keys do to agents: hold them, tell them something, end them, and give them another model, rank or goal."""

from tui.bridge import (
    Agent,
    AgentPath,
    Cancel,
    ModelName,
    Pause,
    Rescope,
    Resume,
    Role,
    RunState,
    SetModel,
    SetPriority,
    SetWorkers,
    Steer,
    SwarmError,
    split_model,
)
from tui.format.text import clean
from tui.input.handlers import handles
from tui.screens.modal import Ask, Choice, Choose
from tui.widgets.actionable import Actionable
from tui.widgets.diff import Place

QUOTED = 200
"""Characters of a line that a comment on it quotes."""
ANY = "any"
"""Instead of a number of workers: as many as the whole run has."""


class Steering(Actionable):
    """A screen's actions on the selected agent, or on the marked ones."""

    def _targets(self) -> list[AgentPath]:
        """Paths of the marked agents, or of the selected one."""
        run = self.view.run
        if run is None:
            return []
        marked = [run.agents[id].path for id in self.view.marked if id in run.agents]
        return marked or ([self.view.agent.path] if self.view.agent is not None else [])

    @handles("agents.pause")
    def toggle_pause(self) -> None:
        self._pause_or_resume(freeze=False)

    @handles("agents.freeze_commands")
    def toggle_frozen_commands(self) -> None:
        """What is only paused is frozen, too; what is frozen is resumed."""
        self._pause_or_resume(freeze=True)

    def _pause_or_resume(self, freeze: bool) -> None:
        run = self.view.run
        assert run is not None
        agents = [run.agents[run.paths[path]] for path in self._targets()]
        hold = not all(agent.paused and (agent.frozen or not freeze) for agent in agents)
        paths: list[AgentPath] = []
        for agent in agents:
            above = next((a for a in run.ancestors(agent.id) if a.paused and a.id != agent.id), None)
            if above is not None:
                self.host.show_note(f"{agent.path} is held by {above.path}: resume that one")
            elif not hold or not (agent.paused and (agent.frozen or not freeze)):
                paths.append(agent.path)
        pauses, resumes = [Pause(path, freeze) for path in paths], [Resume(path) for path in paths]
        named = _named(paths)
        how = f"freezing {named}: its commands stand still" if freeze else f"pausing {named} at its next safe points"
        now = [Pause(a.path, a.frozen) if a.paused else Resume(a.path) for a in agents if a.path in paths]
        if hold:
            self.host.send_undoable(pauses, now, how, f"pause of {named}")
        elif paths:
            self.host.send_undoable(resumes, now, f"resuming {named}", f"resuming {named}")

    @handles("global.pause_all")
    def toggle_pause_all(self) -> None:
        run = self.view.run
        if run is not None and run.state is RunState.RUNNING:
            note = "pausing everything at the next safe points"
            self.host.send_undoable([Pause()], [Resume()], note, "pause of everything")
        elif run is not None:
            held = [Pause(agent.path, agent.frozen) for agent in run.agents.values() if agent.paused]
            self.host.send_undoable([Resume()], [Pause(), *held], "resuming everything", "resuming everything")

    @handles("agents.steer")
    def steer(self) -> None:
        if (agent := self.view.agent) is not None:
            self.ask_and_steer([agent.path], f"message to {agent.path}")

    @handles("agents.steer_marked")
    def steer_marked(self) -> None:
        targets = self._targets()
        self.ask_and_steer(
            targets, f"message to {len(targets)} agents" if len(targets) > 1 else f"message to {targets[0]}"
        )

    def ask_and_steer(self, paths: list[AgentPath], title: str) -> None:
        """Ask for a message and send it to all of these agents."""

        def send(text: str | None) -> None:
            if text:
                self._tell_agents(paths, text)

        self.app.push_screen(Ask(title, placeholder="it is read before the next model call"), send)

    def _tell_agents(self, paths: list[AgentPath], text: str) -> None:
        """Send a message; what was sent cannot be unread, so undoing it is another message."""
        named = _named(paths)
        self.host.send_undoable(
            [Steer(path, text) for path in paths],
            [Steer(path, text, taken_back=True) for path in paths],
            f"sent to {named}",
            f"message to {named}",
        )

    def comment_on(self, place: Place) -> None:
        """Ask for a comment on a line of the selected agent's change; whom it concerns can still read it."""
        run, agent = self.view.run, self.view.agent
        if run is None or agent is None:
            return
        reader: Agent | None = agent
        if agent.ended and agent.role is not Role.PLANNER:  # its planner decides what becomes of it
            reader = run.agents.get(agent.parent) if agent.parent is not None else None
        if reader is None:
            self.host.show_note(f"comment: nobody is left to read it: {agent.path} is {agent.state}")
            return
        whose = "your change" if reader is agent else f"the change of {agent.path}"
        where = f"{clean(place.path)}:{place.number}" if place.number else clean(place.path)
        quoted = f"\n\n    {clean(place.text)[:QUOTED]}" if place.text else ""
        path = reader.path

        def send(text: str | None) -> None:
            if text:
                self._tell_agents([path], f"About {whose}, {where}:{quoted}\n\n{text}")

        self.app.push_screen(Ask(f"comment on {where} to {path}", placeholder="what should be different"), send)

    @handles("agents.cancel")
    def cancel(self) -> None:
        run = self.view.run
        assert run is not None
        targets = self._targets()
        below = {a.id for path in targets for a in run.subtree(run.paths[path])}
        live = sum(not run.agents[id].ended for id in below)
        open_ = sum(not run.tasks[task].ended for id in below for task in run.tasks_of.get(id, ()))
        workers = (
            "its planner is told"
            if all(run.agents[run.paths[path]].role is not Role.PLANNER for path in targets)
            else f"{'1 agent ends' if live == 1 else f'{live} agents end'} and "
            f"{'1 open task is' if open_ == 1 else f'{open_} open tasks are'} cancelled; the planner above is told"
        )

        def go_on(answer: str | None) -> None:
            for path in targets if answer == "y" else ():
                self.host.command(Cancel(path), f"cancelling {path}")

        self.app.push_screen(
            Choose(
                f"Cancel {_named(self._targets())}?",
                "What has landed stays. This cannot be undone.",
                [Choice("y", "cancel it", workers), Choice("n", "leave it alone")],
            ),
            go_on,
        )

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
            note = f"at most {limit} workers at once"
            self.host.send_undoable([SetWorkers(limit)], [SetWorkers(before)], note, f"limit of {limit} workers")

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
                self.host.send_undoable(
                    [SetModel(ModelName(of_role), role=Role(role))],
                    [SetModel(of_before, role=Role(role))] if of_before else [],
                    f"every {role}: {of_role} from now on",
                    f"model of every {role}",
                )
                return
            paths = self._targets()
            self.host.send_undoable(
                [SetModel(ModelName(model), path) for path in paths],
                [command for path in paths for command in self._models_of(path)],
                f"{_named(paths)} and below: {model} from the next call on",
                f"model of {_named(paths)}",
            )

        self.app.push_screen(
            Ask(
                f"model of {_named(self._targets())} and below",
                value=agent.model,
                placeholder="PROVIDER:NAME, or ROLE=PROVIDER:NAME",
            ),
            change,
        )

    def _models_of(self, path: AgentPath) -> list[SetModel]:
        """What gives a subtree its present models back: a command wherever the model changes on the way down."""
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
                self.host.show_note(f"priority: {text} is not a whole number", error=True)
                return
            self.host.send_undoable(
                [SetPriority(agent.path, priority)],
                [SetPriority(agent.path, agent.priority)],
                f"{agent.path}: priority {priority}",
                f"priority of {agent.path}",
            )

        title = f"priority of {agent.path}: its queued tasks begin earlier with more"
        self.app.push_screen(Ask(title, value=str(agent.priority), placeholder="a whole number"), change)

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
                self.host.show_note(f"workers: {text} is not a whole number; {ANY} lifts the limit", error=True)
                return
            wanted = None if text == ANY else int(text)
            many = "any number of workers" if wanted is None else f"at most {wanted} workers at once"
            self.host.send_undoable(
                [SetWorkers(wanted, agent.path)],
                [SetWorkers(before, agent.path)],
                f"{agent.path}: {many}",
                f"workers below {agent.path}",
            )

        title = f"workers at once below {agent.path}"
        value = ANY if before is None else str(before)
        self.app.push_screen(Ask(title, value=value, placeholder=f"a whole number, or {ANY}"), change)

    @handles("agents.rescope")
    def rescope(self) -> None:
        agent = self.view.agent
        assert agent is not None

        def change(goal: str | None) -> None:
            if goal is None:
                return

            def send(scope: str | None) -> None:
                if scope is not None:
                    self.host.send_undoable(
                        [Rescope(agent.path, goal, scope)],
                        [Rescope(agent.path, agent.goal, agent.scope)] if agent.goal else [],
                        f"{agent.path} is told its new goal",
                        f"goal of {agent.path}",
                    )

            ask = Ask(f"scope of {agent.path}", value=agent.scope or "**", placeholder="globs, such as src/parser/**")
            self.app.push_screen(ask, send)

        self.app.push_screen(Ask(f"new goal of {agent.path}", value=agent.goal), change)


def _named(paths: list[AgentPath]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} subtrees"
