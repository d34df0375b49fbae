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
from tui.screens.modal import Ask, Choice, Choose
from tui.text import clean
from tui.widgets.acting import Acting
from tui.widgets.diff import Place

QUOTED = 200
"""Characters of a line that a comment on it quotes."""


class Steering(Acting):
    """A screen's actions on the selected agent, or on the marked ones."""

    def _targets(self) -> list[AgentPath]:
        """Paths of the marked agents, or of the selected one."""
        run = self.view.run
        if run is None:
            return []
        marked = [run.agents[id].path for id in self.view.marked if id in run.agents]
        return marked or ([self.view.agent.path] if self.view.agent is not None else [])

    def _named(self) -> str:
        targets = self._targets()
        return targets[0] if len(targets) == 1 else f"{len(targets)} subtrees"

    def do_pause(self) -> None:
        self._pause_or_resume(freeze=False)

    def do_freeze_commands(self) -> None:
        """What is only paused is frozen, too; what is frozen is resumed."""
        self._pause_or_resume(freeze=True)

    def _pause_or_resume(self, freeze: bool) -> None:
        run = self.view.run
        assert run is not None
        agents = [run.agents[run.paths[path]] for path in self._targets()]
        hold = not all(agent.paused and (agent.frozen or not freeze) for agent in agents)
        how = "freezing {}: its commands stand still" if freeze else "pausing {} at its next safe points"
        for agent in agents:
            above = next((a for a in run.ancestors(agent.id) if a.paused and a.id != agent.id), None)
            if above is not None:
                self.host.tell(f"{agent.path} is held by {above.path}: resume that one")
            elif hold:
                self.host.command(Pause(agent.path, freeze), how.format(agent.path))
            else:
                self.host.command(Resume(agent.path), f"resuming {agent.path}")

    def do_pause_all(self) -> None:
        run = self.view.run
        if run is not None and run.state is RunState.RUNNING:
            self.host.command(Pause(), "pausing everything at the next safe points")
        else:
            self.host.command(Resume(), "resuming everything")

    def do_steer(self) -> None:
        if (agent := self.view.agent) is not None:
            self.ask_and_steer([agent.path], f"message to {agent.path}")

    def do_steer_marked(self) -> None:
        targets = self._targets()
        self.ask_and_steer(
            targets, f"message to {len(targets)} agents" if len(targets) > 1 else f"message to {targets[0]}"
        )

    def ask_and_steer(self, paths: list[AgentPath], title: str) -> None:
        """Ask for a message and send it to all of these agents."""

        def send(text: str | None) -> None:
            for path in paths if text else ():
                self.host.command(Steer(path, text or ""), f"sent to {path}")

        self.app.push_screen(Ask(title, placeholder="it is read before the next model call"), send)

    def comment_on(self, place: Place) -> None:
        """Ask for a comment on a line of the selected agent's change; whom it concerns can still read it."""
        run, agent = self.view.run, self.view.agent
        if run is None or agent is None:
            return
        reader: Agent | None = agent
        if agent.ended and agent.role is not Role.PLANNER:  # its planner decides what becomes of it
            reader = run.agents.get(agent.parent) if agent.parent is not None else None
        if reader is None:
            self.host.tell(f"comment: nobody is left to read it: {agent.path} is {agent.state}")
            return
        whose = "your change" if reader is agent else f"the change of {agent.path}"
        where = f"{clean(place.path)}:{place.number}" if place.number else clean(place.path)
        quoted = f"\n\n    {clean(place.text)[:QUOTED]}" if place.text else ""
        path = reader.path

        def send(text: str | None) -> None:
            if text:
                about = f"About {whose}, {where}:{quoted}\n\n{text}"
                self.host.command(Steer(path, about), f"sent to {path}")

        self.app.push_screen(Ask(f"comment on {where} to {path}", placeholder="what should be different"), send)

    def do_cancel(self) -> None:
        run = self.view.run
        assert run is not None
        targets = self._targets()
        below = {a.id for path in targets for a in run.subtree(run.paths[path])}
        live = sum(not run.agents[id].ended for id in below)
        open_ = sum(not run.tasks[task].ended for id in below for task in run.tasks_of.get(id, ()))
        workers = (
            "its planner is told"
            if all(run.agents[run.paths[path]].role is not Role.PLANNER for path in targets)
            else f"{live} agents end and {open_} open tasks are cancelled; the planner above is told"
        )

        def go_on(answer: str | None) -> None:
            for path in targets if answer == "y" else ():
                self.host.command(Cancel(path), f"cancelling {path}")

        self.app.push_screen(
            Choose(
                f"Cancel {self._named()}?",
                "What has landed stays. This cannot be undone.",
                [Choice("y", "cancel it", workers), Choice("n", "leave it alone")],
            ),
            go_on,
        )

    def do_fewer(self) -> None:
        self._limit_workers(-1)

    def do_more(self) -> None:
        self._limit_workers(1)

    def _limit_workers(self, by: int) -> None:
        run = self.view.run
        if run is not None:
            limit = max(0, run.workers_limit + by)
            self.host.command(SetWorkers(limit), f"at most {limit} workers at once")

    def do_model(self) -> None:
        agent = self.view.agent
        assert agent is not None

        def change(model: str | None) -> None:
            if model is None:
                return
            role, _, of_role = model.partition("=")
            try:
                split_model(ModelName(of_role if role in list(Role) else model))
            except SwarmError as error:
                self.host.tell(f"{error.message}\n{error.hint}", bad=True)
                return
            if role in list(Role):
                self.host.command(SetModel(ModelName(of_role), role=Role(role)), f"every {role}: {of_role} from now on")
                return
            for path in self._targets():
                self.host.command(SetModel(ModelName(model), path), f"{path} and below: {model} from the next call on")

        self.app.push_screen(
            Ask(
                f"model of {self._named()} and below",
                value=agent.model,
                placeholder="PROVIDER:NAME, or ROLE=PROVIDER:NAME",
            ),
            change,
        )

    def do_priority(self) -> None:
        agent = self.view.agent
        assert agent is not None

        def change(text: str | None) -> None:
            if text is None:
                return
            try:
                priority = int(text)
            except ValueError:
                self.host.tell(f"priority: {text} is not a whole number", bad=True)
                return
            self.host.command(SetPriority(agent.path, priority), f"{agent.path}: priority {priority}")

        title = f"priority of {agent.path}: its queued tasks begin earlier with more"
        self.app.push_screen(Ask(title, value=str(agent.priority), placeholder="a whole number"), change)

    def do_rescope(self) -> None:
        agent = self.view.agent
        assert agent is not None

        def change(goal: str | None) -> None:
            if goal is None:
                return

            def send(scope: str | None) -> None:
                if scope is not None:
                    self.host.command(Rescope(agent.path, goal, scope), f"{agent.path} is told its new goal")

            ask = Ask(f"scope of {agent.path}", value=agent.scope or "**", placeholder="globs, such as src/parser/**")
            self.app.push_screen(ask, send)

        self.app.push_screen(Ask(f"new goal of {agent.path}", value=agent.goal), change)
