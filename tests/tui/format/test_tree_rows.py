"""The tree as rows, the filters, and the totals of subtrees."""

from dataclasses import replace

import pytest

from engine.domain.types import Role, TaskState
from engine.state.fold import retirement
from tests.bench import week
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import begin, fail, land, run_counts, small, spawn, swarm, task, work
from tui.format.filters import FilterError, agent_filter, event_filter, handoff_filter
from tui.format.tree_rows import Order, flatten
from tui.format.view import RunCounts, View


def test_parents_come_before_children_and_a_folded_planner_hides_its_own() -> None:
    run = small().run
    counts = run_counts(run)
    rows = flatten(run, counts)
    assert len(rows) == len(run.agents)
    seen = set()
    for row in rows:
        parent = run.agents[row.agent].parent
        assert parent is None or parent in seen
        seen.add(row.agent)
    blocks = run.paths["root/blocks"]  # type: ignore[index]
    below = sum(1 for _ in run.subtree(blocks)) - 1
    assert len(flatten(run, counts, folded={blocks})) == len(rows) - below


def test_running_agents_come_before_ended_ones() -> None:
    run = small().run
    rows = flatten(run, run_counts(run))
    workers = [run.agents[r.agent] for r in rows if run.agents[r.agent].parent == run.paths["root/cli"]]  # type: ignore[index]
    assert [agent.ended for agent in workers] == sorted(agent.ended for agent in workers)


def test_a_filter_keeps_the_planners_above_its_matches() -> None:
    run = small().run
    rows = flatten(run, run_counts(run), filter=agent_filter("state:failed"), folded={run.root or ""})
    matched = [run.agents[row.agent].path for row in rows if row.matched]
    assert len(matched) == 1
    assert rows[0].agent == run.root
    assert not rows[0].matched


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("state:working", lambda a: a.state in ("starting", "thinking", "acting")),
        ("role:planner", lambda a: a.role == "planner"),
        ("under:root/blocks !role:planner", lambda a: a.path.startswith("root/blocks/") and a.role == "worker"),
        ("!state:done fenced", lambda a: a.state != "done" and "fenced" in f"{a.path} {a.title} {a.doing}".lower()),
    ],
)
def test_every_word_of_a_filter_must_match(source: str, holds: "object") -> None:
    run = small().run
    filter = agent_filter(source)
    assert callable(holds)
    assert [a.id for a in run.agents.values() if filter.matches(a)] == [a.id for a in run.agents.values() if holds(a)]


@pytest.mark.parametrize("source", ["state:sleeping", "colour:red", "under:"])
def test_an_invalid_filter_names_the_valid_choices(source: str) -> None:
    with pytest.raises(FilterError, match=r"must be|unknown colour|needs a path"):
        agent_filter(source)


def test_handoffs_are_found_by_their_sections_status_and_text() -> None:
    run = small().run
    found = [h for h in run.handoffs.values() if handoff_filter("has:concerns", View(run).find).matches(h)]
    assert found
    assert all(h.text.concerns for h in found)
    assert all(
        h.text.status == "failed"
        for h in run.handoffs.values()
        if handoff_filter("status:failed", View(run).find).matches(h)
    )


def test_counts_add_up_tasks_along_the_tree() -> None:
    session = FakeSession()
    root = begin(session)
    slice_ = spawn(session, "root/a", root, Role.PLANNER, "a")
    first, second = task(session, slice_, "one"), task(session, slice_, "two")
    worker = spawn(session, "root/a/w-1", slice_, Role.WORKER, "one", task=first)
    work(session, worker, first, "shell true", 1000)
    land(session, worker, first)
    counts = run_counts(session.run)
    assert (counts.totals[root].open, counts.totals[root].landed) == (1, 1)
    assert counts.totals[root].tokens == 1050
    assert second in session.run.tasks


def test_counts_that_follow_a_run_equal_those_taken_anew() -> None:
    whole = small(60)
    following, session = RunCounts(), FakeSession()
    begin(session)
    planners = [spawn(session, f"root/p{n}", session.run.root, Role.PLANNER, "p") for n in range(3)]
    for number in range(24):
        planner = planners[number % 3]
        id = task(session, planner, "one")
        worker = spawn(session, f"root/p{number % 3}/w{number}", planner, Role.WORKER, "one", task=id)
        work(session, worker, id, "shell true", 1000 + number)
        following.update(session.run.copy())
        (land if number % 3 else fail)(session, worker, id)
        following.update(session.run.copy())
        anew = run_counts(session.run)
        assert (following.states, following.ended) == (anew.states, anew.ended)
        for agent, sums in anew.totals.items():
            mine = following.totals[agent]
            assert (mine.open, mine.landed, mine.failed, mine.tokens) == (
                sums.open,
                sums.landed,
                sums.failed,
                sums.tokens,
            )
            assert mine.usd == pytest.approx(sums.usd)
    following.update(whole.run)  # another run
    assert following.totals.keys() == whole.run.agents.keys()


def test_counts_include_what_has_left_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KEPT", 10), ("OWN", 2), ("HOUR", 0)):
        monkeypatch.setattr(retirement, name, value)
    monkeypatch.setattr(week, "CALLS", 2)
    monkeypatch.setattr(week, "TASKS", 4)
    made, following = week.Week(workers=3, short=True), RunCounts()
    run, spawned = made.snapshot, set()
    for number, _ in zip(range(6_000), made.batches(), strict=False):
        run.landings.clear()  # the tasks of recent landings stay
        spawned |= run.agents.keys()
        if number % 50:
            continue
        following.update(run.copy())
        anew, root = run_counts(run.copy()), run.root
        assert root is not None
        assert +following.states == +anew.states
        assert following.totals == {id: replace(sums, usd=pytest.approx(sums.usd)) for id, sums in anew.totals.items()}
        assert following.all == len(spawned)
        assert following.totals[root].landed == run.task_counts[TaskState.LANDED]
        assert following.totals[root].tokens == run.usage.input + run.usage.output
    assert len(run.agents) < len(spawned) / 4


def test_counts_start_over_for_an_older_snapshot() -> None:
    session = small()
    early = session.run.copy()
    counts = run_counts(early)
    planner = session.run.paths["root/cli"]  # type: ignore[index]
    for number in range(5):
        spawn(session, f"root/cli/late-{number}", planner, Role.WORKER, "late")
    counts.update(session.run.copy())
    counts.update(early)
    assert (counts.states, counts.totals.keys()) == (run_counts(early).states, early.agents.keys())


def test_events_are_found_by_kind_tone_role_and_subtree() -> None:
    session = small()
    run, lines = session.run, session.events_after(0)
    for source, holds in (
        ("kind:task_ended", lambda line: line.kind == "task_ended"),
        ("tone:bad", lambda line: line.tone == "bad"),
        ("under:root/blocks", lambda line: bool(line.agent) and run.agents[line.agent].path.startswith("root/blocks")),
        ("role:planner", lambda line: bool(line.agent) and run.agents[line.agent].role is Role.PLANNER),
        ("!tone:quiet handoff", lambda line: line.tone != "quiet" and "handoff" in f"{line.kind} {line.text}"),
    ):
        found = [line for line in lines if event_filter(source, View(run).find).matches(line)]
        assert found == [line for line in lines if holds(line)]
        assert found
    for bad in ("kind:nothing", "tone:loud", "under:"):
        with pytest.raises(FilterError, match=r"must be|needs a path"):
            event_filter(bad, View(run).find)


def test_every_order_shows_every_agent() -> None:
    run = small().run
    counts = run_counts(run)
    for order in Order:
        assert {row.agent for row in flatten(run, counts, order=order)} == set(run.agents)


def test_what_needs_a_person_is_listed_until_it_is_resolved() -> None:
    view = View()
    view.take(1, swarm(40).run.copy())
    wants = view.attention()
    assert [want.handoff is not None for want in wants].count(True) == 2
    assert wants[0].handoff is not None
    assert view.run is not None
    view.take(2, replace(view.run, resolved={wants[0].handoff: 1}))
    assert len(view.attention()) == len(wants) - 1
