"""What slows the swarm down shows, and only while it does."""

import msgspec
import pytest
from msgspec.structs import replace

from engine.domain import events as e
from engine.domain.resource_use import LoadLimit, Sample
from engine.domain.settings import Settings
from engine.domain.spending import RUN, Mark, Part
from engine.domain.types import AgentState, ModelName, RunState
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import begin, run_counts, small, spawn, task, work
from tui.bridge import Role
from tui.format.limits import active_limits, budget_of, partial_limits, settings_in

CALM = Sample(memory_free=8 << 30, disk_free=80 << 30)


def limits_of(session: FakeSession) -> dict[str, str]:
    run = session.run
    return {limit.name: limit.text for limit in active_limits(run, run_counts(run))}


def sampled(session: FakeSession, **changes: object) -> FakeSession:
    session.record(e.Sampled(msgspec.structs.replace(CALM, **changes)))
    return session


def started() -> FakeSession:
    session = FakeSession()
    begin(session)
    return session


def test_a_calm_run_has_no_limit() -> None:
    assert limits_of(sampled(started())) == {}


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"building": 2, "gate_waiting": 3}, "build gate", "2 builds running, 3 waiting"),
        ({"model_calls": 512}, "model calls", "all 512 running"),
        ({"disk_free": 1 << 30}, "disk", "1.0 GiB left"),
        ({"memory_pressure": 20.0}, "memory", "20%"),
        ({"io_pressure": 70.0}, "disk I/O", "70%"),
        ({"cpu_pressure": 92.0}, "CPU", "contended 92%"),
        ({"cpu_pressure": 92.0, "starved": 88.0}, "CPU", "commands wait for it 88% of the time"),
        ({"starved": 88.0, "cpu_others": 76.0}, "CPU", "88% of the time; other programs use 76% of it"),
    ],
)
def test_a_busy_machine_says_what_is_contended(changes: dict[str, object], name: str, says: str) -> None:
    found = limits_of(sampled(started(), **changes))
    assert list(found) == [name]
    assert says in found[name]


def test_a_rate_limit_shows_while_it_grows() -> None:
    session = sampled(sampled(started(), rate_limited_s=1.0), rate_limited_s=9.0)
    assert "8 s" in limits_of(session)["rate limit"]
    assert limits_of(sampled(session, rate_limited_s=9.0)) == {}


def test_tasks_that_wait_for_a_worker_say_what_limits_them() -> None:
    session = started()
    root = session.run.paths["root"]  # type: ignore[index]
    session.record(e.WorkersLimited(1, "person"))
    first = task(session, root, "one")
    assert limits_of(session) == {}
    work(session, spawn(session, "root/w-1", root, Role.WORKER, "one", task=first), first, "shell true", 10)
    assert limits_of(session) == {}
    task(session, root, "two")
    assert limits_of(session)["workers"] == "the only worker slot is busy (set by a person); 1 task queued"
    then = task(session, root, "three")
    session.record(e.TaskAmended(replace(session.run.tasks[then].spec, after=(first,)), ("after",)), task=then)
    assert "1 task queued" in limits_of(session)["workers"], "the third waits for the first, not for a slot"


def test_a_subtree_with_busy_slots_says_so_while_its_tasks_are_queued() -> None:
    session = started()
    root = session.run.paths["root"]  # type: ignore[index]
    left = spawn(session, "root/left", root, Role.PLANNER, "left")
    first = task(session, left, "one")
    session.record(e.SubtreeLimited(0), agent=left)
    assert limits_of(session)["workers"] == "no worker may start below root/left (set by a person); 1 task queued"
    session.record(e.SubtreeLimited(1), agent=left)
    assert limits_of(session) == {}
    work(session, spawn(session, "root/left/w-1", left, Role.WORKER, "one", task=first), first, "shell true", 10)
    task(session, left, "two")
    assert (
        limits_of(session)["workers"] == "the only worker slot below root/left is busy (set by a person); 1 task queued"
    )
    session.record(e.SubtreeLimited(None), agent=left)
    assert limits_of(session) == {}


def test_limits_of_parts_show_whether_they_apply_now_or_not() -> None:
    session = started()
    left = spawn(session, "root/left", session.run.root, Role.PLANNER, "left")
    session.record(e.SubtreeLimited(3), agent=left)
    session.record(e.BudgetMarked(Part("subtree root/left"), Mark.REACHED, "4.60 of 4.50 USD"))
    session.record(e.BudgetMarked(RUN, Mark.NEAR, "9.60 of 10.00 USD"))
    assert [limit.text for limit in partial_limits(session.run)] == [
        "≤3 workers below root/left",
        "root/left budget used up",
    ]


def test_a_paused_subtree_shows_with_the_key_that_resumes_it() -> None:
    session = started()
    root = session.run.root
    session.record(e.SubtreePaused(), agent=root)
    assert limits_of(session)["paused"] == "root: p resumes it"
    session.record(e.SubtreePaused(freeze=True), agent=root)
    assert limits_of(session) == {"frozen": "root: p resumes it"}


def test_a_limit_of_the_governor_shows_with_its_reason() -> None:
    session = started()
    task(session, session.run.paths["root"], "one")  # type: ignore[index]
    session.record(e.LoadLimited(LoadLimit(3, 2, "memory pressure 20%")))
    assert limits_of(session) == {}, "three could work and none does"
    session.record(e.LoadLimited(LoadLimit(0, 1, "memory pressure 40%")))
    assert limits_of(session)["governor"] == "no worker may start (memory pressure 40%); 1 task queued"
    session.record(e.LoadLimited(LoadLimit(None, 2, "the machine is calm again")))
    assert limits_of(session) == {}


@pytest.mark.parametrize("mark", [Mark.NEAR, Mark.REACHED])
def test_a_budget_shows_while_it_is_nearly_used_or_used_up(mark: Mark) -> None:
    session = started()
    session.record(e.BudgetMarked(Part("role worker"), mark, "4.60 of 5.00 USD"))
    assert limits_of(session)["budget"] == "role worker: 4.60 of 5.00 USD"
    session.record(e.BudgetMarked(Part("role worker"), Mark.ROOM, "4.60 of 9.00 USD"))
    assert limits_of(session) == {}


def test_settings_that_cannot_be_read_are_the_defaults() -> None:
    assert settings_in('{"nonsense": 1}') == Settings()
    assert budget_of(small().run).usd == 0


def test_a_paused_run_says_so_first() -> None:
    session = sampled(started(), cpu_pressure=99.0)
    session.record(e.RunStateChanged(RunState.PAUSING))
    assert next(iter(limits_of(session))) == "paused"
    assert AgentState.PAUSED not in {a.state for a in session.run.agents.values()}
    assert session.run.models["planner"] == ModelName("rehearsal:markdown")
