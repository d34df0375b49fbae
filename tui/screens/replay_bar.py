"""The controls of a replay, and the line that shows its position in the run."""

from concurrent.futures import Future

from tui.bridge import SwarmError
from tui.format.numbers import duration
from tui.format.text import Line, Span
from tui.input.handlers import handles
from tui.screens.modal import AskText
from tui.sessions.session import Player
from tui.widgets.actionable import Controller
from tui.widgets.tab_strip import StripWidget


class Timeline(StripWidget):
    """The state and speed of the replay, the time since the run began, the event, and a bar of all events."""

    def lines(self, cells: int) -> list[Line]:
        player = self.host.session.player
        if player is None:
            return []
        where = player.position()
        speed = f"{player.speed:g}x".rjust(7)
        text = f" {duration(where.at - where.began)} of {duration(where.last_at - where.began)}"
        text += f" · event {where.seq:,} of {where.last:,} "
        room = max(0, cells - len(text) - 12)
        done = round(room * where.seq / where.last) if where.last else 0
        return [
            (
                Span(" ▶" if player.playing else " ‖", "accent bold"),
                Span(speed, "text"),
                Span(text, "text"),
                Span("━" * done, "accent"),
                Span("─" * (room - done), "dim"),
            )
        ]


class ReplayControls(Controller):
    """Plays, steps and seeks. Does nothing if the session is not a replay."""

    def _player(self) -> Player | None:
        return self.host.session.player

    @handles("replay.play")
    def toggle_play(self) -> None:
        if (player := self._player()) is not None:
            player.toggle()
            self._refresh()

    @handles("replay.faster")
    def faster(self) -> None:
        self._change_speed(1)

    @handles("replay.slower")
    def slower(self) -> None:
        self._change_speed(-1)

    @handles("replay.step")
    def step(self) -> None:
        self._step(1)

    @handles("replay.step_back")
    def step_back(self) -> None:
        self._step(-1)

    @handles("replay.seek")
    def seek(self) -> None:
        def go(text: str | None) -> None:
            if text and (player := self._player()) is not None:
                self.host.when_done(player.seek(text), self._moved)

        formats = "1234 · 14:05:30 · 1h30m · +5m · 50% · end · root/parser"
        self.app.push_screen(AskText("go to an event, a time or an agent", placeholder=formats), go)

    def _change_speed(self, by: int) -> None:
        if (player := self._player()) is not None:
            player.change_speed(by)
            self._refresh()

    def _step(self, by: int) -> None:
        if (player := self._player()) is not None:
            self.host.when_done(player.step(by), self._moved)

    def _moved(self, done: "Future[None]") -> None:
        problem = None if done.cancelled() else done.exception()
        if isinstance(problem, SwarmError):
            self.host.show_note(f"{problem.message}\n{problem.hint}", error=True)
        self._refresh()

    def _refresh(self) -> None:
        self._screen.query_one(Timeline).refresh()
