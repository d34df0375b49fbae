"""The simulated world behaves as documented: virtual time, late durability, crashes, merges, lost workspaces."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.conversation import Message, Request, Text, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.events import Event, Warned
from engine.domain.types import AgentId, CommitId, LandingState, ModelName, TaskId, Usage
from engine.ports.protocols import (
    Checker,
    Clock,
    Ids,
    Journal,
    Meters,
    Models,
    Randomness,
    Trunk,
    WorkspaceError,
    WorkspaceLost,
    Workspaces,
)
from tests.simulated import (
    NothingCanHappen,
    Ran,
    SimulatedClock,
    World,
    merge_lines,
    merge_trees,
    simulate,
    turn,
    world,
)

AGENT = AgentId("ag1")


def quiet(text: str) -> None:
    """Ignores live text."""


def waited(reason: str, seconds: float, spent: Usage) -> None:
    """Ignores a retry."""


def silent(model: ModelName, request: Request) -> ModelError:
    return ModelError(ModelErrorKind.RETRYABLE, "no script")


def event(seq: int, text: str = "x") -> Event:
    return Event(seq, 0, 1, Warned(text))


def check_types(w: World) -> None:
    """Every part implements its protocol: the type checker is the test."""
    clock: Clock = w.clock
    randomness: Randomness = w.randomness
    ids: Ids = w.ids
    journal: Journal = w.journal
    trunk: Trunk = w.trunk
    workspaces: Workspaces = w.workspaces
    models: Models = w.models
    meters: Meters = w.meters
    checker: Checker = w.checker
    assert all((clock, randomness, ids, journal, trunk, workspaces, models, meters, checker))


# --- time ----------------------------------------------------------------------------------------------------


def test_a_simulated_day_takes_no_time_and_timeouts_are_virtual() -> None:
    async def main(clock: SimulatedClock) -> float:
        started = clock.now()
        await clock.sleep(86_400)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        assert clock.now() - started == pytest.approx(86_460_000_000)
        return clock.monotonic()

    assert simulate(main) == pytest.approx(86_460)


def test_timers_fire_in_order() -> None:
    async def main(clock: SimulatedClock) -> list[float]:
        order: list[float] = []

        async def note(after: float) -> None:
            await clock.sleep(after)
            order.append(after)

        await asyncio.gather(*(note(after) for after in (3.0, 0.5, 2.0, 0.25)))
        return order

    assert simulate(main) == [0.25, 0.5, 2.0, 3.0]


def test_a_stuck_test_raises_instead_of_hanging() -> None:
    async def stuck(clock: SimulatedClock) -> None:
        await asyncio.Event().wait()

    async def polling(clock: SimulatedClock) -> None:
        while True:
            await clock.sleep(5)

    for main in (stuck, polling):
        with pytest.raises(NothingCanHappen):
            simulate(main)


def test_ids_sort_in_the_order_of_their_creation() -> None:
    async def main(clock: SimulatedClock) -> None:
        ids = world(clock, silent).ids
        made = [ids.new("tk") for _ in range(2_000)]
        assert made == sorted(set(made))

    simulate(main)


# --- journal -------------------------------------------------------------------------------------------------


def test_a_crash_loses_what_is_not_durable_in_whole_batches() -> None:
    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent)
        w.journal.append([event(1), event(2)])
        await w.journal.durable(2)
        w.journal.crash_after(3)
        w.journal.append([event(3)])
        w.journal.append([event(4), event(5)])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await w.journal.durable(4)
        assert w.power.failed.is_set()
        later = w.restart()
        assert [each.seq async for each in later.journal.events()] == [1, 2, 3]
        later.journal.append([event(4, "again")])
        await later.journal.durable(4)
        assert [each.seq async for each in later.journal.events(after=2)] == [3, 4]

    simulate(main)


def test_an_appended_event_is_not_durable_at_once() -> None:
    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent)
        w.journal.append([event(1)])
        assert w.journal.surviving() == []
        await w.journal.durable(1)
        assert len(w.journal.surviving()) == 1

    simulate(main)


def test_a_gap_in_the_sequence_is_refused() -> None:
    async def main(clock: SimulatedClock) -> None:
        with pytest.raises(AssertionError):
            world(clock, silent).journal.append([event(2)])

    simulate(main)


def test_a_dead_process_has_no_effects() -> None:
    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent)
        workspace = await w.workspaces.open(AGENT, await w.trunk.tip())
        await workspace.write_file("new.txt", b"1\n")
        change = await workspace.commit("new")
        before = w.commits.tip
        landing = asyncio.create_task(w.trunk.land(change, "new"))
        w.crash()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await landing
        assert w.commits.tip == before

    simulate(main)


# --- merging and landing -------------------------------------------------------------------------------------

lines = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=6).map(b"".join)


@given(lines, lines)
def test_a_change_on_one_side_is_taken(base: bytes, changed: bytes) -> None:
    assert merge_lines(base, changed, base) == (changed, False)
    assert merge_lines(base, base, changed) == (changed, False)
    assert merge_lines(base, changed, changed) == (changed, False)


def test_separate_changes_merge_and_overlapping_ones_conflict_with_markers() -> None:
    base = b"1\n2\n3\n4\n5\n"
    assert merge_lines(base, b"one\n2\n3\n4\n5\n", b"1\n2\n3\n4\nfive\n") == (b"one\n2\n3\n4\nfive\n", False)
    merged, conflict = merge_lines(base, b"1\n2\nx\n4\n5\n", b"1\n2\ny\n4\n5\n")
    assert conflict
    assert merged == b"1\n2\n<<<<<<< trunk\nx\n=======\ny\n>>>>>>> yours\n4\n5\n"


def test_a_file_deleted_on_one_side_and_changed_on_the_other_is_a_conflict() -> None:
    merged, _, conflicts = merge_trees({"a": b"1\n"}, {}, {"a": b"2\n"})
    assert conflicts == ("a",)
    assert merged == {"a": b"2\n"}


def test_simultaneous_landings_swap_one_after_another() -> None:
    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent)
        tip = await w.trunk.tip()

        async def land(number: int) -> LandingState:
            workspace = await w.workspaces.open(AgentId(f"ag{number}"), tip)
            await workspace.write_file(f"n{number}.txt", b"1\n")
            change = await workspace.commit("n")
            landed = await w.trunk.land(change, f"n\n\nSwarm-Task: tk{number}")
            return landed.state

        assert set(await asyncio.gather(*(land(number) for number in range(8)))) == {LandingState.MERGED}
        assert w.trunk.retries > 0
        assert len(await w.trunk.landed_since(tip)) == 8
        assert await w.trunk.find_landed(TaskId("tk3"))
        assert await w.trunk.find_landed(TaskId("tk9")) == {}
        assert {f"n{number}.txt" for number in range(8)} <= set(w.trunk.files)

    simulate(main)


def test_a_conflict_comes_back_with_markers_and_lands_once_resolved() -> None:
    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent, files={"a.txt": b"1\n"})
        workspace = await w.workspaces.open(AGENT, await w.trunk.tip())
        await workspace.write_file("a.txt", b"mine\n")
        tip = w.trunk.move({"a.txt": b"theirs\n"})
        result = await w.trunk.land(await workspace.commit("mine"), "mine")
        assert (result.state, result.base, result.conflicts) == (LandingState.CONFLICTED, tip, ("a.txt",))
        assert result.merged is not None
        await workspace.advance(result.merged, result.base)
        assert await workspace.read_file("a.txt") == b"<<<<<<< trunk\ntheirs\n=======\nmine\n>>>>>>> yours\n"
        assert await workspace.changed() == ("a.txt",)
        await workspace.write_file("a.txt", b"both\n")
        resolved = await w.trunk.land(await workspace.commit("both"), "both")
        assert resolved.state is LandingState.MERGED
        assert w.trunk.files == {"a.txt": b"both\n"}
        assert (await w.trunk.land(await workspace.commit("both"), "both")).state is LandingState.EMPTY

    simulate(main)


def test_a_patch_has_the_headers_of_git() -> None:
    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent, files={"a.txt": b"1\n", "b.txt": b"2\n"})
        tip = await w.trunk.tip()
        assert (await w.trunk.read_file(tip, "a.txt"), await w.trunk.read_file(tip, "z")) == (b"1\n", None)
        new = w.commits.add(tip, {"a.txt": b"one", "c.txt": b"2\n", "d.txt": b"4\n"}, "new")
        patch = await w.trunk.diff(tip, new)
        assert patch == await w.trunk.diff(CommitId(f"{new}^"), new)
        assert "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-1\n+one\n\\ No newline" in patch
        assert "rename from b.txt\nrename to c.txt\n" in patch
        assert "new file mode 100644\n--- /dev/null\n+++ b/d.txt\n" in patch

    simulate(main)


# --- workspaces ----------------------------------------------------------------------------------------------


def test_commands_are_scripted_and_time_out_in_virtual_time() -> None:
    def shell(workspace: object, command: str) -> Ran:
        return Ran(exit=3, text="out\n") if command == "fail" else Ran(wall_s=1_000)

    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent, shell=shell)
        workspace = await w.workspaces.open(AGENT, await w.trunk.tip())
        seen: list[str] = []
        failed = await workspace.run("fail", 60, seen.append)
        assert (failed.exit, failed.text, seen) == (3, "out\n", ["out\n"])
        killed = await workspace.run("hang", 60, quiet)
        assert (killed.exit, killed.killed, killed.wall_s) == (None, "timeout", 60)

    simulate(main)


def test_files_are_below_the_root_and_ignored_ones_do_not_land() -> None:
    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent)
        workspace = await w.workspaces.open(AGENT, await w.trunk.tip())
        await workspace.write_file("/ws/src/new.py", b"x = 1\n")
        await workspace.write_file("build/out.o", b"\0")
        assert await workspace.changed() == ("src/new.py",)
        assert [entry.path for entry in await workspace.list_files(".", 1, 10)] == ["README.md", "build/", "src/"]
        assert [(match.path, match.line) for match in await workspace.search(r"x\s=", "src", 10)] == [("src/new.py", 1)]
        for path in ("../etc/passwd", "/etc/passwd", ".git/config", "src", "absent"):
            with pytest.raises(WorkspaceError):
                await workspace.read_file(path)

    simulate(main)


def test_a_lost_workspace_raises_even_during_a_command() -> None:
    async def main(clock: SimulatedClock) -> None:
        w = world(clock, silent, shell=lambda workspace, command: Ran(wall_s=100))
        workspace = await w.workspaces.open(AGENT, await w.trunk.tip())
        running = asyncio.create_task(workspace.run("long", 600, quiet))
        await clock.sleep(1)
        workspace.lose()
        with pytest.raises(WorkspaceLost):
            await running
        with pytest.raises(WorkspaceLost):
            await workspace.changed()

    simulate(main)


# --- models and the rest -------------------------------------------------------------------------------------


def test_models_answer_or_raise_and_every_request_is_kept() -> None:
    def script(model: ModelName, request: Request) -> Turn | Exception:
        return turn(text="hello") if "good" in request.system else ModelError(ModelErrorKind.REFUSED, "no")

    async def main(clock: SimulatedClock) -> None:
        w = world(clock, script)
        seen: list[str] = []
        asked = Request("m", "good", (Message("user", (Text("# Task: T"),)),), ())
        given = await w.models.ask(ModelName("s:m"), asked, seen.append, waited)
        assert given.message.text == "hello"
        assert seen == ["hello"]
        with pytest.raises(ModelError):
            await w.models.ask(ModelName("s:m"), Request("m", "bad", (), ()), quiet, waited)
        assert b"# Task: T" in w.models.asked[0].data

    simulate(main)


def test_the_same_seed_gives_the_same_run() -> None:
    async def main(clock: SimulatedClock) -> tuple[float, list[str]]:
        w = world(clock, silent, seed=3)
        check_types(w)
        made = []
        for number in range(10):
            workspace = await w.workspaces.open(AgentId(f"ag{number}"), await w.trunk.tip())
            await workspace.write_file("x", str(number).encode())
            made.append((await w.trunk.land(await workspace.commit("x"), "x")).base)
            await w.checker.check(w.commits.tip)
            await w.meters.sample()
        return clock.monotonic(), [str(commit) for commit in made]

    assert simulate(main) == simulate(main)
