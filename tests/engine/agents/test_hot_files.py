"""A planner hears of a file in which its next tasks would collide, in the answer that queues them, and once."""

from engine.domain.conversation import Request, Turn
from engine.domain.settings import Settings, SwarmSettings
from engine.domain.types import ModelName
from engine.orchestrator.swarm import Swarm
from tests import simulated
from tests.engine.scripts import done, said, turns
from tests.engine.swarms import run
from tests.simulated import answers, call, first_line, hot_lines, turn
from tests.simulated.hot_lines import LIST

SETTINGS = Settings(swarm=SwarmSettings(workers=12))
Asked = dict[str, object]


def spawns(*asked: Asked) -> Turn:
    return turn(call("spawn_tasks", tasks=list(asked)))


def task(title: str, scope: str = "", **more: object) -> Asked:
    return {"title": title, "goal": f"do {title}", "scope": scope, **more}


def answers_after_conflicts(rounds: list[list[Asked]], conflicts: int = 3) -> list[str]:
    """Spawn tasks that meet so many conflicts in LIST; then each round of tasks. Returns the answers to the rounds."""
    told: list[str] = []
    first = [task(f"hot {number}", LIST) for number in range(conflicts + 1)]
    workers = hot_lines.plan([])

    def planner(request: Request) -> Turn:
        made = turns(request)
        spawned = sum(call.tool == "spawn_tasks" for message in request.messages for call in message.calls)
        if spawned > 1 and request.messages[-2].calls[0].tool == "spawn_tasks":
            told.append(answers(request)[0])
        wanted = len(first) + sum(len(asked) for asked in rounds[: max(0, spawned - 1)])
        if made == 0:
            return spawns(*first)
        if said(request).count("# Handoff: ") < wanted:
            return turn(call("wait"))
        return spawns(*rounds[spawned - 1]) if spawned <= len(rounds) else done()

    def script(model: ModelName, request: Request) -> object:
        return planner(request) if first_line(request).startswith("# Intent") else workers(model, request)

    def examine(swarm: Swarm, w: simulated.World, outcome: object) -> None:
        assert sum(task.conflicts for task in swarm.snapshot.tasks.values()) >= conflicts

    run(script, examine, settings=SETTINGS, files=hot_lines.FILES, shell=hot_lines.shell)  # type: ignore[arg-type]
    return told


def test_the_answer_that_queues_tasks_names_those_that_meet_in_a_file_with_repeated_conflicts() -> None:
    [answer] = answers_after_conflicts([[task("cold 1", "*.md"), task("cold 2", LIST), task("cold 3", "other/")]])
    note, _, queued = answer.partition("queued: ")
    assert f"- {LIST}: 3 conflicts, 4 landings; at the same time: cold 1, cold 2\n" in note
    assert "cold 3" not in note
    assert queued.count("queued: ") == 2
    for advice in ("`after`", "split", "new files", "[landing] union"):
        assert advice in note
    assert "at a time" not in note


def test_it_is_said_once_until_the_conflicts_have_doubled() -> None:
    pair = [task("cold 1", LIST), task("cold 2", LIST)]
    first, second = answers_after_conflicts([pair, [task("cold 3", LIST), task("cold 4", LIST)]])
    assert LIST in first
    assert LIST not in second
    hot = [task(f"hot {number}", LIST) for number in range(10, 15)]
    first, second, third = answers_after_conflicts([pair, hot, [task("cold 5", LIST), task("cold 6", LIST)]])
    assert (LIST in first, LIST in second, LIST in third) == (True, False, True)


def test_tasks_in_order_or_alone_or_elsewhere_are_no_reason_to_say_it() -> None:
    rounds = [
        [task("cold 1", LIST), task("cold 2", LIST, after=["cold 1"]), task("cold 3", LIST, after=["cold 2"])],
        [task("cold 4", LIST), task("cold 5", "other/"), task("cold 6")],
    ]
    assert not any(LIST in answer for answer in answers_after_conflicts(rounds))


def test_a_task_without_a_scope_counts_if_it_names_the_file() -> None:
    rounds = [[task("cold 1", goal=f"add an entry to {LIST}"), task("cold 2", LIST), task("cold 3")]]
    [answer] = answers_after_conflicts(rounds)
    assert "at the same time: cold 1, cold 2\n" in answer


def test_one_conflict_is_no_reason_to_say_it() -> None:
    [answer] = answers_after_conflicts([[task("cold 1", LIST), task("cold 2", LIST)]], conflicts=1)
    assert answer.startswith("queued: ")
