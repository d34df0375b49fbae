"""What the commands that open the app do around it: the intent is looked at, and leaving says where the run stands."""

from collections.abc import Callable
from threading import Event as Signal

import pytest

from tests.tui.command_line import TEMPLATE, Answer, Person
from tui.commands import open as command
from tui.sessions.launch import Launch, RunPlan
from tui.sessions.session import CloseMode
from tui.terminal.foreground import Foreground


class Screen:
    """Stands in for the app: begins a run, and leaves once it is there, or broke."""

    def __init__(self, intent: str) -> None:
        self.intent = intent
        self.plan: RunPlan | None = None

    def __call__(self, theme: str, prepare: Callable[[], Launch], foreground: Foreground, *, subject: str) -> int:
        launch = prepare()
        assert launch.new_run is not None
        self.plan = launch.new_run.plan
        session = launch.open_session(self.intent)
        session.start()
        look = Signal()
        while session.failure() is None and not session.latest()[1].run:
            look.wait(0.01)
        session.close(CloseMode.STOP).result(60)
        if (failure := session.failure()) is not None:
            raise failure
        return session.exit_status() or 0


def through(screen: Screen, person: Person, monkeypatch: pytest.MonkeyPatch, *options: str) -> Answer:
    monkeypatch.setattr(command, "show_app", screen)
    monkeypatch.setattr(command, "require_terminal", lambda _: None)
    return person.swarm(str(person.repo), "--model", "rehearsal:notes?speed=50", *options)


def test_the_unchanged_example_begins_no_run(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.commit("Makefile", "test:\n\ttrue\n")
    screen = Screen(TEMPLATE.decode())
    answer = through(screen, person, monkeypatch)
    assert answer.status == 2
    assert "is still the example" in answer.error
    assert person.left() == []
    assert screen.plan is not None
    assert screen.plan.check == ""
    assert screen.plan.suggested == "make test"


def test_leaving_says_the_state_how_to_go_on_and_the_branches(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.commit()
    answer = through(Screen("Five commands.<!-- and no sixth -->\n"), person, monkeypatch, "--check", "true")
    assert answer.status == 4, answer.err
    run = answer.err.partition("swarm-tui resume ")[2].partition("\n")[0]
    assert answer.err.startswith("stopped; to continue: swarm-tui resume ")
    assert answer.err.splitlines()[-1] == "result: nothing landed"
    assert "<!--" not in person.swarm("export", run).out
