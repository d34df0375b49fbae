"""A workspace that a process left is the same for the next one (files, base, changes), or it is not trusted."""

from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId
from engine.ports.protocols import WorkspaceLost
from engine.repo.workspaces import copy_record
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.git import git, git_with_unlanded, make_trunk

KINDS = [("namespaced", "overlay"), ("namespaced", "checkout"), ("off", "checkout")]
AGENT = AgentId("agent-1")


class Place:
    """A repository with a trunk, and one pool after another in the same folder, as in a run that is resumed."""

    def __init__(self, folder: Path, level: str, method: str) -> None:
        self.folder, self.source, self.trunk = folder, folder / "source", folder / "trunk.git"
        self.settings = SandboxSettings(level=level, copies=method)
        self.source.mkdir()
        git(self.source, "init", "-q", "-b", "main")
        (self.source / "a.txt").write_text("one\n")
        (self.source / "b.txt").write_text("two\n")
        git(self.source, "add", "-A")
        git(self.source, "commit", "-q", "-m", "first")
        make_trunk(self.source, self.trunk)
        self.base = git(self.source, "rev-parse", "HEAD")

    async def pool(self, *unfinished: AgentId) -> WorkspacePool:
        try:
            made = await open_workspaces(self.folder / "workspaces", self.trunk, self.settings, self.base)  # type: ignore[arg-type]
        except SwarmError as error:
            pytest.skip(error.message)
        await made.sweep(unfinished)
        return made

    @property
    def copies(self) -> list[Path]:
        return list((self.folder / "workspaces" / "copies").iterdir())


@pytest.fixture(params=KINDS, ids=lambda kind: "-".join(kind))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, *request.param)


async def run(workspace: AgentWorkspace, command: str) -> str:
    return (await workspace.run(command, 30, lambda _: None)).text


async def left(place: Place) -> None:
    """Leave a workspace with changes, as a process that stops does."""
    pool = await place.pool()
    workspace = await pool.open(AGENT, place.base)  # type: ignore[arg-type]
    await run(
        workspace, "echo more >> a.txt; rm b.txt; mkdir new; echo new > new/file; mkdir .swarm; touch .swarm/note"
    )
    assert await workspace.changed() == ("a.txt", "b.txt", "new/file")
    await workspace.leave()
    await pool.close()


async def test_the_next_process_continues_in_the_same_files(place: Place) -> None:
    await left(place)
    pool = await place.pool(AGENT)
    assert pool.kept == {AGENT: place.base}
    workspace = await pool.open(AGENT, place.base)  # type: ignore[arg-type]
    assert pool.kept == {}
    assert await run(workspace, "cat a.txt new/file; ls") == "one\nmore\nnew\na.txt\nnew\n"
    await run(workspace, "echo again > again")
    assert await workspace.changed() == ("a.txt", "again", "b.txt", "new/file")
    commit = await workspace.commit("work")
    listed = git_with_unlanded(place.trunk, "ls-tree", "-r", "--name-only", commit)
    assert sorted(listed.split()) == ["a.txt", "again", "new/file"]
    await workspace.close()
    await pool.close()
    assert place.copies == []


async def test_a_workspace_of_an_agent_that_has_ended_is_removed(place: Place) -> None:
    await left(place)
    pool = await place.pool()
    assert pool.kept == {}
    assert place.copies == []
    await pool.close()


@pytest.mark.parametrize("harm", ["boot", "record", "files", "layer", "other method"])
async def test_a_copy_that_cannot_be_trusted_is_not_continued(
    place: Place, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left(place)
    [copy] = place.copies
    overlay = place.settings.copies == "overlay"
    if harm == "boot":
        monkeypatch.setattr(copy_record, "boot_id", lambda: "the next one")
    elif harm == "record":
        (copy / "record").write_bytes(b"damaged")
    elif harm == "files":
        (copy / ("upper" if overlay else "files")).rename(copy / "gone")
    elif harm == "layer":
        if not overlay:
            pytest.skip("a full copy needs no layers")
        for layer in (place.folder / "workspaces" / "layers").iterdir():
            layer.rename(place.folder / layer.name)
    else:
        place.settings = SandboxSettings(level=place.settings.level, copies="checkout")
        if not overlay:
            pytest.skip("there is no other method at this level")
    pool = await place.pool(AGENT)
    assert pool.kept == {}
    assert place.copies == []
    await pool.close()


async def test_an_update_that_was_interrupted_is_finished(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await place.pool()
    workspace = await pool.open(AGENT, place.base)  # type: ignore[arg-type]
    await run(workspace, "echo mine >> a.txt")
    (place.source / "a.txt").write_text("theirs\n")
    (place.source / "b.txt").unlink()
    git(place.source, "add", "-A")
    git(place.source, "commit", "-q", "-m", "second")
    git(place.source, "push", "-q", str(place.trunk), "HEAD:refs/heads/trunk")
    newer = git(place.source, "rev-parse", "HEAD")
    ask = AgentWorkspace._ask

    async def dying(self: AgentWorkspace, path: str, operation: bytes, *fields: bytes, **more: int) -> list[bytes]:
        if operation == b"put":
            raise WorkspaceLost("killed")
        return await ask(self, path, operation, *fields, **more)

    with monkeypatch.context() as patch:
        patch.setattr(AgentWorkspace, "_ask", dying)
        with pytest.raises(WorkspaceLost):
            await workspace.advance(newer, newer)  # type: ignore[arg-type]
    await workspace.leave()
    await pool.close()
    pool = await place.pool(AGENT)
    workspace = await pool.open(AGENT, place.base)  # type: ignore[arg-type]
    assert workspace.base == newer
    assert await run(workspace, "cat a.txt; ls; git status --short") == "theirs\na.txt\n"
    assert await workspace.changed() == ()
    await workspace.leave()
    await pool.close()
    pool = await place.pool(AGENT)
    assert pool.kept == {AGENT: newer}
    pool.drop(AGENT)
    assert place.copies == []
    await pool.close()
