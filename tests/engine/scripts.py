"""Turns of scripted models: plans, tasks, writes and handoffs."""

from collections.abc import Callable

from engine.domain.conversation import Message, Request, ToolAnswer, Turn
from engine.domain.types import ModelName
from tests import simulated
from tests.simulated import answers, call, first_line, turn


def said(request: Request) -> str:
    """All text that the agent has been told."""
    return "\n".join(message.text for message in request.messages if message.role == "user")


def turns(request: Request) -> int:
    """The agent's turns so far, without those whose calls were interrupted."""
    pairs = zip(request.messages, request.messages[1:], strict=False)
    return sum(said.role == "assistant" and not _lost(told) for said, told in pairs)


def _lost(told: Message) -> bool:
    texts = (block.text for block in told.blocks if isinstance(block, ToolAnswer))
    return any(text.startswith("interrupted") for text in texts)


def tasks(*titles: str, **more: object) -> Turn:
    return turn(call("spawn_tasks", tasks=[{"title": title, "goal": f"do {title}", **more} for title in titles]))


def done(summary: str = "it is done", **more: object) -> Turn:
    return turn(call("submit_handoff", status="done", summary=summary, **more))


def writes(path: str, content: str) -> Turn:
    return turn(call("write_file", path=path, content=content))


def planner_of(*titles: str):
    """A root planner that spawns the tasks, waits for all their handoffs, and hands off."""

    def script(request: Request) -> Turn:
        if turns(request) == 0:
            return tasks(*titles)
        if said(request).count("# Handoff: ") < len(titles):
            return turn(call("wait"))
        return done()

    return script


Script = simulated.models.Script


def numbered(count: int, broken: set[int], mend: bool = True) -> Script:
    """A plan of `count` tasks, one file each. Those in `broken` break the check, and fixups repair it."""
    titles = [f"part {number}" for number in range(count)]

    def plan(request: Request) -> Turn:
        if turns(request) == 0:
            chunks = [titles[start : start + 60] for start in range(0, count, 60)]
            return turn(*(tasks(*chunk).message.calls[0] for chunk in chunks))
        refused = bool(answers(request)) and "not yet" in answers(request)[0]  # a fixup is under way
        return turn(call("wait")) if refused or said(request).count("# Handoff: part ") < count else done()

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        if heading.startswith("# Repair"):
            if turns(request) == 0:
                return turn(call("search", pattern="bug"))
            found = [line.partition(":")[0] for line in answers(request)[0].splitlines() if line.startswith("part")]
            mending = [call("write_file", path=path, content="mended\n") for path in found]
            return turn(*mending) if mend and mending else done("mended")
        number = int(heading.rpartition(" ")[2])
        return done() if turns(request) else writes(f"part-{number}.txt", "bug\n" if number in broken else "fine\n")

    return script


Step = Callable[[Request], Turn]


def root_that(*steps: Step, worker: Step | None = None) -> Script:
    """A root planner that takes these steps, then waits until nothing is outstanding and hands off.

    Workers write a file named after their task and hand off, or do what `worker` does.
    """

    def plan(request: Request) -> Turn:
        if (at := turns(request)) < len(steps):
            return steps[at](request)
        return done() if any("nothing is outstanding" in text for text in answers(request)) else turn(call("wait"))

    def work(request: Request) -> Turn:
        return done() if turns(request) else writes(f"{first_line(request).partition(': ')[2]}.txt", "x\n")

    def script(model: ModelName, request: Request) -> Turn:
        return plan(request) if first_line(request).startswith("# Intent") else (worker or work)(request)

    return script


def says(tool: str, **arguments: object) -> Step:
    """A step that makes one call."""
    return lambda request: turn(call(tool, **arguments))


def spawns(*asked: str | dict[str, object]) -> Step:
    """A step that spawns tasks: titles, or the fields that differ from a plain task."""
    every = [{"title": each} if isinstance(each, str) else each for each in asked]
    return says("spawn_tasks", tasks=[{"goal": f"do {each['title']}", **each} for each in every])


def id_of(request: Request, title: str) -> str:
    """The id of the newest task of this title, from the answers to `spawn_tasks`."""
    found = [
        line.split()[1]
        for message in request.messages
        for block in message.blocks
        if isinstance(block, ToolAnswer)
        for line in block.text.splitlines()
        if line.startswith("queued: ") and line.split(" ", 2)[2].partition(" (after ")[0] == title
    ]
    return found[-1]
