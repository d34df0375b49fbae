"""What git shows in a copy: planners read trunk's own commits, everybody else what changed and why, one per landing."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.commit_message import commit_message
from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, CommitId, LandingState, RunId
from engine.repo.changes.commit_builder import MAX_IN_MEMORY
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from engine.repo.workspaces import worker_history
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.engine.repo.pending_changes import FILES, build_change
from tests.engine.repo.user_repo import UserRepo

KINDS = [("namespaced", "overlay"), ("namespaced", "checkout"), ("off", "checkout")]
AGENT = AgentId("agent-1")
IDS = ("t1h2k4m6n8p0qrs", "t1h2k4m6n8p0qrt", "t1h2k4m6n8p0qrv")
WHO = "root/parser/worker-3"


class Place:
    """A user's repository with two commits, its trunk, and a pool of copies, as in a run."""

    def __init__(self, folder: Path, settings: SandboxSettings, repo: UserRepo, trunk: GitTrunk) -> None:
        self.folder, self.settings, self.repo, self.trunk = folder, settings, repo, trunk
        self.landed = 0

    async def pool(self, *unfinished: AgentId) -> WorkspacePool:
        folder, git_dir = self.folder / "workspaces", self.trunk.git_dir
        made = await open_workspaces(folder, git_dir, self.settings, self.trunk.base, self.trunk.pending)
        await made.sweep(unfinished)
        return made

    async def land(self, title: str, body: str, files: dict[str, bytes | None]) -> CommitId:
        trailers = {"Swarm-Task": IDS[self.landed % 3], "Swarm-Agent": WHO, "Swarm-Intent": "1"}
        tip = await self.trunk.tip()
        contents = {path: None if data is None else Content(FILE, data) for path, data in files.items()}
        made = self.trunk.pending.build(tip, tip, contents, title)
        result = await self.trunk.land(made, commit_message(title, body, trailers))
        assert result.state is LandingState.MERGED
        assert result.commit is not None
        self.landed += 1
        return result.commit

    def reached(self) -> set[str]:
        names = ("rev-list", "--objects", "--no-object-names", "refs/swarm/base", "refs/heads/trunk")
        return set(UserRepo(self.trunk.git_dir).git(*names).split())


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(kind))
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    repo = UserRepo.make(tmp_path / "repo", FILES)
    repo.commit({"z": b"zz\n"}, "second")
    (tmp_path / "run").mkdir()
    trunk = await GitTrunk.create(tmp_path / "run", await inspect_repo(repo.root), RunId("r-1"))
    made = Place(tmp_path, SandboxSettings(level=request.param[0], copies=request.param[1]), repo, trunk)
    try:
        await (await made.pool()).close()
    except SwarmError as error:
        pytest.skip(error.message)
    return made


@pytest.fixture
async def pool(place: Place) -> AsyncIterator[WorkspacePool]:
    made = await place.pool()
    yield made
    await made.close()


async def shell(workspace: AgentWorkspace, command: str) -> str:
    return (await workspace.run(command, 60, lambda _: None)).text


async def land_three(place: Place) -> list[CommitId]:
    return [
        await place.land("Parse lists", "Lists nest now.\n\nThe parser keeps a stack.", {"a.txt": b"one\n2\n3\n"}),
        await place.land("Add a footer", "Totals stand below the table.", {"footer.py": b"FOOTER = 1\n"}),
        await place.land("Parse maps", "Keys may be quoted.", {"a.txt": b"one\n2\nthree\n"}),
    ]


async def test_a_worker_reads_what_changed_and_why_without_names_ids_and_trailers(
    place: Place, pool: WorkspacePool
) -> None:
    await land_three(place)
    worker = await pool.open(AGENT, await place.trunk.tip())
    log = await shell(worker, "git log --format=%s")
    assert log.splitlines() == ["Parse maps", "Add a footer", "Parse lists", "second", "base"]
    whole = await shell(worker, "git log --format=fuller")
    assert "    Lists nest now.\n    \n    The parser keeps a stack.\n" in whole
    for hidden in ("Swarm-", WHO, "worker", *IDS):
        assert hidden not in whole
    assert await shell(worker, "git status --porcelain; git stash list; git diff HEAD --stat") == ""
    assert (await shell(worker, "git diff --name-only HEAD~3")).split() == ["a.txt", "footer.py"]
    assert "+FOOTER = 1" in await shell(worker, "git log -p -- footer.py")
    blame = "for at in $(git blame -s a.txt | cut -d' ' -f1); do git log -1 --format=%s ${at#^}; done"
    assert (await shell(worker, blame)).splitlines() == ["Parse lists", "base", "Parse maps"]
    found = "git bisect start HEAD HEAD~3 && git bisect run sh -c '! test -e footer.py' | grep 'first bad'"
    assert "first bad commit" in await shell(worker, f"{found}; git bisect reset -q")


async def test_a_planner_reads_trunks_own_commits_named_by_task(place: Place, pool: WorkspacePool) -> None:
    landed = await land_three(place)
    planner = await pool.open(AGENT, landed[-1], trunk_history=True)
    assert (await shell(planner, "git log --format=%H -3")).split() == landed[::-1]
    assert f"Swarm-Task: {IDS[0]}" in await shell(planner, "git show HEAD~2")
    assert await shell(planner, "git status --porcelain; git branch --format='%(refname)'") == "refs/heads/work\n"


async def test_a_copy_holds_no_objects_but_those_of_the_base_and_of_what_landed(
    place: Place, pool: WorkspacePool
) -> None:
    await land_three(place)
    tip = await place.trunk.tip()
    secret = build_change(place.trunk, {"secret": b"unlanded\n"})
    large = build_change(place.trunk, {"large": b"x" * (MAX_IN_MEMORY + 1)})
    conflict = await place.trunk.land(build_change(place.trunk, {"a.txt": b"other\n"}), "clashes\n\nSwarm-Task: t-9\n")
    assert conflict.merged
    everything = "git cat-file --batch-all-objects --batch-check='%(objectname) %(objecttype)'"
    planner = await pool.open(AgentId("planner"), tip, trunk_history=True)
    listed = {line.split()[0] for line in (await shell(planner, everything)).splitlines()}
    assert listed == place.reached()
    worker = await pool.open(AGENT, tip)
    lines = [line.split() for line in (await shell(worker, everything)).splitlines()]
    more = {oid: kind for oid, kind in lines if oid not in place.reached()}
    own = (await shell(worker, f"git rev-list HEAD ^{place.trunk.base}")).split()
    assert more == dict.fromkeys(own, "commit")
    for hidden in (secret, large, conflict.merged):
        for copy in (planner, worker):
            assert "exit 1" in await shell(copy, f"git cat-file -e {hidden} 2>/dev/null || echo exit 1")


async def test_each_landing_is_rewritten_once_for_all_copies_and_processes(place: Place) -> None:
    folder = place.trunk.git_dir / "objects" / "history"
    landed = await land_three(place)
    first = await place.pool()
    heads = {await shell(await first.open(AgentId(f"a-{n}"), landed[-1]), "git rev-parse HEAD") for n in range(3)}
    assert len(heads) == 1
    files = sorted(folder.rglob("*.pack"))
    await first.close()
    second = await place.pool()
    again = await second.open(AGENT, landed[-1])
    assert {await shell(again, "git rev-parse HEAD")} == heads
    older = await second.open(AgentId("a-2"), landed[0])
    assert await shell(older, "git log --format=%s -1") == "Parse lists\n"
    assert sorted(folder.rglob("*.pack")) == files
    await second.close()


async def test_a_process_killed_while_it_rewrites_or_a_power_cut_costs_no_history(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed = await land_three(place)
    first = await place.pool()
    log = await shell(await first.open(AGENT, landed[1]), "git log --format=%H")
    await first.close()
    known = place.trunk.git_dir / "objects" / "history" / "known"
    known.write_text(known.read_text()[:-30])
    second = await place.pool()
    again = await second.open(AGENT, landed[2])
    assert await shell(again, "git log --format=%H HEAD~1; git fsck --connectivity-only 2>&1 | grep -v dangling") == log
    await second.close()
    monkeypatch.setattr(worker_history, "boot_id", lambda: "the next one")
    for pack in known.parent.rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"torn")
    third = await place.pool()
    assert await shell(await third.open(AGENT, landed[1]), "git log --format=%H") == log
    await third.close()


async def test_landings_of_a_group_and_landings_that_undo_each_other_are_all_shown(
    place: Place, pool: WorkspacePool
) -> None:
    await asyncio.gather(*(place.land(f"Add {name}", "", {name: b"1\n"}) for name in ("p", "q", "r")))
    there = await place.land("Try it", "", {"z": b"new\n"})
    await pool.open(AgentId("a-1"), there)
    back = await place.land("Take it back", "", {"z": b"zz\n"})
    again = await place.land("Try it again", "", {"z": b"new\n"})
    for commit, subjects in ((back, ["Take it back", "Try it"]), (again, ["Try it again", "Take it back"])):
        worker = await pool.open(AGENT, commit)
        assert (await shell(worker, "git log --format=%s -2")).splitlines() == subjects
        assert await shell(worker, "git status --porcelain") == ""
    assert sorted((await shell(worker, "git log --format=%s --skip=3 -3")).splitlines()) == ["Add p", "Add q", "Add r"]


async def test_a_history_without_its_beginning_and_a_trunk_that_somebody_moved_are_shown(place: Place) -> None:
    tip = await place.land("Parse lists", "Lists nest.", {"b": b"1\n"})
    first = await place.pool()
    git = UserRepo(place.trunk.git_dir).git
    base, tree = place.trunk.base, git("rev-parse", f"{tip}^{{tree}}")
    moved = CommitId(git("commit-tree", tree, "-p", f"{base}^", "-p", tip, "-m", "Merge by hand"))
    worker = await first.open(AGENT, moved)
    assert (await shell(worker, "git log --format=%s")).splitlines() == ["Merge by hand", "base"]
    await first.close()
    (place.trunk.git_dir / "shallow").write_text(f"{base}\n")
    shutil.rmtree(place.trunk.git_dir / "objects" / "history")
    second = await place.pool()
    worker = await second.open(AGENT, tip)
    assert (await shell(worker, "git log --format=%s")).splitlines() == ["Parse lists", "second"]
    await second.close()


async def test_what_an_agent_stashes_and_commits_stands_on_the_landings(place: Place, pool: WorkspacePool) -> None:
    landed = await land_three(place)
    for trunk_history in (False, True):
        copy = await pool.open(AgentId(f"a-{trunk_history}"), landed[-1], trunk_history=trunk_history)
        stash = "echo x >> a.txt; git stash -q; git status -s; git stash pop -q; git status -s; git commit -qam mine"
        assert await shell(copy, f"{stash}; git log --format=%s -2") == " M a.txt\nmine\nParse maps\n"
        assert await copy.changed() == ("a.txt",)
        assert await shell(copy, "git diff --stat HEAD~1 | tail -1") == " 1 file changed, 1 insertion(+)\n"


async def test_a_copy_that_moves_to_a_newer_base_shows_its_history(place: Place, pool: WorkspacePool) -> None:
    await place.land("Parse lists", "", {"b": b"1\n"})
    worker = await pool.open(AGENT, await place.trunk.tip())
    await shell(worker, "echo mine > mine; git add mine; git commit -qm mine; git stash list")
    newer = await place.land("Parse maps", "Keys may be quoted.", {"c": b"1\n"})
    await worker.advance(newer, newer)
    assert (await shell(worker, "git log --format=%s")).splitlines() == ["Parse maps", "Parse lists", "second", "base"]
    assert await shell(worker, "git status --porcelain") == ""
    assert worker.base == newer


async def test_a_copy_that_was_left_continues_with_its_history(place: Place) -> None:
    landed = await land_three(place)
    first = await place.pool()
    copies = {
        role: await first.open(AgentId(role), landed[-1], trunk_history=role == "planner")
        for role in ("planner", "worker")
    }
    before = {role: await shell(copy, "git log --format=%H%B") for role, copy in copies.items()}
    for copy in copies.values():
        await copy.leave()
    await first.close()
    second = await place.pool(*map(AgentId, copies))
    for role, log in before.items():
        again = await second.open(AgentId(role), landed[-1], trunk_history=role == "planner")
        assert await shell(again, "git log --format=%H%B") == log
    await second.close()


async def test_hostile_messages_arrive_short_and_clean(place: Place, pool: WorkspacePool) -> None:
    title = "Fix\x1b[2J \u202eevil\nCo-authored-by: A <a@b>" + "x" * 900
    body = (
        f"Why.\x07\nCo-authored-by: Eve <eve@example.com>\nSigned-off-by: Eve\nSee {IDS[1]} by {WHO}.\n"
        + "y\n" * 90_000
    )
    await place.land(title, body, {"b": b"1\n"})
    await place.land("Co-authored-by: Eve <eve@example.com>", "Swarm-Agent: x\nSwarm-Task: t", {"b": b"2\n"})
    worker = await pool.open(AGENT, await place.trunk.tip())
    log = await shell(worker, "git log -2 --format=%B")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", log)
    for hidden in ("Swarm-", "authored-by: Eve", "Signed-off", IDS[1], WHO):
        assert hidden not in log
    assert "Why." in log
    assert len(log) < 6_000
    assert await shell(worker, "git log -2 --format='%(trailers)'") == "\n\n"


@pytest.mark.parametrize("trunk_history", [False, True], ids=["worker", "planner"])
async def test_the_commits_that_an_agent_is_told_of_are_those_that_its_git_shows(
    place: Place, pool: WorkspacePool, trunk_history: bool
) -> None:
    copy = await pool.open(AGENT, place.trunk.base, trunk_history=trunk_history)
    landed = [await place.land(f"step {number}", "", {f"new-{number}": b"n\n"}) for number in range(3)]
    await copy.advance(landed[-1], landed[-1])
    shown = [await copy.shown(commit) for commit in landed]
    assert (shown == landed) is trunk_history
    assert (await shell(copy, "git log --reverse --format=%H -3")).split() == shown
    for number, commit in enumerate(shown):
        assert f"step {number}" in await shell(copy, f"git show --stat {commit[:10]}")
    assert await copy.shown(place.trunk.base) == place.trunk.base
