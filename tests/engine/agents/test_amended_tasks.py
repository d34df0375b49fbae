"""Tasks that change after they were asked for: by their planner, and by a person's word to a worker."""

import asyncio

from engine.agents.openings import conflict_opening
from engine.domain import events as e
from engine.domain.commands import Steer
from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.settings import Settings, SwarmSettings, TaskSettings
from engine.domain.types import AgentId, AgentPath, HandoffStatus, HandoffText, Task, TaskId, TaskSpec, TaskState
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.records import answered, failing, kinds, planner_was_told, states, titled
from tests.engine.scripts import Step, done, id_of, root_that, said, says, spawns, turns, writes
from tests.engine.steering import a_minute, until
from tests.engine.swarms import fresh, resumed, run
from tests.simulated import World, call, first_line, turn

ONE = Settings(swarm=SwarmSettings(workers=1))
WORKER = AgentPath("root/w-1")


def amends(title: str, /, **fields: object) -> Step:
    return lambda request: turn(call("amend_task", task=id_of(request, title), **fields))


def builds_first(request: Request) -> Turn:
    """A worker that runs a command of a minute, writes its file and hands off."""
    if turns(request) == 0:
        return turn(call("shell", command="make", timeout_s=90))
    title = first_line(request).partition(": ")[2]
    return writes(f"{title}.txt", "x\n") if turns(request) == 1 else done()


def workers_were_told(w: World, title: str) -> str:
    """All that the workers of a task have read."""
    return "\n=====\n".join(
        said(each.request) for each in w.models.asked if first_line(each.request) == f"# Task: {title}"
    )


def test_a_queued_task_changes_in_place() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert answered(w, "amend_task")[0].startswith("amended: "), answered(w, "amend_task")
        task = titled(swarm.snapshot, "second")
        assert (task.spec.goal, task.spec.scope, task.state) == ("do it better", "src/**", TaskState.LANDED)
        assert "## Goal\n\ndo it better" in workers_were_told(w, "second")
        assert "has changed" not in workers_were_told(w, "second"), "it began after the change"
        (amended,) = kinds(w, e.TaskAmended)
        assert amended.body.changed == ("title", "goal", "scope")  # type: ignore[union-attr]

    steps = (spawns("first", "b"), amends("b", goal="do it better", scope="src/**", title=" second "))
    run(root_that(*steps, worker=builds_first), examine, settings=ONE, shell=a_minute)


def test_an_amendment_neither_empties_a_goal_nor_tells_a_worker_of_nothing() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        emptied, nothing = answered(w, "amend_task")
        assert emptied == "not amended: no goal would be left; to take the task back, cancel it"
        assert nothing == "nothing to amend: a already reads so"
        assert titled(swarm.snapshot, "a").spec.goal == "do a"
        assert "has changed" not in workers_were_told(w, "a")

    changes = ([{"old": "do a", "new": " "}], [{"old": "", "new": " "}])
    steps = (spawns("a"), *(amends("a", changes=each) for each in changes))
    run(root_that(*steps, worker=builds_first), examine, shell=a_minute)


def test_a_running_worker_is_shown_what_has_changed_and_neither_why_nor_by_whom() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        told = workers_were_told(w, "a").rpartition("=====")[2]
        change = told[told.index("# Your task has changed") :]
        assert change.index("\n-do a\n+do a, and b\n") < change.index("## Goal\n\ndo a, and b")
        assert "planner" not in change.lower()
        assert "intent" not in change.lower()
        assert "reads the change before its next step" in answered(w, "amend_task")[0]
        (agent,) = [each for each in swarm.snapshot.agents.values() if each.task]
        assert agent.goal == "do a, and b", "reminders of the goal show the new one"
        assert agent.attempt == 1

    wait = lambda request: turn(call("shell", command="sleep", timeout_s=20))  # noqa: E731
    steps = (spawns("a"), wait, amends("a", goal="do a, and b"))
    run(root_that(*steps, worker=builds_first), examine, shell=a_minute)


def test_a_change_of_a_few_words_needs_no_whole_goal_and_shows_only_their_sentence() -> None:
    goal = "Write the parser. It reads 12 more. It is fast."

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        wrong, twice, right = answered(w, "amend_task")
        assert "`13 more` occurs 0 times in its goal and acceptance, not once" in wrong
        assert "`It ` occurs 2 times" in twice
        assert right.startswith("amended: ")
        spec = titled(swarm.snapshot, "a").spec
        whole = "Write the parser. It reads 12 more rows. It is fast.\n\nIt is small, too."
        assert (spec.goal, spec.acceptance) == (whole, "All pass.")
        told = workers_were_told(w, "a").rpartition("=====")[2]
        change = told[told.index("# Your task has changed") :]
        assert "\n-It reads 12 more.\n+It reads 12 more rows.\n" in change
        assert "-Write the parser" not in change

    def changes(*pairs: tuple[str, str]) -> Step:
        return amends("a", changes=[{"old": old, "new": new} for old, new in pairs])

    spawn = lambda request: turn(  # noqa: E731
        call("spawn_tasks", tasks=[{"title": "a", "goal": goal, "acceptance": "Some pass."}])
    )
    wait = lambda request: turn(call("shell", command="sleep", timeout_s=20))  # noqa: E731
    right = changes(("12 more", "12 more rows"), ("", "It is small, too."), ("Some", "All"))
    steps = (spawn, wait, changes(("13 more", "x")), changes(("It ", "x")), right)
    run(root_that(*steps, worker=builds_first), examine, shell=a_minute)


def test_what_can_not_be_amended_is_refused_with_what_to_do() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        unknown, same, late, circle, ended = answered(w, "amend_task")
        assert "no task `t9`" in unknown
        assert "nothing to amend" in same
        assert "has started" in late
        assert "circle: b → c → b" in circle
        assert "has ended: landed; spawn a task" in ended

    start = lambda request: turn(call("shell", command="sleep", timeout_s=20))  # noqa: E731
    steps = (
        spawns("a", "b", {"title": "c", "after": ["b"]}),
        start,
        says("amend_task", task="t9", goal="x"),
        amends("b", goal="do b"),
        amends("a", after=["b"]),
        amends("b", after=["c"]),
        says("wait"),
        amends("a", goal="more"),
    )
    run(root_that(*steps, worker=builds_first), examine, settings=ONE, shell=a_minute)


def test_a_retry_starts_from_the_amended_task_and_inherits_what_the_first_attempt_noted() -> None:
    def worker(request: Request) -> Turn:
        if "do a twice" in first_line(request) + said(request) and "Earlier attempt" in said(request):
            return failing(request)
        if turns(request) < 3:
            note = call("rewrite_scratchpad", text="the parser lives in src/app.py")
            steps = (turn(note), turn(call("read_file", path="src/app.py")), writes("half.txt", "x\n"))
            return steps[turns(request)]
        return turn(call("shell", command="make", timeout_s=90))  # until its time is over

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert states(swarm.snapshot) == {"a": TaskState.LANDED}
        told = workers_were_told(w, "a").rpartition("=====")[2]
        assert "## Goal\n\ndo a twice" in told
        earlier = told[told.index("## Earlier attempt") :]
        assert "it took longer than 3m" in earlier
        assert "> the parser lives in src/app.py" in earlier
        assert "It had changed:\n\n- `half.txt`" in earlier
        assert "It had read:\n\n- `src/app.py`" in earlier

    steps = (spawns("a"), says("shell", command="sleep"), amends("a", goal="do a twice"))
    settings = Settings(task=TaskSettings(timeout="3m"))
    run(root_that(*steps, worker=worker), examine, settings=settings, shell=a_minute)


def test_a_task_that_replaces_a_cancelled_one_inherits_what_it_had_noted() -> None:
    def worker(request: Request) -> Turn:
        if first_line(request) == "# Task: again":
            return failing(request)
        if turns(request) == 0:
            return turn(call("rewrite_scratchpad", text="use the fast interpreter"))
        return turn(call("shell", command="make", timeout_s=90))

    def replace(request: Request) -> Turn:
        cancel = call("cancel_task", task=id_of(request, "a"), reason="the user dislikes it")
        again = {"title": "again", "goal": "do it again", "replaces": id_of(request, "a")}
        return turn(cancel, call("spawn_tasks", tasks=[again]))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        task = titled(swarm.snapshot, "again")
        assert task.replaces == titled(swarm.snapshot, "a").id
        told = workers_were_told(w, "again")
        assert "Its notes:\n\n> use the fast interpreter" in told
        assert told.partition("=====")[0].count("fast interpreter") == 1
        assert "left out" not in told
        assert "dislikes" not in told, "it learns nothing of why"

    steps = (spawns("a"), says("shell", command="sleep"), replace)
    run(root_that(*steps, worker=worker), examine, shell=a_minute)


def test_only_a_failed_or_cancelled_task_can_be_replaced() -> None:
    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert "only a failed or cancelled task" in answered(w, "spawn_tasks")[1]
        assert "no task `nobody`" in answered(w, "spawn_tasks")[2]

    steps = (
        spawns("a"),
        spawns({"title": "b", "replaces": "a"}),
        spawns({"title": "b", "replaces": "nobody"}),
    )
    run(root_that(*steps), examine)


# --- a person's word -----------------------------------------------------------------------------------------


def test_a_persons_word_supersedes_the_task_and_reaches_its_planner() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, root_that(spawns("a"), worker=builds_first), shell=a_minute)
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: s.snapshot.tool_calls == 2)
        await swarm.submit(Steer(WORKER, "write b.txt as well"))
        task = titled(swarm.snapshot, "a")
        assert task.directions == ("write b.txt as well",)
        assert (await running).status is ExitStatus.DONE
        told = workers_were_told(w, "a")
        assert (
            "write b.txt as well\n\nWhere this differs from the goal or scope of your task, this is what counts."
            in told
        )
        note = planner_was_told(w)
        assert f"About your task {task.id} a, the user told the worker:\n\n> write b.txt as well" in note

    simulated.simulate(main)


def test_a_word_that_is_taken_back_leaves_the_record_and_the_planner_learns_it() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, root_that(spawns("a"), worker=builds_first), shell=a_minute)
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: s.snapshot.tool_calls == 2)
        await swarm.submit(Steer(WORKER, "go left"))
        await swarm.submit(Steer(WORKER, "mind the gap"))
        await swarm.submit(Steer(WORKER, "go left", taken_back=True))
        assert titled(swarm.snapshot, "a").directions == ("mind the gap",)
        await running
        assert "took back what they had told the worker" in planner_was_told(w)

    simulated.simulate(main)


def test_a_task_that_replaces_another_keeps_a_persons_word() -> None:
    def worker(request: Request) -> Turn:
        return failing(request) if first_line(request) == "# Task: again" else builds_first(request)

    def replace(request: Request) -> Turn:
        again = {"title": "again", "goal": "do it again", "replaces": id_of(request, "a")}
        return turn(call("cancel_task", task=id_of(request, "a")), call("spawn_tasks", tasks=[again]))

    steps = (spawns("a"), says("shell", command="sleep"), replace)

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, root_that(*steps, worker=worker), shell=a_minute)
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda swarm: WORKER in swarm.snapshot.paths)
        await swarm.submit(Steer(WORKER, "use tabs"))
        await running
        assert titled(swarm.snapshot, "again").directions == ("use tabs",)
        assert "## What the user said since\n\n- use tabs" in workers_were_told(w, "again")

    simulated.simulate(main)


def test_a_resolver_knows_a_persons_word() -> None:
    task = Task(TaskId("t"), TaskSpec("a", "do a"), AgentId("p"), 1, directions=("keep both",))
    opening = conflict_opening(task, HandoffText(HandoffStatus.DONE, "it is done"), ["a.txt"], "", "")
    assert "## What the user said since\n\n- keep both" in opening


def test_a_retry_after_a_kill_still_knows_a_persons_word() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, root_that(spawns("a"), worker=builds_first), shell=a_minute)
        swarm = fresh(w)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: s.snapshot.tool_calls == 2)
        await swarm.submit(Steer(WORKER, "write b.txt as well"))
        w.crash()
        running.cancel()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        w = w.restart(copies=False)
        again = await resumed(w)
        assert (await again.run()).status is ExitStatus.DONE
        opening = workers_were_told(w, "a").rpartition("=====")[2]
        assert "## What the user said since\n\n- write b.txt as well" in opening

    simulated.simulate(main)
