"""Progress on a plain terminal: which lines, how often, and that text from agents cannot move the cursor."""

import io

from engine.domain import events as e
from engine.domain.types import Agent, AgentId, AgentPath, Micros, ModelName, Role
from engine.state.snapshot import Snapshot
from tui.headless.progress import LINES_PER_SECOND, WIDTH, Progress
from tui.terminal.output import Output


def spawned(number: int, at: Micros, title: str = "a part") -> e.Event:
    id = AgentId(f"a{number}")
    agent = Agent(id, AgentPath(f"root/p-{number}"), AgentId("a0"), Role.PLANNER, ModelName("m:m"), title)
    return e.Event(number, at, 1, e.AgentSpawned(agent), id)


def test_a_flood_of_news_is_counted() -> None:
    stream, snapshot = io.StringIO(), Snapshot()
    progress = Progress(Output(stream))
    for number in range(1, 1_001):
        progress.report(spawned(number, 1_000_000), snapshot)
    progress.report(spawned(1_001, 2_500_000), snapshot)
    lines = stream.getvalue().splitlines()
    assert len(lines) == LINES_PER_SECOND + 2
    assert f"… and {1_000 - LINES_PER_SECOND} more" in lines[-2]


def test_warnings_are_written_even_in_a_flood() -> None:
    stream, snapshot = io.StringIO(), Snapshot()
    progress = Progress(Output(stream))
    for number in range(1, 100):
        progress.report(spawned(number, 1_000_000), snapshot)
    progress.report(e.Event(100, 1_000_000, 1, e.Warned("the disk is nearly full")), snapshot)
    assert "warning: the disk is nearly full" in stream.getvalue()


def test_text_from_agents_is_one_harmless_line() -> None:
    stream = io.StringIO()
    Progress(Output(stream)).report(
        spawned(1, 0, "evil \x1b[2J\x1b]52;c;x\x07 title\nerror: faked " + "long " * 100), Snapshot()
    )
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert len(line) <= WIDTH


def test_a_closed_stream_is_ignored() -> None:
    class Gone(io.StringIO):
        tries = 0

        def write(self, text: str) -> int:
            self.tries += 1
            raise BrokenPipeError

    stream = Gone()
    progress = Progress(Output(stream))
    progress.note("nobody hears this")
    progress.heartbeat(Snapshot(), 0)
    assert stream.tries == 1, "after the first failure nothing more is written"
