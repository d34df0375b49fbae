"""Pauses, steers and cancels agents."""

from tui.bridge import Agent, AgentPath, Cancel, Pause, Resume, Role, RunState, Steer
from tui.format.numbers import counted
from tui.format.text import clean
from tui.input.handlers import handles
from tui.screens.modal import AskText, Menu, MenuItem
from tui.widgets.actionable import Controller
from tui.widgets.diff import Place

QUOTED = 200
"""The most characters of a line that a comment quotes."""


class Steering(Controller):
    """Pauses, steers and cancels the selected agent, or the marked ones."""

    @handles("agents.pause")
    def toggle_pause(self) -> None:
        self._pause_or_resume(freeze=False)

    @handles("agents.freeze_commands")
    def toggle_frozen_commands(self) -> None:
        """Freeze agents that run or are only paused; resume frozen ones."""
        self._pause_or_resume(freeze=True)

    def _pause_or_resume(self, freeze: bool) -> None:
        run = self.view.run
        assert run is not None
        agents = [run.agents[run.paths[path]] for path in self.view.targets]
        pause = not all(agent.paused and (agent.frozen or not freeze) for agent in agents)
        paths: list[AgentPath] = []
        for agent in agents:
            above = next((a for a in run.ancestors(agent.id) if a.paused and a.id != agent.id), None)
            if above is not None:
                self.host.show_note(f"{agent.path} is paused by {above.path}: resume that one")
            elif not pause or not (agent.paused and (agent.frozen or not freeze)):
                paths.append(agent.path)
        pauses, resumes = [Pause(path, freeze) for path in paths], [Resume(path) for path in paths]
        name = names_of(paths)
        note = f"freezing {name} and its commands" if freeze else f"pausing {name} at the next safe points"
        restored = [Pause(a.path, a.frozen) if a.paused else Resume(a.path) for a in agents if a.path in paths]
        if pause:
            self.host.commands.send_undoable(pauses, restored, note, f"pause of {name}")
        elif paths:
            self.host.commands.send_undoable(resumes, restored, f"resuming {name}", f"resuming {name}")

    @handles("global.pause_all")
    def toggle_pause_all(self) -> None:
        run = self.view.run
        if run is not None and run.state is RunState.RUNNING:
            note = "pausing the run at the next safe points"
            self.host.commands.send_undoable([Pause()], [Resume()], note, "pause of the run")
        elif run is not None:
            paused = [Pause(agent.path, agent.frozen) for agent in run.agents.values() if agent.paused]
            self.host.commands.send_undoable([Resume()], [Pause(), *paused], "resuming the run", "resuming the run")

    @handles("agents.steer")
    def steer(self) -> None:
        if (agent := self.view.agent) is not None:
            self.ask_and_steer([agent.path], f"message to {agent.path}")

    @handles("agents.steer_marked")
    def steer_marked(self) -> None:
        targets = self.view.targets
        self.ask_and_steer(
            targets, f"message to {len(targets)} agents" if len(targets) > 1 else f"message to {targets[0]}"
        )

    def ask_and_steer(self, paths: list[AgentPath], title: str) -> None:
        """Ask for a message, and send it to all of these agents."""

        def send(text: str | None) -> None:
            if text:
                self._send_message(paths, text)

        self.app.push_screen(AskText(title, placeholder="the agent reads it before its next model call"), send)

    def _send_message(self, paths: list[AgentPath], text: str) -> None:
        """Send a message. Agents cannot unread it, so undoing it sends another one that takes it back."""
        name = names_of(paths)
        self.host.commands.send_undoable(
            [Steer(path, text) for path in paths],
            [Steer(path, text, taken_back=True) for path in paths],
            f"sent to {name}",
            f"message to {name}",
        )

    def comment_on(self, place: Place) -> None:
        """Ask for a comment on a line of the selected agent's change, and send it to someone who can act on it."""
        run, agent = self.view.run, self.view.agent
        if run is None or agent is None:
            return
        reader: Agent | None = agent
        if agent.ended and agent.role is not Role.PLANNER:  # its planner decides about the change
            reader = run.agents.get(agent.parent) if agent.parent is not None else None
        if reader is None:
            self.host.show_note(f"comment: nobody can read it, because {agent.path} is {agent.state}")
            return
        whose = "your change" if reader is agent else f"the change of {agent.path}"
        where = f"{clean(place.path)}:{place.number}" if place.number else clean(place.path)
        quoted = f"\n\n    {clean(place.text)[:QUOTED]}" if place.text else ""
        path = reader.path

        def send(text: str | None) -> None:
            if text:
                self._send_message([path], f"About {whose}, {where}:{quoted}\n\n{text}")

        self.app.push_screen(AskText(f"comment on {where} to {path}", placeholder="what should change"), send)

    @handles("agents.cancel")
    def cancel(self) -> None:
        run = self.view.run
        assert run is not None
        targets = self.view.targets
        below = {a.id for path in targets for a in run.subtree(run.paths[path])}
        live = sum(not run.agents[id].ended for id in below)
        open_ = sum(not run.tasks[task].ended for id in below for task in run.tasks_of.get(id, ()))
        if all(run.agents[run.paths[path]].role is not Role.PLANNER for path in targets):
            effect = "its planner receives a message"
        else:
            ends = f"ends {counted(live, 'agent')} and {counted(open_, 'open task')}"
            effect = f"{ends}; the planner above receives a message"

        def cancel_if(answer: str | None) -> None:
            for path in targets if answer == "y" else ():
                self.host.commands.send(Cancel(path), f"cancelling {path}")

        self.app.push_screen(
            Menu(
                f"Cancel {names_of(self.view.targets)}?",
                "Landed changes stay. This cannot be undone.",
                [MenuItem("y", "cancel", effect), MenuItem("n", "keep")],
            ),
            cancel_if,
        )


def names_of(paths: list[AgentPath]) -> str:
    """The path of one agent, or the number of several."""
    return paths[0] if len(paths) == 1 else f"{len(paths)} subtrees"
