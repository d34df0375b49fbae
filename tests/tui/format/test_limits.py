"""What holds the swarm back is told, and only while it does."""

import msgspec
import pytest

from engine.domain import events as e
from engine.domain.resource_use import LoadLimit, Sample
from engine.domain.settings import Settings
from engine.domain.spending import Mark, Part
from engine.domain.types import AgentState, ModelName, RunState
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import begin, small, spawn, task, work
from tui.bridge import Role
from tui.format.limits import active_limits, budget_of, partial_limits, settings_in
from tui.format.view import run_counts

CALM = Sample(memory_free=8 << 30, disk_free=80 << 30)


def told(session: FakeSession) -> dict[str, str]:
    run = session.run
    return {limit.name: limit.text for limit in active_limits(run, run_counts(run))}


def measured(session: FakeSession, **changes: object) -> FakeSession:
    session.record(e.Sampled(msgspec.structs.replace(CALM, **changes)))
    return session


def started() -> FakeSession:
    session = FakeSession()
    begin(session)
    return session


def test_a_calm_run_has_no_limit() -> None:
    assert told(measured(started())) == {}


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"building": 2, "gate_waiting": 3}, "build gate", "2 builds run, 3 wait"),
        ({"model_calls": 512}, "model calls", "all 512 places"),
        ({"disk_free": 1 << 30}, "disk", "1.0 GiB left"),
        ({"memory_pressure": 20.0}, "memory", "20%"),
        ({"io_pressure": 70.0}, "disk I/O", "70%"),
        ({"cpu_pressure": 92.0}, "processor", "92%"),
    ],
)
def test_a_hot_machine_says_what_is_hot(changes: dict[str, object], name: str, says: str) -> None:
    found = told(measured(started(), **changes))
    assert list(found) == [name]
    assert says in found[name]


def test_a_rate_limit_is_told_while_it_grows() -> None:
    session = measured(measured(started(), rate_limited_s=1.0), rate_limited_s=9.0)
    assert "8 s" in told(session)["rate limit"]
    assert told(measured(session, rate_limited_s=9.0)) == {}


def test_tasks_that_wait_for_a_worker_say_who_limits_them() -> None:
    session = started()
    root = session.run.paths["root"]  # type: ignore[index]
    session.record(e.WorkersLimited(1, "person"))
    first = task(session, root, "one")
    assert told(session) == {}
    work(session, spawn(session, "root/w-1", root, Role.WORKER, "one", task=first), first, "shell true", 10)
    assert told(session) == {}
    task(session, root, "two")
    assert told(session)["workers"] == "all 1 places are taken (set by a person); 1 tasks wait"


def test_a_subtree_whose_places_are_taken_says_so_while_its_tasks_wait() -> None:
    session = started()
    root = session.run.paths["root"]  # type: ignore[index]
    left = spawn(session, "root/left", root, Role.PLANNER, "left")
    first = task(session, left, "one")
    session.record(e.SubtreeLimited(0), agent=left)
    assert told(session)["workers"] == "no worker may start below root/left (set by a person); 1 tasks wait"
    session.record(e.SubtreeLimited(1), agent=left)
    assert told(session) == {}
    work(session, spawn(session, "root/left/w-1", left, Role.WORKER, "one", task=first), first, "shell true", 10)
    task(session, left, "two")
    assert told(session)["workers"] == "all 1 places below root/left are taken (set by a person); 1 tasks wait"
    session.record(e.SubtreeLimited(None), agent=left)
    assert told(session) == {}


def test_limits_of_parts_are_told_whether_they_bind_or_not() -> None:
    session = started()
    left = spawn(session, "root/left", session.run.root, Role.PLANNER, "left")
    session.record(e.SubtreeLimited(3), agent=left)
    session.record(e.BudgetMarked(Part("subtree root/left"), Mark.REACHED, "4.60 of 4.50 USD"))
    session.record(e.BudgetMarked(Part("run"), Mark.NEAR, "9.60 of 10.00 USD"))
    assert [limit.text for limit in partial_limits(session.run)] == ["≤3 below root/left", "root/left used up"]


def test_a_held_subtree_is_told_with_the_key_that_resumes_it() -> None:
    session = started()
    root = session.run.root
    session.record(e.SubtreePaused(), agent=root)
    assert told(session)["paused"] == "root is held: p on it resumes it"
    session.record(e.SubtreePaused(freeze=True), agent=root)
    assert told(session)["paused"] == "root is frozen, with its commands: p on it resumes it"


def test_what_the_governor_holds_back_is_told_with_its_reason() -> None:
    session = started()
    task(session, session.run.paths["root"], "one")  # type: ignore[index]
    session.record(e.LoadLimited(LoadLimit(3, 2, "memory pressure 20%")))
    assert told(session) == {}, "three could work and none does"
    session.record(e.LoadLimited(LoadLimit(0, 1, "memory pressure 40%")))
    assert told(session)["governor"] == "nothing new starts: memory pressure 40%; 1 tasks wait"
    session.record(e.LoadLimited(LoadLimit(None, 2, "the machine is calm again")))
    assert told(session) == {}


@pytest.mark.parametrize("mark", [Mark.NEAR, Mark.REACHED])
def test_a_budget_is_told_while_it_is_nearly_used_or_used_up(mark: Mark) -> None:
    session = started()
    session.record(e.BudgetMarked(Part("role worker"), mark, "4.60 of 5.00 USD"))
    assert told(session)["budget"] == "role worker: 4.60 of 5.00 USD"
    session.record(e.BudgetMarked(Part("role worker"), Mark.ROOM, "4.60 of 9.00 USD"))
    assert told(session) == {}


def test_settings_that_cannot_be_read_are_the_defaults() -> None:
    assert settings_in('{"nonsense": 1}') == Settings()
    assert budget_of(small().run).usd == 0


def test_a_held_run_says_so_first() -> None:
    session = measured(started(), cpu_pressure=99.0)
    session.record(e.RunStateChanged(RunState.PAUSING))
    assert next(iter(told(session))) == "paused"
    assert AgentState.PAUSED not in {a.state for a in session.run.agents.values()}
    assert session.run.models["planner"] == ModelName("rehearsal:markdown")
