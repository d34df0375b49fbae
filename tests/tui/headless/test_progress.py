"""Progress on a plain terminal: which lines, how often, and that text from agents cannot move the cursor."""

import io

import pytest
from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.notes import Note, NoteKind
from engine.domain.resource_use import LoadLimit
from engine.domain.types import (
    Agent,
    AgentId,
    AgentPath,
    BaseSurvey,
    Check,
    Claim,
    CommitId,
    Micros,
    ModelName,
    Role,
    RunId,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
)
from engine.state.snapshot import Snapshot
from tui.format.event_lines import describe
from tui.headless.progress import LINES_PER_SECOND, WIDTH, Progress, heartbeat_line
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


def test_each_heartbeat_says_why_nothing_starts() -> None:
    stream, snapshot = io.StringIO(), Snapshot()
    snapshot.load_limit = LoadLimit(0, 2, "199 MiB free")
    for now in (1, 2):
        Progress(Output(stream)).heartbeat(snapshot, now)
    assert [line.endswith("nothing starts: 199 MiB free") for line in stream.getvalue().splitlines()] == [True, True]


def test_what_a_planner_asks_is_written_with_how_to_answer_and_what_it_asks_its_planner_without() -> None:
    stream, snapshot = io.StringIO(), Snapshot(run=RunId("r-1"))
    snapshot.agents[AgentId("a0")] = Agent(
        AgentId("a0"), AgentPath("root"), None, Role.PLANNER, ModelName("m:m"), "root"
    )
    progress = Progress(Output(stream))
    question = Note(3, 0, AgentId("a0"), NoteKind.QUESTION, "which?\x1b[2J " * 30, ("3.10", "3.11"))
    assumption = Note(4, 0, AgentId("a0"), NoteKind.ASSUMPTION, "MIT")
    for body in (
        e.NoteMade(question),
        e.NoteMade(assumption),
        e.NoteMade(replace(question, to_agent=AgentId("a1"), text="which?")),
        e.AnswersOverdue((3,), "Nobody is there to answer"),
        e.NoteAnswered(4, "GPL"),
    ):
        progress.report(e.Event(1, 0, 1, body, AgentId("a0")), snapshot)
    asked, assumed, *rest = [line.removeprefix("[0:00:00] ") for line in stream.getvalue().splitlines()]
    assert asked.startswith("root asks: which?␛")
    assert asked.endswith(" · to answer: swarm-tui send r-1 answer 3 TEXT")
    assert assumed == "root assumes: MIT · to answer: swarm-tui send r-1 answer 4 TEXT"
    assert rest == [
        "root asks its planner: which? (3.10 / 3.11)",
        "root: decides without an answer: Nobody is there to answer",
        "root: note 4 answered by a person: GPL",
    ]


def test_text_from_agents_is_one_harmless_line() -> None:
    stream = io.StringIO()
    Progress(Output(stream)).report(
        spawned(1, 0, "evil \x1b[2J\x1b]52;c;x\x07 title\nerror: faked " + "long " * 100), Snapshot()
    )
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert len(line) <= WIDTH


def test_a_landing_that_waits_is_named_with_whom_it_waits_for_and_is_not_counted_as_working() -> None:
    snapshot, planner = Snapshot(), AgentId("p")
    worker, task = AgentId("w"), TaskId("t")
    snapshot.agents[worker] = Agent(worker, AgentPath("root/w-2"), planner, Role.WORKER, ModelName("m:m"), "list b")
    snapshot.tasks[task] = Task(task, TaskSpec("list b", "do it"), planner, 1, state=TaskState.LANDING, agent=worker)
    snapshot.task_counts[TaskState.LANDING] = 1
    snapshot.claims[task] = Claim(task, worker, ("LIST.md",))
    stream = io.StringIO()
    waits = e.LandingWaits({"LIST.md": AgentPath("root/w-1")})
    Progress(Output(stream)).report(e.Event(1, 0, 1, waits, worker, task), snapshot)
    assert "waits to land: root/w-2: list b (after root/w-1: LIST.md)" in stream.getvalue()
    assert heartbeat_line(snapshot, 0).startswith("0 working · 1 waiting to land · 0 queued")
    assert describe(e.Event(1, 0, 1, waits, worker, task)).text == "landing waits: LIST.md after root/w-1"


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


@pytest.mark.parametrize(("output", "shown"), [("", ["  | (no output)"]), ("one\ntwo\n", ["  | one", "  | two"])])
def test_a_base_that_fails_is_told_with_its_output(output: str, shown: list[str]) -> None:
    stream = io.StringIO()
    check = Check(Micros(0), CommitId("c"), False, 1, output, 0.1, clean=True, command="make test")
    Progress(Output(stream)).report(e.Event(1, 0, 1, e.BaseSurveyed(BaseSurvey(check, ("install it",)))), Snapshot())
    lines = stream.getvalue().splitlines()
    assert "the check fails in a clean copy: `make test` exited with status 1" in lines[0]
    assert lines[1:] == [*shown, "hint: install it"]
