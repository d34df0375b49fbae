"""The contract of protocols.Trunk, run against the trunk in git and the simulated one."""

import asyncio

from engine.domain.collisions import LARGE
from engine.domain.patch import parse_patch
from engine.domain.types import LandingState, TaskId
from tests.contracts.trunks import Bench, message


async def test_a_change_on_the_tip_lands(bench: Bench) -> None:
    result = await bench.trunk.land(bench.change(bench.base, {"b.txt": b"B\n", "new.txt": b"n\n"}), message("t-1"))
    assert result.state is LandingState.MERGED
    assert result.base == bench.base
    assert result.commit == await bench.trunk.tip()
    assert result.paths == ("b.txt", "new.txt")
    assert await bench.trunk.read_file(await bench.trunk.tip(), "b.txt") == b"B\n"


async def test_a_change_on_an_old_commit_is_merged_onto_the_tip(bench: Bench) -> None:
    first = bench.change(bench.base, {"a.txt": b"one\n2\n3\n4\n5\n6\n7\n8\n9\n"})
    second = bench.change(bench.base, {"a.txt": b"1\n2\n3\n4\n5\n6\n7\n8\nnine\n"})
    one = await bench.trunk.land(first, message("t-1"))
    two = await bench.trunk.land(second, message("t-2"))
    assert (two.state, two.base, two.paths) == (LandingState.MERGED, one.commit, ("a.txt",))
    assert await bench.trunk.read_file(await bench.trunk.tip(), "a.txt") == b"one\n2\n3\n4\n5\n6\n7\n8\nnine\n"
    assert await bench.trunk.landed_since(bench.base) == [one.commit, two.commit]


async def test_a_landing_says_how_many_lines_it_adds_and_removes(bench: Bench) -> None:
    """Against the trunk before it, not against the commit that the change was made on; a moved file counts none."""
    await bench.trunk.land(bench.change(bench.base, {"new.txt": b"trunk\n" * 7}), message("t-1"))
    edited = {"a.txt": b"one\n2\n3\n4\n5\n6\n7\n8\n9\nten\n", "b.txt": None, "n.txt": b"1\n2\n3"}
    result = await bench.trunk.land(bench.change(bench.base, edited), message("t-2"))
    assert (result.added, result.removed) == (5, 2)
    assert result.commit is not None
    change = bench.change(result.commit, {"a.txt": None, "d/a.txt": edited["a.txt"]})
    moved = await bench.trunk.land(change, message("t-3"))
    assert (moved.added, moved.removed) == (0, 0)
    assert (await bench.trunk.land(bench.change(bench.base, {}), message("t-4"))).added is None


async def test_a_landing_names_its_files_that_trunk_had_changed_too(bench: Bench) -> None:
    other = {"a.txt": b"one\n2\n3\n4\n5\n6\n7\n8\n9\n", "theirs.txt": b"t\n"}
    first = await bench.trunk.land(bench.change(bench.base, other), message("t-1"))
    mine = {"a.txt": b"1\n2\n3\n4\n5\n6\n7\n8\nnine\n", "b.txt": b"B\n", "new.txt": b"n\n"}
    second = await bench.trunk.land(bench.change(bench.base, mine), message("t-2"))
    assert (first.overlapping, second.overlapping) == ((), ("a.txt",))
    assert first.commit is not None
    onto_newest = await bench.trunk.land(bench.change(first.commit, {"theirs.txt": b"mine\n"}), message("t-3"))
    assert onto_newest.overlapping == ()


async def test_the_paths_of_a_change_and_of_a_landed_commit_are_known(bench: Bench) -> None:
    await bench.trunk.land(bench.change(bench.base, {"new.txt": b"trunk\n"}), message("t-1"))
    change = bench.change(bench.base, {"a.txt": None, "d/a.txt": b"1\n", "x/y/z": b"new\n"})
    assert await bench.trunk.paths_of(change) == ("a.txt", "d/a.txt", "x/y/z")
    landed = await bench.trunk.land(change, message("t-2"))
    assert landed.commit is not None
    assert await bench.trunk.paths_of(landed.commit) == landed.paths == ("a.txt", "d/a.txt", "x/y/z")


async def test_lines_are_counted_in_large_files_and_not_in_binary_ones(bench: Bench) -> None:
    large = b"".join(b"line %d\n" % number for number in range(60_000))
    change = bench.change(bench.base, {"large.txt": large, "bin": b"\0\1\2\n" * 9})
    result = await bench.trunk.land(change, message("t-1"))
    assert (result.added, result.removed) == (60_000, 0)


async def test_a_change_without_differences_is_empty(bench: Bench) -> None:
    tip = await bench.trunk.tip()
    assert (await bench.trunk.land(bench.change(bench.base, {}), message("t-1"))).state is LandingState.EMPTY
    assert await bench.trunk.tip() == tip


async def test_a_change_that_trunk_has_already_is_empty(bench: Bench) -> None:
    change = bench.change(bench.base, {"b.txt": b"B\n"})
    assert (await bench.trunk.land(change, message("t-1"))).state is LandingState.MERGED
    assert (await bench.trunk.land(change, message("t-2"))).state is LandingState.EMPTY


async def test_a_conflict_does_not_move_trunk_and_returns_a_commit_with_markers(bench: Bench) -> None:
    landed = await bench.trunk.land(bench.change(bench.base, {"b.txt": b"theirs\n"}), message("t-1"))
    result = await bench.trunk.land(bench.change(bench.base, {"b.txt": b"mine\n", "x.txt": b"x\n"}), message("t-2"))
    assert (result.state, result.base, result.commit) == (LandingState.CONFLICTED, landed.commit, None)
    assert result.conflicts == ("b.txt",)
    assert await bench.trunk.tip() == landed.commit
    assert result.merged is not None
    marked = await bench.trunk.read_file(result.merged, "b.txt")
    assert marked == b"<<<<<<< trunk\ntheirs\n=======\nmine\n>>>>>>> yours\n"
    assert await bench.trunk.read_file(result.merged, "x.txt") == b"x\n"


async def test_a_resolved_conflict_lands(bench: Bench) -> None:
    await bench.trunk.land(bench.change(bench.base, {"b.txt": b"theirs\n"}), message("t-1"))
    conflict = await bench.trunk.land(bench.change(bench.base, {"b.txt": b"mine\n"}), message("t-2"))
    resolved = bench.change(conflict.base, {"b.txt": b"theirs and mine\n"})
    assert (await bench.trunk.land(resolved, message("t-2"))).state is LandingState.MERGED
    assert await bench.trunk.read_file(await bench.trunk.tip(), "b.txt") == b"theirs and mine\n"


async def test_merging_a_change_gives_what_landing_it_would_and_leaves_trunk_alone(bench: Bench) -> None:
    landed = await bench.trunk.land(
        bench.change(bench.base, {"a.txt": b"one\n2\n3\n4\n5\n6\n7\n8\n9\n", "sub/c.txt": None}), message("t-1")
    )
    change = bench.change(bench.base, {"a.txt": b"1\n2\n3\n4\n5\n6\n7\n8\nnine\n", "new.txt": b"n\n"})
    merged = await bench.trunk.merge(change)
    assert (merged.state, merged.base, merged.commit) == (LandingState.MERGED, landed.commit, None)
    assert merged.paths == ("a.txt", "new.txt")
    assert await bench.trunk.tip() == landed.commit
    assert merged.merged is not None
    for path, content in (
        ("a.txt", b"one\n2\n3\n4\n5\n6\n7\n8\nnine\n"),
        ("new.txt", b"n\n"),
        ("sub/c.txt", None),
        ("b.txt", b"b\n"),
    ):
        assert await bench.trunk.read_file(merged.merged, path) == content
    assert await bench.trunk.landed_since(bench.base) == [landed.commit]
    assert (await bench.trunk.land(change, message("t-2"))).paths == merged.paths


async def test_merging_marks_conflicts_as_landing_does(bench: Bench) -> None:
    landed = await bench.trunk.land(bench.change(bench.base, {"b.txt": b"theirs\n"}), message("t-1"))
    change = bench.change(bench.base, {"b.txt": b"mine\n"})
    merged, conflict = await bench.trunk.merge(change), await bench.trunk.land(change, message("t-2"))
    assert (merged.state, merged.base, merged.conflicts) == (LandingState.CONFLICTED, landed.commit, ("b.txt",))
    assert (merged.base, merged.conflicts, merged.reason) == (conflict.base, conflict.conflicts, conflict.reason)
    assert merged.merged is not None
    assert conflict.merged is not None
    assert await bench.trunk.read_file(merged.merged, "b.txt") == await bench.trunk.read_file(conflict.merged, "b.txt")


async def test_merging_a_change_that_brings_nothing_new_is_empty(bench: Bench) -> None:
    change = bench.change(bench.base, {"b.txt": b"B\n"})
    landed = await bench.trunk.land(change, message("t-1"))
    for each in (change, bench.change(bench.base, {})):
        assert (await bench.trunk.merge(each)).state is LandingState.EMPTY
    assert await bench.trunk.tip() == landed.commit


async def test_merges_and_landings_at_the_same_time_do_not_disturb_each_other(bench: Bench) -> None:
    text = b"".join(b"line %d\n" % number for number in range(40))
    base = (await bench.trunk.land(bench.change(bench.base, {"b.txt": text}), message("t-0"))).commit
    assert base is not None
    changes = [
        bench.change(base, {"b.txt": text.replace(b"line %d\n" % at, b"%d\n" % at), f"new-{at}": b"%d\n" % at})
        for at in range(0, 40, 4)
    ]
    results = await asyncio.gather(
        *(
            bench.trunk.merge(change) if at % 2 else bench.trunk.land(change, message(f"t-{at}"))
            for at, change in enumerate(changes)
        )
    )
    assert [result.state for result in results] == [LandingState.MERGED] * 10
    assert [result.commit is None for result in results] == [False, True] * 5
    landed = await bench.trunk.landed_since(base)
    assert landed == [result.commit for result in results if result.commit]
    tip = await bench.trunk.tip()
    for at, result in enumerate(results):
        assert await bench.trunk.read_file(tip, f"new-{at * 4}") == (None if at % 2 else b"%d\n" % (at * 4))
        if result.merged is not None:
            assert result.base in (base, *landed)
            assert await bench.trunk.read_file(result.merged, f"new-{at * 4}") == b"%d\n" % (at * 4)
            assert b"\n%d\n" % (at * 4) in (await bench.trunk.read_file(result.merged, "b.txt") or b"")


async def test_changes_of_other_lines_are_apart_from_a_conflict_and_from_each_other(bench: Bench) -> None:
    text = b"".join(b"line %d\n" % number for number in range(20))
    base = (await bench.trunk.land(bench.change(bench.base, {"b.txt": text}), message("t-0"))).commit
    assert base is not None
    await bench.trunk.land(bench.change(base, {"b.txt": text + b"theirs\n"}), message("t-1"))
    conflict = await bench.trunk.land(bench.change(base, {"b.txt": text + b"mine\n"}), message("t-2"))
    assert conflict.merged is not None
    first, tenth, last = (
        bench.change(base, {"b.txt": changed})
        for changed in (text.replace(b"line 1\n", b"1\n"), text.replace(b"line 10\n", b"10\n"), text + b"last\n")
    )
    assert await bench.trunk.is_apart(first, conflict.merged)
    assert await bench.trunk.is_apart(first, tenth)
    assert not await bench.trunk.is_apart(last, conflict.merged)
    assert not await bench.trunk.is_apart(last, bench.change(base, {"b.txt": text + b"other\n"}))


async def test_deleting_a_file_that_trunk_changed_is_a_conflict(bench: Bench) -> None:
    await bench.trunk.land(bench.change(bench.base, {"b.txt": b"theirs\n"}), message("t-1"))
    result = await bench.trunk.land(bench.change(bench.base, {"b.txt": None}), message("t-2"))
    assert (result.state, result.conflicts) == (LandingState.CONFLICTED, ("b.txt",))


async def test_a_landing_reports_its_large_files(bench: Bench) -> None:
    lines = [b"line %d\n" % n for n in range(LARGE // 8)]
    first = bench.change(bench.base, {"big": b"".join(lines), "small": b"s\n"})
    landed = await bench.trunk.land(first, message("t-1"))
    assert landed.large == {"big": len(b"".join(lines))}
    assert landed.commit is not None
    moved = bench.change(landed.commit, {"big": None, "renamed": b"".join(lines)})
    edited = bench.change(landed.commit, {"big": b"".join([b"first\n", *lines])})
    assert (await bench.trunk.land(edited, message("t-2"))).large == {"big": len(b"".join(lines)) + 6}
    result = await bench.trunk.land(moved, message("t-3"))
    assert result.large == ({"renamed": len(b"".join(lines)) + 6} if result.commit else {}), "git follows the rename"


async def test_a_landed_task_is_found_by_its_id(bench: Bench) -> None:
    one = await bench.trunk.land(bench.change(bench.base, {"x": b"x\n"}), message("t-1"))
    await bench.trunk.land(bench.change(bench.base, {"y": b"y\n"}), message("t-11"))
    assert await bench.trunk.find_landed(TaskId("t-1")) == {TaskId("t-1"): one.commit}
    assert await bench.trunk.find_landed(TaskId("t-2")) == {}
    assert await bench.trunk.find_landed(TaskId("t-1"), TaskId("t-2")) == {TaskId("t-1"): one.commit}


async def test_concurrent_landings_make_a_linear_history(bench: Bench) -> None:
    changes = [bench.change(bench.base, {f"f{number}": b"x\n"}) for number in range(12)]
    results = await asyncio.gather(*(bench.trunk.land(change, message(f"t-{at}")) for at, change in enumerate(changes)))
    assert [result.state for result in results] == [LandingState.MERGED] * 12
    landed = await bench.trunk.landed_since(bench.base)
    assert sorted(landed) == sorted(result.commit for result in results if result.commit)
    assert landed[-1] == await bench.trunk.tip()
    by_commit = {result.commit: result.base for result in results}
    assert [by_commit[commit] for commit in landed] == [bench.base, *landed[:-1]]


async def test_one_of_several_concurrent_conflicting_changes_lands(bench: Bench) -> None:
    changes = [bench.change(bench.base, {"b.txt": b"%d\n" % number}) for number in range(5)]
    results = await asyncio.gather(*(bench.trunk.land(change, message(f"t-{at}")) for at, change in enumerate(changes)))
    states = sorted(result.state for result in results)
    assert states == sorted([LandingState.MERGED] + [LandingState.CONFLICTED] * 4)
    [landed] = [result.commit for result in results if result.commit]
    assert {result.base for result in results if not result.commit} == {landed}
    assert await bench.trunk.tip() == landed


async def test_reading_a_missing_file_returns_none(bench: Bench) -> None:
    assert await bench.trunk.read_file(bench.base, "sub/c.txt") == b"c\n"
    assert await bench.trunk.read_file(bench.base, "sub") is None
    assert await bench.trunk.read_file(bench.base, "sub/nothing") is None


async def test_a_diff_is_a_patch_with_gits_headers(bench: Bench) -> None:
    result = await bench.trunk.land(bench.change(bench.base, {"b.txt": b"B\n"}), message("t-1"))
    assert result.commit
    patch = await bench.trunk.diff(bench.base, result.commit)
    assert patch.startswith("diff --git a/b.txt b/b.txt\n")
    assert patch.endswith("@@ -1 +1 @@\n-b\n+B\n")


async def test_a_diff_shows_only_the_files_that_are_named(bench: Bench) -> None:
    odd = "sub/*[x] :é.txt"
    change = bench.change(bench.base, {"b.txt": b"B\n", odd: b"odd\n", "sub/c.txt": b"C\n"})
    result = await bench.trunk.land(change, message("t-1"))
    assert result.commit
    patch = parse_patch(await bench.trunk.diff(bench.base, result.commit, ["b.txt", odd, "missing"]))
    assert sorted(file.path for file in patch.files) == ["b.txt", odd]


async def test_green_moves_and_a_successful_publish_returns_an_empty_string(bench: Bench) -> None:
    assert await bench.trunk.publish() == ""
    result = await bench.trunk.land(bench.change(bench.base, {"b.txt": b"B\n"}), message("t-1"))
    assert result.commit
    await bench.trunk.move_green(result.commit)
    assert await bench.trunk.publish() == ""


async def test_green_that_was_taken_back_can_move_again(bench: Bench) -> None:
    await bench.trunk.take_back_green()
    await bench.trunk.move_green(bench.base)
    await bench.trunk.take_back_green()
    assert await bench.trunk.publish() == ""
    await bench.trunk.move_green(bench.base)
    assert await bench.trunk.publish() == ""
