"""The whole swarm in a simulated world: planning, work, handoffs, conflicts, failures and steering."""

import asyncio

import pytest
from msgspec.structs import replace

from engine.agents import nudges
from engine.domain.conversation import Request, ToolAnswer, Turn
from engine.domain.errors import ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.resource_use import AgentUse
from engine.domain.settings import Settings, SwarmSettings, TaskSettings
from engine.domain.types import AgentId, AgentState, LandingState, ModelName, Role, RunState, TaskState
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from engine.resources.build_gate import BuildGate
from engine.resources.governor import LoadGovernor
from tests import simulated
from tests.engine.scripts import done, planner_of, said, tasks, turns, writes
from tests.engine.swarms import fresh, run
from tests.simulated import Ran, World, answers, call, first_line, turn
from tests.simulated.workspaces import MemoryWorkspace


def test_an_intent_becomes_landed_commits() -> None:
    plan = planner_of("one", "two", "three")

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        name = heading.removeprefix("# Task: ")
        return done() if turns(request) else writes(f"{name}.txt", f"{name}\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE, outcome
        assert outcome.state is RunState.FINISHED
        assert {f"{name}.txt" for name in ("one", "two", "three")} <= set(w.trunk.files)
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 3
        assert swarm.snapshot.landing_counts[LandingState.MERGED] == 3
        assert swarm.snapshot.handoff_count == 4

    run(script, examine)


def test_a_subplanner_owns_its_slice_and_hands_off_to_its_parent() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            if turns(request) == 0:
                return turn(call("spawn_subplanner", title="The Parser", goal="own the parser"))
            return done() if "# Handoff: The Parser" in said(request) else turn(call("wait"))
        if heading.startswith("# Slice: The Parser"):
            return planner_of("lexer")(request)
        return done() if turns(request) else writes("lexer.txt", "x\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert "root/the-parser/w-1" in swarm.snapshot.paths
        assert "from: slice" in said(w.models.asked[-1].request)

    run(script, examine)


def test_a_conflict_goes_back_to_the_worker_with_markers_and_lands_resolved() -> None:
    plan = planner_of("left", "right")

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        name = heading.removeprefix("# Task: ")
        if turns(request) == 0:
            return writes("src/app.py", f"print('{name}')\n")
        last = answers(request)[0]
        if last.startswith("conflict:"):
            return turn(call("read_file", path="src/app.py"))
        if "<<<<<<< trunk" in last:
            return writes("src/app.py", "print('both')\n")
        return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        counts = swarm.snapshot.landing_counts
        assert (counts[LandingState.MERGED], counts[LandingState.CONFLICTED], counts[LandingState.RESOLVED]) == (
            1,
            1,
            1,
        )
        assert w.trunk.files["src/app.py"] == b"print('both')\n"

    run(script, examine)


def test_a_resolver_takes_over_after_two_failed_resolutions() -> None:
    plan = planner_of("left", "right")

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        if heading.startswith("# Conflict: "):
            return done("both") if turns(request) else writes("src/app.py", "print('resolved')\n")
        return done() if turns(request) else writes("src/app.py", f"print('{heading}')\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 2
        assert w.trunk.files["src/app.py"] == b"print('resolved')\n"
        assert [a.role for a in swarm.snapshot.agents.values()].count(Role.RESOLVER) == 1
        assert swarm.snapshot.landing_counts[LandingState.RESOLVED] == 1

    run(script, examine)


def test_a_conflict_that_nobody_resolves_ends_in_a_failed_handoff() -> None:
    plan = planner_of("left", "right")

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        if heading.startswith("# Conflict: "):
            return turn(call("submit_handoff", status="failed", summary="they cannot both hold"))
        return done() if turns(request) else writes("src/app.py", f"print('{heading}')\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE, "failed tasks alone do not change the status"
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 1
        assert swarm.snapshot.task_counts[TaskState.FAILED] == 1

    run(script, examine)


def test_a_failed_worker_is_replaced_and_the_next_one_is_told_why() -> None:
    plan = planner_of("one")
    told = []

    def script(model: ModelName, request: Request) -> Turn | Exception:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if "## Earlier attempt" not in said(request):
            return ModelError(ModelErrorKind.BAD_REQUEST, "no such thing")
        told.append(said(request))
        return done() if turns(request) else writes("one.txt", "1\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        task = next(iter(swarm.snapshot.tasks.values()))
        assert (task.state, task.attempt, task.failures) == (TaskState.LANDED, 2, 1)
        assert "no such thing" in told[0]

    run(script, examine)


def test_a_worker_that_repeats_itself_is_nudged_then_failed_with_a_handoff() -> None:
    plan = planner_of("one")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        return turn(call("read_file", path="README.md"))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert swarm.snapshot.task_counts[TaskState.FAILED] == 1
        handoff = next(iter(swarm.snapshot.handoffs.values()))
        assert handoff.by_engine
        assert f"{nudges.REPEATS_FAILED} times" in handoff.text.summary
        worker = [asked.request for asked in w.models.asked if first_line(asked.request).startswith("# Task")]
        assert any("# Nudge" in said(request) for request in worker)

    run(script, examine)


def test_a_model_without_valid_tool_calls_ends_in_a_clean_failed_handoff() -> None:
    plan = planner_of("silent", "malformed")

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        if heading.endswith("silent"):
            return turn(text="I will get right to it.")
        return turn(call("write_file", where="nowhere"))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.FAILED] == 2
        assert len(w.models.asked) < 40

    run(script, examine)


def test_many_malformed_calls_in_one_turn_count_once_and_the_model_sees_the_errors() -> None:
    plan = planner_of("guesses")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if turns(request) == 0:
            return turn(*(call("read_file", file=f"{n}.py") for n in range(8)))
        if turns(request) == 1:
            assert all(text.startswith("invalid arguments for read_file") for text in answers(request))
        return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        [task] = swarm.snapshot.tasks.values()
        assert (task.failures, task.state) == (0, TaskState.UNCHANGED)

    run(script, examine)


def test_parallel_calls_of_a_turn_end_before_one_of_them_fails_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planner_of("repeats")

    async def slowly(*_: object) -> list[object]:
        await asyncio.sleep(5)
        return []

    monkeypatch.setattr(MemoryWorkspace, "search", slowly)

    async def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if "## Earlier attempt" in said(request):
            await asyncio.sleep(10)
            return done()
        return turn(*(call("read_file", path="none") for _ in range(6)), call("search", pattern="x"))

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        [task] = swarm.snapshot.tasks.values()
        assert (task.failures, task.state) == (1, TaskState.UNCHANGED)
        ended = set()
        for event in w.journal.surviving():
            assert not (event.kind == "tool_finished" and event.agent in ended)
            if event.kind == "agent_state_changed" and event.body.state is AgentState.FAILED:
                ended.add(event.agent)

    run(script, examine)


def test_a_planner_cannot_hand_off_with_open_work() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent"):
            return done() if turns(request) else writes("one.txt", "1\n")
        match turns(request):
            case 0:
                return tasks("one")
            case 1:
                return done()
            case 2:
                assert answers(request)[0].startswith("not yet: tasks outstanding: 1,")
                return turn(call("wait"))
            case _:
                return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 1

    run(script, examine)


def test_waiting_without_open_work_returns_at_once() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if turns(request) == 0:
            return turn(call("wait"))
        assert answers(request)[0].startswith("nothing is outstanding")
        return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE

    run(script, examine)


def test_a_failed_check_of_trunk_leads_to_a_fixup_and_wakes_its_planner() -> None:
    plan = planner_of("breaks")

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        if heading.startswith("# Repair: "):
            assert "1 failed" in said(request)
            return done() if turns(request) else writes("bug.txt", "mended\n")
        return done() if turns(request) else writes("bug.txt", "bug\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE, outcome
        s = swarm.snapshot
        assert s.green == s.trunk == w.commits.tip
        assert (s.checks_passed, s.checks_failed) == (2, 1), "the base, the landing, the fixup"
        assert s.error_rate == pytest.approx(1 / 3)
        assert s.handoff_count == 4, "task, root, fixup, root again"

    run(script, examine, check=True, verdict=lambda files: files.get("bug.txt") != b"bug\n")


def test_a_run_whose_trunk_stays_red_ends_with_status_1() -> None:
    plan = planner_of("breaks")

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        return done() if turns(request) else writes("bug.txt", f"bug {len(said(request))} {heading}\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert (outcome.state, outcome.status) == (RunState.FINISHED, ExitStatus.NOT_GREEN)
        assert swarm.snapshot.green == w.commits.base
        assert swarm.snapshot.given_up

    run(script, examine, check=True, verdict=lambda files: "bug.txt" not in files)


def test_a_refused_key_ends_the_run_with_status_5() -> None:

    def script(model: ModelName, request: Request) -> Exception:
        return ModelError(ModelErrorKind.REFUSED, "invalid x-api-key", status=401)

    with pytest.raises(SwarmError, match="invalid x-api-key") as raised:
        run(script, lambda *_: None)
    assert raised.value.status is ExitStatus.REFUSED


def test_workers_know_nothing_about_the_tree_or_each_other_but_what_has_landed_in_their_files() -> None:
    titles = [f"secret-{word}" for word in ("apple", "banana", "cherry", "damson")]
    plan = planner_of(*titles)

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        name = heading.removeprefix("# Task: ")
        steps = [
            writes("src/app.py", f"print('{hash(name) % 7}')\n"),
            turn(call("read_file", path="src/app.py"), call("search", pattern="print")),
            turn(call("shell", command="git log"), call("rewrite_scratchpad", text="notes")),
        ]
        if turns(request) < len(steps):
            return steps[turns(request)]
        if answers(request) and "<<<<<<<" in answers(request)[0]:
            return writes("src/app.py", "print('all')\n")
        if answers(request) and answers(request)[0].startswith("conflict"):
            return turn(call("read_file", path="src/app.py"))
        return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        s = swarm.snapshot
        names = {task.id: task.spec.title for task in s.tasks.values()}
        for asked in w.models.asked:
            own = first_line(asked.request)
            if not own.startswith("# Task: "):
                continue
            text = asked.data.decode()
            answered = [block for message in asked.request.messages for block in message.blocks]
            conflicts = [found.text for found in answered if isinstance(found, ToolAnswer)]
            landed = "".join(found for found in conflicts if found.startswith("conflict:"))
            for id, title in names.items():
                assert id not in text
                assert title in own or title not in text or f" {title} (src/app.py)" in landed
            me = asked.request.conversation
            for agent in s.agents.values():
                assert agent.path == "root" or agent.path not in text
                assert agent.id == me or agent.id not in text
            assert '"root/' not in text

    run(script, examine)


def test_the_steps_of_an_attempt_are_limited() -> None:
    plan = planner_of("one")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        return writes("n.txt", f"{turns(request)}\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert swarm.snapshot.task_counts[TaskState.FAILED] == 1
        assert len(w.models.asked) < 20

    run(script, examine, settings=Settings(task=TaskSettings(max_steps=5, attempts=2)))


def test_no_more_workers_run_at_once_than_the_limit() -> None:
    titles = [f"t{n}" for n in range(12)]
    plan = planner_of(*titles)
    most = 0

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        name = first_line(request).removeprefix("# Task: ")
        return done() if turns(request) else writes(f"{name}.txt", "x\n")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        nonlocal most
        alive = 0
        for event in w.journal.surviving():
            if event.kind == "task_started":
                alive += 1
                most = max(most, alive)
            elif event.kind == "task_ended":
                alive -= 1
        assert most == 3

    run(script, examine, settings=Settings(swarm=SwarmSettings(workers=3)))


def test_a_finished_run_whose_branches_were_not_written_is_not_done() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("one")(request)
        return done() if turns(request) else writes("one.txt", "1\n")

    async def main(clock: simulated.SimulatedClock) -> None:
        w = simulated.world(clock, script)
        w.trunk.left_alone = "swarm/r/trunk not updated: it is checked out"
        swarm = fresh(w)
        await swarm.run()
        snapshot = swarm.snapshot
        assert (snapshot.state, snapshot.exit_status) == (RunState.FINISHED, ExitStatus.NOT_GREEN)
        assert snapshot.reason.endswith("; swarm/r/trunk not updated: it is checked out")

    simulated.simulate(main)


def test_agents_end_with_their_tasks() -> None:
    plan = planner_of("one", "two")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert all(agent.state is AgentState.DONE for agent in swarm.snapshot.agents.values())
        assert swarm.snapshot.landing_counts[LandingState.EMPTY] == 2

    run(script, examine)


def test_a_build_that_waits_at_the_gate_says_so_and_the_governors_limit_is_recorded() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        plan = planner_of("a", "b", "c")

        def script(model: ModelName, request: Request) -> Turn:
            if first_line(request).startswith("# Intent"):
                return plan(request)
            return done() if turns(request) else turn(call("shell", command="make all"))

        w = simulated.world(clock, script, shell=lambda workspace, command: Ran(0, "built", 30.0))
        gate = BuildGate(("make*",), "1", clock)
        settings = Settings()
        swarm = fresh(w, settings, gate=gate, governor=LoadGovernor(settings, lambda: 3, gate))
        w.meters.used = used = {AgentId("a1"): AgentUse(memory=7, gate_s=3.0, build_s=1.0)}
        outcome = asyncio.ensure_future(swarm.run())
        while not [agent for agent in swarm.snapshot.agents.values() if "waits at the build gate" in agent.doing]:
            await clock.sleep(0.1)
        w.meters.current = replace(w.meters.current, disk_free=1)
        await clock.sleep(12)
        assert swarm.snapshot.load_limit is not None
        assert swarm.snapshot.load_limit.workers == 0
        assert "free on the state folder's disk" in swarm.snapshot.load_limit.reason
        assert swarm.snapshot.uses == used
        w.meters.current = simulated.PLENTY
        assert (await outcome).status is ExitStatus.DONE
        waited = sorted(e.body.gate_wait_s for e in w.journal.surviving() if e.kind == "tool_finished" and e.task)
        assert max(waited) >= 30.0

    simulated.simulate(main)
