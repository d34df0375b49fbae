"""The report agrees with the journal; planners are told about files with many conflicts."""

import asyncio
import shutil
from collections import Counter
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

import prompts as prompt_files
from engine.domain import events as e
from engine.domain import types as t
from engine.domain.collisions import LARGE, MANY, Tries
from engine.domain.commands import Stop
from engine.domain.conversation import Message, Request, StopReason, Text, Turn
from engine.domain.environment import Environment
from engine.domain.errors import SwarmError
from engine.domain.handoff_facts import Facts
from engine.domain.resource_use import AgentUse, LoadLimit, Sample
from engine.domain.settings import Settings, SwarmSettings
from engine.domain.types import LandingState, ModelName
from engine.journal.run_row import glance
from engine.journal.writer import SqliteJournal
from engine.policy.hotspots import newly_hot
from engine.reports.report import report_of
from engine.runtime.prompts import Prompts
from engine.state.snapshot import Snapshot
from tests import simulated
from tests.engine.journal.stories import Story, story
from tests.engine.scripts import done, planner_of, turns, writes
from tests.engine.steering import until
from tests.engine.swarms import PROMPTS, fresh, resumed
from tests.simulated import call, first_line, turn


def conflict(snapshot: Snapshot, *paths: str) -> None:
    """Adds a conflict of the first task to a snapshot, like the fold does."""
    task = next(iter(snapshot.tasks.values()))
    landing = t.Landing(
        t.LandingId("l"), 0, task.id, t.AgentId("a"), LandingState.CONFLICTED, t.CommitId("c"), conflicts=paths
    )
    snapshot.landings.append(landing)
    snapshot.contention.add(landing, task.planner)


async def write(path: Path, events: list[e.Event]) -> None:
    journal = await SqliteJournal.open(path)
    journal.append(events)
    await journal.durable(events[-1].seq)
    await journal.close()


async def test_the_report_has_what_commands_found_when_the_run_last_looked(tmp_path: Path) -> None:
    looks = [Environment("1", missing=("mypy",)), Environment("2", network=True)]
    events = [e.Event(seq, seq, 1, e.EnvironmentSurveyed(look)) for seq, look in enumerate(looks, 1)]
    created = story(11, 1).events[0].body
    events = [e.Event(1, 1, 1, created), *(replace(event, seq=event.seq + 1) for event in events)]
    await write(tmp_path / "journal.db", events)
    report = report_of(tmp_path / "journal.db", tmp_path / "no-trunk.git")
    assert report.environment == looks[-1]


async def test_the_report_counts_what_the_snapshot_counts(tmp_path: Path) -> None:
    told = story(11, 600)
    events, snapshot = told.events, told.snapshot
    await write(tmp_path / "journal.db", events)
    report = report_of(tmp_path / "journal.db", tmp_path / "no-trunk.git")
    assert report.conflicts == snapshot.landing_counts[LandingState.CONFLICTED]
    assert report.tokens == snapshot.usage.input + snapshot.usage.output
    assert report.landed == snapshot.task_counts[t.TaskState.LANDED]
    counted = snapshot.contention
    fought_over = sorted((-times, -counted.landed.get(path, 0), path) for path, times in counted.conflicted.items())
    assert [(-file.conflicts, -file.landings, file.path) for file in report.hottest] == fought_over[:10]
    thought = sum(event.body.wall_s for event in events if isinstance(event.body, e.TurnTaken))
    assert report.time_s["thinking"] == pytest.approx(thought, abs=0.01)
    assert sum(part.conflicts for part in report.subtrees) == report.conflicts
    assert snapshot.notes
    assert [(note.note, note.text, note.options, note.answer) for note in report.notes] == [
        (note.number, note.text, note.options, note.answer) for note in snapshot.notes.values()
    ]
    paths = {agent.path: agent.id for agent in snapshot.agents.values()}
    planners = [agent for agent in snapshot.agents.values() if agent.role is t.Role.PLANNER]
    assert {part.path for part in report.subtrees} == {planner.path for planner in planners}
    for part in report.subtrees:
        tries = counted.of_planner.get(paths[t.AgentPath(part.path)], Tries())
        assert (tries.landed, tries.conflicts) == (part.landed, part.conflicts)
        assert part.conflict_rate == (tries.conflicts / (tries.landed + tries.conflicts) if tries != Tries() else None)
    assert sum(tries.conflicts for tries in counted.of_planner.values()) == report.conflicts
    assert msgspec.json.decode(msgspec.json.encode(report))["run"] == "r-1"


def subplanner(told: Story) -> t.Agent:
    """A planner below the root with a running task that has cost something."""
    assert told.snapshot.root is not None
    planner = t.AgentId("a-sub")
    task = t.Task(t.TaskId("t-sub"), t.TaskSpec("a part", "do it"), planner, 1, queued_at=told.at)
    for id, path, parent, role in (
        (planner, "root/sub", told.snapshot.root, t.Role.PLANNER),
        (t.AgentId("a-sub-w"), "root/sub/w", planner, t.Role.WORKER),
    ):
        of = None if role is t.Role.PLANNER else task.id
        agent = t.Agent(id, t.AgentPath(path), parent, role, t.ModelName("m:n"), "part", task=of, spawned_at=told.at)
        told.tell(e.AgentSpawned(agent), id, of)
    told.tell(e.TaskQueued(task), planner, task.id)
    told.tell(e.TaskStarted(t.AgentId("a-sub-w"), 1), t.AgentId("a-sub-w"), task.id)
    for id, of in ((planner, None), (t.AgentId("a-sub-w"), task.id)):
        said = Message("assistant", (Text("x"),))
        turn = e.TurnTaken(
            t.ModelName("m:n"), None, (), said, StopReason.END, t.Usage(100, 40, 10, None), "worker@1", 1.0
        )
        told.tell(turn, id, of)
    return told.snapshot.agents[planner]


async def test_the_report_shows_the_cost_and_waste_of_roles_and_subtrees(tmp_path: Path) -> None:
    told = story(7, 400)
    s = told.snapshot
    planner = subplanner(told)
    for state in (t.TaskState.FAILED, t.TaskState.CANCELLED):
        at_work = [task for task in s.tasks.values() if task.state is t.TaskState.WORKING]
        told.tell(e.TaskEnded(state, "no"), at_work[0].agent, at_work[0].id)
    await write(tmp_path / "journal.db", told.events)
    report = report_of(tmp_path / "journal.db", tmp_path)

    def tokens(agents: list[t.Agent]) -> int:
        return sum(agent.usage.input + agent.usage.output for agent in agents)

    agents = list(s.agents.values())
    roles = {role.role: role for role in report.roles}
    assert {role: used.tokens for role, used in roles.items()} == {
        role: tokens([agent for agent in agents if agent.role is role]) for role in {agent.role for agent in agents}
    }
    assert sum(used.tokens for used in roles.values()) == report.tokens
    below = {part.path: (part.tokens, part.usd) for part in report.subtrees}
    assert below == {t.ROOT: (report.tokens, None), planner.path: (tokens(list(s.subtree(planner.id))), None)}
    vain = [
        agent
        for agent in agents
        if agent.task is not None
        and (
            (task := s.tasks[agent.task]).state in (t.TaskState.UNCHANGED, t.TaskState.FAILED, t.TaskState.CANCELLED)
            or (agent.role is not t.Role.RESOLVER and task.agent not in (None, agent.id))
        )
    ]
    assert report.wasted_tokens == tokens(vain)
    assert 0 < report.wasted_tokens < report.tokens


async def test_the_report_shows_conflicts_by_folder_and_the_slowest_steps(tmp_path: Path) -> None:
    told = story(11, 600)
    s = told.snapshot
    root = s.root
    assert root is not None
    told.tell(e.ToolStarted(t.CallId("slow"), "shell", "{}", True, "make all"), root)
    told.tell(e.ToolFinished(t.CallId("slow"), "shell", t.ToolCallState.OK, "exit 0", (), 7_000.0), root)
    subplanner(told)
    working = [task for task in s.tasks.values() if task.state is t.TaskState.WORKING]
    first, second = working[0], working[-1]
    for number, task in enumerate((first, first, second)):
        files = ("src/deep/er/a.py", "src/deep/b.py", "c.py")[: 3 - number]
        conflicted = (LandingState.CONFLICTED, t.CommitId("c"))
        landing = t.Landing(t.LandingId(f"l{number}"), 0, task.id, t.AgentId("a"), *conflicted, conflicts=files)
        text = t.HandoffText(t.HandoffStatus.DONE, "done")
        told.tell(e.LandingStarted(landing.id, t.CommitId("d"), text), task.agent, task.id)
        told.tell(e.LandingFinished(landing), task.agent, task.id)
    await write(tmp_path / "journal.db", told.events)
    report = report_of(tmp_path / "journal.db", tmp_path)
    above, beside = s.agents[first.planner].path, s.agents[second.planner].path
    assert [(heat.planner, heat.folder, heat.conflicts) for heat in report.heat] == [
        (above, "src/deep", 4),
        *sorted([(above, ".", 1), (beside, "src/deep", 1)]),
    ]
    slowest = report.slowest[0]
    assert (slowest.agent, slowest.tool, slowest.target, slowest.wall_s) == (t.ROOT, "shell", "make all", 7_000.0)
    assert [step.wall_s for step in report.slowest] == sorted((step.wall_s for step in report.slowest), reverse=True)


async def test_the_report_shows_resource_use_of_subtrees_and_locked_indexes(tmp_path: Path) -> None:
    told = story(13, 300)
    s = told.snapshot
    workers = [agent for agent in s.agents.values() if agent.parent is not None]
    planner = s.agents[t.AgentId(str(workers[0].parent))]
    mine = [worker for worker in workers if worker.parent == planner.id][:2]
    use = AgentUse(memory=2**60, cpu=50.0, gate_s=1.0, build_s=3.0)
    told.tell(e.AgentsSampled({worker.id: use for worker in mine}))
    before = s.index_lock_failures
    for answer in ("exit 128\nfatal: Unable to create '/ws/.git/index.lock': File exists.", "exit 0\nindex.lock"):
        call = t.CallId("git")
        told.tell(e.ToolStarted(call, "shell", "{}", True, "git add ."), mine[0].id)
        told.tell(e.ToolFinished(call, "shell", t.ToolCallState.OK, answer), mine[0].id)
    assert s.index_lock_failures == before + 1
    await write(tmp_path / "journal.db", told.events)
    report = report_of(tmp_path / "journal.db", tmp_path)
    assert report.index_lock_failures == s.index_lock_failures
    [part] = [part for part in report.subtrees if part.path == planner.path]
    assert part.memory == len(mine) * 2**60
    assert part.cpu is not None
    assert part.contention is not None
    assert part.contention > 0


async def test_the_report_shows_how_a_loaded_machine_slowed_the_run_and_what_the_governor_did(tmp_path: Path) -> None:
    first, *_ = story(11, 1).events
    second = 1_000_000
    busy = Sample(starved=90, cpu_others=80, runnable=9)
    bodies = [
        (0, e.EpochStarted(1, "full", "overlay", "{}")),
        (10, e.Sampled(busy)),
        (10, e.LoadLimited(LoadLimit(8, 2, "commands wait for a CPU 90% of the time"))),
        (20, e.Sampled(replace(busy, starved=50, runnable=3))),
        (20, e.LoadLimited(LoadLimit(4, 2, "commands wait for a CPU 85% of the time"))),
        (50, e.LoadLimited(LoadLimit(5, 2, "calm again"))),
        (70, e.LoadLimited(LoadLimit(None, 2, "calm again"))),
        (75, e.Sampled(Sample())),
        (80, e.LoadLimited(LoadLimit(6, 2, "memory pressure 40%"))),
        (90, e.Sampled(Sample())),
    ]
    events = [e.Event(seq, at * second, 1, body) for seq, (at, body) in enumerate(bodies, 2)]
    await write(tmp_path / "journal.db", [e.Event(1, 0, 1, first.body), *events])
    load = report_of(tmp_path / "journal.db", tmp_path).load
    assert (load.starved, load.cpu_others) == (80, 80)
    assert (load.limits, load.fewest, load.limited_s) == (3, 4, 70)
    assert load.reason == "memory pressure 40%"
    row = glance(tmp_path / "journal.db")
    assert row is not None
    assert row.load_limit == LoadLimit(6, 2, "memory pressure 40%")

    again = e.Event(12, 10_000 * second, 2, e.EpochStarted(2, "full", "overlay", "{}"))
    await write(tmp_path / "journal.db", [again])
    assert report_of(tmp_path / "journal.db", tmp_path).load.limited_s == 70, "not while no process worked"
    row = glance(tmp_path / "journal.db")
    assert row is not None
    assert row.load_limit is None, "a new process begins without a limit"


async def test_the_report_compares_versions_of_prompts(tmp_path: Path) -> None:
    told = story(12, 300)
    s = told.snapshot
    for prompt, usd in (("worker@1", 0.5), ("worker@2", 0.25), ("worker@2", None)):
        task = next(iter(s.tasks.values()))
        usage = t.Usage(100, 40, 10, usd)
        said = Message("assistant", (Text("x"),))
        turn = e.TurnTaken(t.ModelName("m:n"), None, (), said, StopReason.END, usage, f"other/{prompt}", 1.0)
        told.tell(turn, told._spawn(task.id, t.Role.WORKER), task.id)
    await write(tmp_path / "journal.db", told.events)
    report = report_of(tmp_path / "journal.db", tmp_path)
    turns = [event.body for event in told.events if isinstance(event.body, e.TurnTaken)]
    assert {used.prompt: used.calls for used in report.prompts} == Counter(turn.prompt for turn in turns)
    one, two = (used for used in report.prompts if used.prompt.startswith("other/"))
    assert (one.prompt, one.calls, one.agents, one.tasks, one.input, one.cached, one.usd) == (
        *("other/worker@1", 1, 1, 1),
        *(100, 40, 0.5),
    )
    assert (two.calls, two.agents, two.output, two.usd) == (2, 2, 20, None)


def test_the_report_shows_how_two_versions_of_a_prompt_differ_in_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer program continues the run; its prompt tells workers to look before they write."""
    newer = tmp_path / "prompts"
    shutil.copytree(Path(str(files(prompt_files))), newer, ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
    text = (newer / "worker.md").read_text()
    old = f"version = {PROMPTS['worker'].front.version}\n"
    (newer / "worker.md").write_text(text.replace(old, "version = 99\n") + "\nLook before you write.\n")
    plan = planner_of(*(f"part {number}" for number in range(8)))

    def script(model: ModelName, request: Request) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            return plan(request)
        if "Look before you write." in request.system:
            return done() if turns(request) else writes(f"{heading[8:].replace(' ', '-')}.txt", "right\n")
        if turns(request) < 4:
            return writes("guess.txt", f"{turns(request)}\n")
        return turn(call("submit_handoff", status="failed", summary="it does not work"))

    async def main(clock: simulated.SimulatedClock) -> list[e.Event]:
        w, one_worker = simulated.world(clock, script), Settings(swarm=SwarmSettings(workers=1))
        swarm = fresh(w, one_worker)
        running = asyncio.ensure_future(swarm.run())
        await until(swarm, lambda s: s.snapshot.task_counts[t.TaskState.FAILED] == 4)
        await swarm.submit(Stop())
        await running
        monkeypatch.setattr("tests.engine.swarms.PROMPTS", Prompts(newer))
        w = w.restart()
        again = await resumed(w, one_worker)
        await again.run()
        return w.journal.surviving()

    asyncio.run(write(tmp_path / "journal.db", simulated.simulate(main)))
    used = {each.prompt: each for each in report_of(tmp_path / "journal.db", tmp_path).prompts}
    before, after = used[PROMPTS["worker"].label], used["worker@99"]
    assert (before.landed, after.landed) == (0, 4)
    assert before.calls / before.tasks >= 5 > after.calls / after.tasks == 2


async def test_a_file_that_is_not_a_journal_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(SwarmError):
        report_of(tmp_path / "journal.db", tmp_path)


def test_a_planner_is_told_about_a_file_when_its_conflicts_reach_the_threshold_and_when_they_double() -> None:
    snapshot = story(3, 200).snapshot
    snapshot.landings.clear()
    snapshot.contention.conflicted.clear()
    task = next(iter(snapshot.tasks.values()))
    snapshot.tasks[task.id] = replace(task, conflicts=1)
    told = []
    for number in range(1, 14):
        snapshot.landings.clear()
        conflict(snapshot, "src/hub.py")
        if newly_hot(snapshot, task):
            told.append(number)
    assert told == [2, 4, 8]
    snapshot.landings.clear()
    assert newly_hot(snapshot, task) == []


def test_the_size_and_the_landings_of_a_large_file_are_known_until_it_shrinks() -> None:
    snapshot = story(3, 200).snapshot
    task = next(iter(snapshot.tasks.values()))

    def land(*paths: str, **sizes: int) -> None:
        about = (t.LandingId("l"), 0, task.id, t.AgentId("a"), LandingState.MERGED, t.CommitId("c"), t.CommitId("d"))
        snapshot.contention.add(t.Landing(*about, paths=paths, large=sizes), task.planner)

    for number in range(MANY):
        land("hub", "once", hub=LARGE + number)
        assert snapshot.contention.large["hub"] == LARGE + number
    assert snapshot.contention.landed["hub"] == MANY
    assert "once" not in snapshot.contention.large
    land("hub")
    assert "hub" not in snapshot.contention.large


async def test_the_report_names_held_and_amended_tasks_and_a_persons_words(tmp_path: Path) -> None:
    told = story(12, 600)
    events, snapshot = told.events, told.snapshot
    await write(tmp_path / "journal.db", events)
    changes = report_of(tmp_path / "journal.db", tmp_path / "no-trunk.git").changes
    held = {task.id for task in snapshot.tasks.values() if task.state is t.TaskState.HELD}
    assert held
    assert {each.task for each in changes if each.how == "held"} == held
    words = [event.body for event in events if isinstance(event.body, e.TaskDirected)]
    expected = [("taken back" if each.taken_back else "told", each.text) for each in reversed(words)]
    assert [(each.how, each.text) for each in changes if each.how in ("told", "taken back")] == expected[:25]
    assert {each.how for each in changes} == {"held", "told", "taken back", "title, scope"}


async def test_the_report_lists_new_dependencies_and_doubted_claims(tmp_path: Path) -> None:
    told = story(11, 600)
    s = told.snapshot
    task = next(task for task in s.tasks.values() if task.state is t.TaskState.WORKING)
    assert task.agent is not None
    landed = t.Landing(
        *(t.LandingId("l-new"), 0, task.id, task.agent, LandingState.MERGED, s.trunk, t.CommitId("c" * 40)),
        dependencies=("requests (pyproject.toml)",),
    )
    text = t.HandoffText(t.HandoffStatus.DONE, "All tests pass.")
    told.tell(e.LandingStarted(landed.id, t.CommitId("d"), text), task.agent, task.id)
    told.tell(e.LandingFinished(landed), task.agent, task.id)
    facts = Facts(doubts=("says the tests pass; the last test run ended with exit 1",))
    handoff = t.Handoff(t.HandoffId("h-new"), 0, task.id, task.agent, task.planner, text, facts=facts)
    told.tell(e.HandedOff(handoff), task.agent, task.id)
    await write(tmp_path / "journal.db", told.events)
    report = report_of(tmp_path / "journal.db", tmp_path)
    [new] = report.dependencies
    assert (new.dependency, new.task, new.commit) == ("requests (pyproject.toml)", task.spec.title, "c" * 40)
    [claim] = report.claims
    assert (claim.agent, claim.claim) == (s.agents[task.agent].path, facts.doubts[0])
