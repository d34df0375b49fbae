"""A workspace is brought to the newest trunk at every sandbox level and with every copy method, and nothing is lost."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from engine.agents.conflicts import hand_back
from engine.domain.commit_message import commit_message
from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, LandingState, RunId
from engine.ports.protocols import WorkspaceLost
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.runtime.host import Host
from tests.contracts.workspace_kinds import KINDS
from tests.engine.repo.user_repo import UserRepo

ME, OTHER = AgentId("agent-1"), AgentId("agent-2")
FILES = {
    ".gitignore": b"build/\n*.o\n",
    "a.txt": b"".join(b"%d\n" % number for number in range(1, 20)),
    "b.txt": b"b\n",
    "gone.txt": b"gone\n",
    "mine.txt": b"mine\n",
    "sub/c.txt": b"c\n",
}


class Place:
    """A trunk, and one pool of workspaces after another on it."""

    def __init__(self, trunk: GitTrunk, folder: Path, settings: SandboxSettings) -> None:
        self.trunk, self.folder, self.settings = trunk, folder, settings

    async def pool(self, *unfinished: AgentId) -> WorkspacePool:
        try:
            made = await open_workspaces(
                self.folder / "workspaces", self.trunk.git_dir, self.settings, self.trunk.base, self.trunk.pending
            )
        except SwarmError as error:
            pytest.skip(error.message)
        await made.sweep(unfinished)
        return made


@pytest.fixture(params=[kind for kind in KINDS if kind[1] != "reflink"], ids=lambda kind: "-".join(kind))
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    level, method = request.param
    repo = UserRepo.make(tmp_path / "repo", FILES)
    trunk = await GitTrunk.create(tmp_path, await inspect_repo(repo.root), RunId("r-1"))
    return Place(trunk, tmp_path, SandboxSettings(level=level, copies=method))


async def run(workspace: AgentWorkspace, command: str) -> str:
    output = await workspace.run(command, 30, lambda _: None)
    assert output.exit == 0, output
    return output.text


async def changed_on_both_sides(place: Place, pool: WorkspacePool) -> AgentWorkspace:
    """A workspace with every kind of change, behind a trunk on which something else has landed."""
    mine = await pool.open(ME, place.trunk.base)
    await run(
        mine,
        "sed -i s/^18$/eighteen/ a.txt; echo own > own.txt; rm mine.txt; chmod +x b.txt; echo x > x.o;"
        " mkdir -p build/deep .swarm; echo built > build/deep/file; echo note > .swarm/note",
    )
    other = await pool.open(OTHER, place.trunk.base)
    await run(other, "sed -i s/^2$/two/ a.txt; rm gone.txt; echo new > sub/new.txt; echo C > sub/c.txt")
    message = commit_message("other", "", {"Swarm-Task": "t-1"})
    assert (await place.trunk.land(await other.commit("other"), message)).state is LandingState.MERGED
    await other.close()
    return mine


async def is_up_to_date(place: Place, mine: AgentWorkspace) -> None:
    """The workspace has both sides, keeps what git ignores, and lands from the newest trunk."""
    tip = await place.trunk.tip()
    assert mine.base == tip
    assert await mine.changed() == ("a.txt", "b.txt", "mine.txt", "own.txt")
    listed = await run(mine, "sed -n '2p;18p' a.txt; cat sub/c.txt sub/new.txt own.txt x.o build/deep/file .swarm/note")
    assert listed.split() == ["two", "eighteen", "C", "new", "own", "x", "built", "note"]
    assert await run(mine, "ls; test -x b.txt; git status --short") == (
        "a.txt\nb.txt\nbuild\nown.txt\nsub\nx.o\n M a.txt\n M b.txt\n D mine.txt\n?? own.txt\n"
    )
    landed = await place.trunk.land(await mine.commit("mine"), commit_message("mine", "", {"Swarm-Task": "t-2"}))
    assert (landed.state, landed.base) == (LandingState.MERGED, tip)
    assert landed.paths == ("a.txt", "b.txt", "mine.txt", "own.txt")


async def test_an_update_keeps_both_sides_and_what_git_ignores(place: Place) -> None:
    pool = await place.pool()
    mine = await changed_on_both_sides(place, pool)
    found = await place.trunk.merge(await mine.commit("mine"))
    assert found.state is LandingState.MERGED
    assert found.merged is not None
    assert "eighteen" not in await run(mine, "git log --all -p; git fsck --lost-found 2>&1"), "it has not landed"
    await mine.advance(found.merged, found.base)
    await is_up_to_date(place, mine)
    await mine.close()
    await pool.close()


async def test_an_update_without_own_changes_brings_in_trunk(place: Place) -> None:
    pool = await place.pool()
    mine = await changed_on_both_sides(place, pool)
    await run(mine, "git checkout -q . && rm own.txt && chmod -x b.txt")
    found = await place.trunk.merge(await mine.commit("mine"))
    assert found.state is LandingState.EMPTY
    await mine.advance(found.base, found.base)
    assert await mine.changed() == ()
    assert await run(mine, "cat sub/new.txt x.o build/deep/file; git status --short") == "new\nx\nbuilt\n"
    await mine.close()
    await pool.close()


@pytest.mark.parametrize("operation", [b"remove", b"put"])
async def test_an_update_that_a_kill_interrupts_is_finished_by_the_next_process(
    place: Place, operation: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await place.pool()
    mine = await changed_on_both_sides(place, pool)
    found = await place.trunk.merge(await mine.commit("mine"))
    assert found.merged is not None
    ask = AgentWorkspace._ask

    async def dying(self: AgentWorkspace, path: str, at: bytes, *fields: bytes, **more: int) -> list[bytes]:
        if at == operation:
            raise WorkspaceLost("killed")
        return await ask(self, path, at, *fields, **more)

    with monkeypatch.context() as patch:
        patch.setattr(AgentWorkspace, "_ask", dying)
        with pytest.raises(WorkspaceLost):
            await mine.advance(found.merged, found.base)
    await mine.leave()
    await pool.close()
    pool = await place.pool(ME)
    again = await pool.open(ME, place.trunk.base)
    await is_up_to_date(place, again)
    await again.close()
    await pool.close()


async def land_other(place: Place, pool: WorkspacePool, command: str, task: str) -> None:
    other = await pool.open(OTHER, await place.trunk.tip())
    await run(other, command)
    message = commit_message("other", "", {"Swarm-Task": task})
    assert (await place.trunk.land(await other.commit("other"), message)).state is LandingState.MERGED
    await other.close()


async def bring_up_to_date(place: Place, mine: AgentWorkspace) -> None:
    found = await place.trunk.merge(await mine.commit("mine"))
    await mine.advance(found.merged or found.base, found.base)


async def test_an_update_leaves_no_folder_behind_that_trunk_emptied(place: Place) -> None:
    pool = await place.pool()
    mine = await pool.open(ME, place.trunk.base)
    await run(mine, "mkdir -p build; echo built > build/file; echo own > own.txt")
    await land_other(place, pool, "mkdir -p new/deep lib; mv sub/c.txt lib/; rmdir sub; echo x > new/deep/x", "t-1")
    await bring_up_to_date(place, mine)
    assert await run(mine, "ls -d */") == "build/\nlib/\nnew/\n"
    await land_other(place, pool, "rm -r new", "t-2")
    await bring_up_to_date(place, mine)
    assert await run(mine, "ls -d */") == "build/\nlib/\n"
    assert await mine.changed() == ("own.txt",)
    assert set(mine.left_out) == {"build/"}
    await mine.close()
    await pool.close()


@pytest.mark.parametrize(
    "before",
    [
        "git checkout -q -b own; echo 1 > own.txt; git add .; git commit -qm one",
        "git checkout -q --detach; echo 1 > own.txt; git add .; git commit -qm one",
        "echo 1 > own.txt; git add .; git commit -qm one; git commit -q --amend -m two; git reset -q --soft HEAD~1",
        "git checkout -q -b own; echo 1 > own.txt; git add .; git commit -qm one; git checkout -q work;"
        " echo 2 > own.txt; git add .; git commit -qm two; ! git rebase own 2> /dev/null; echo 1 > own.txt",
        "git checkout -q -b own; echo 1 > own.txt; git add .; git commit -qm one; git checkout -q work;"
        " echo 2 > own.txt; git add .; git commit -qm two; ! git merge -q own; echo 1 > own.txt",
        "echo 1 > own.txt; rm -r .git",
        "echo 1 > own.txt; rm -r .git; echo 'gitdir: /nowhere' > .git",
    ],
    ids=["branch", "detached", "amend and reset", "rebase", "merge", "no git", "odd git"],
)
async def test_after_an_update_git_shows_the_own_change_whatever_was_done_with_it(place: Place, before: str) -> None:
    pool = await place.pool()
    mine = await pool.open(ME, place.trunk.base)
    await run(mine, f"git config user.name me; git config user.email me@localhost; {before} > /dev/null")
    await land_other(place, pool, "sed -i s/^2$/two/ a.txt; rm gone.txt", "t-1")
    await bring_up_to_date(place, mine)
    shown = "git add -N . && git diff HEAD --name-status; git status --short; git log --format=%s; git status"
    text = await run(mine, shown)
    assert text.startswith("A\town.txt\n A own.txt\nother\nbase\nOn branch work\n"), text
    assert "rebas" not in text
    assert "merg" not in text
    await mine.close()
    await pool.close()


async def test_the_agents_version_of_a_large_file_in_conflict_is_kept(place: Place) -> None:
    pool = await place.pool()
    await land_other(place, pool, "mkdir d; truncate -s 9M 'd/large file'", "t-1")
    mine = await pool.open(ME, await place.trunk.tip())
    await run(mine, "printf mine >> 'd/large file'; chmod +x d/*")
    await land_other(place, pool, "printf theirs >> 'd/large file'", "t-2")
    found = await place.trunk.merge(await mine.commit("mine"))
    assert found.conflicts == ("d/large file",)
    await hand_back(cast(Host, SimpleNamespace(trunk=place.trunk)), mine, found)
    shown = await run(mine, "tail -c 4 .swarm/yours/d/large*; test -x .swarm/yours/d/large* && tail -c 6 d/large*")
    assert shown == "minetheirs"
    await mine.close()
    await pool.close()
