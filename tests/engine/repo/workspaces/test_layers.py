"""The layers that copies stand on: what they show is the commit, however they were stacked; none outlives its use."""

import asyncio
import os
import random
import shutil
from pathlib import Path

import pygit2
import pytest

from engine.domain.types import CommitId
from engine.repo.git.index import decode_index
from engine.repo.workspaces import layers
from engine.repo.workspaces.checkout import Origin, merge_layers, received
from engine.repo.workspaces.excludes import Excludes
from engine.repo.workspaces.layers import Layer, Layers
from engine.repo.workspaces.trash import Trash
from tests.engine.repo.projects import SmallRepo


class Project(SmallRepo):
    """A repo whose commits come from edits at random, and a trunk that borrows from it."""

    def __init__(self, folder: Path, files: int = 60) -> None:
        super().__init__(folder)
        self.trunk = folder / "trunk.git"
        self.random = random.Random(7)
        for number in range(files):
            self.write(f"part{number % 5}/unit{number % 7}/file{number}.txt", f"{number}\n")
        self.base = self.commit()
        self.git(folder, "clone", "-q", "--bare", "--shared", "source", "trunk.git")
        self.trash = Trash(folder / "trash")
        self.layers = Layers(folder, self.trunk, self.base, Excludes(), self.trash)

    def edit(self) -> CommitId:
        """A few changes of every kind: new content, new and removed files and folders, links, modes, kinds."""
        tracked = self.git(self.source, "ls-files").splitlines()
        for _ in range(self.random.randint(1, 4)):
            path = self.random.choice(tracked)
            file = self.source / path
            if not os.path.lexists(file) or len(tracked) < 20:
                continue
            match self.random.randrange(7):
                case 0 | 1:
                    file.unlink()
                    file.write_text(str(self.random.random()))
                case 2:
                    self.write(f"new{self.random.randrange(9)}/{self.random.randrange(99)}/x.txt", "new\n")
                case 3:
                    file.unlink()
                case 4:
                    shutil.rmtree(file.parent)
                case 5:
                    file.unlink()
                    self.write(f"{path}/inside.txt", "a folder now\n")
                case 6:
                    file.unlink()
                    file.symlink_to("somewhere")
        return self.commit()

    def shown(self, layer: Layer) -> Path:
        """What an overlay of the layer's folders shows, as one folder with the uppermost layer's index."""
        target = self.folder / f"shown-{layer.commit}-{self.random.random()}"
        origin = Origin(self.trunk, self.base, b"")
        repo = pygit2.Repository(str(self.trunk))
        index = decode_index((layer.folders[-1] / ".git" / "index").read_bytes())
        merge_layers(origin, layer.folders, target, received(origin, repo, layer.commit), index)
        return target

    def differs(self, layer: Layer) -> str:
        """What git finds changed in it, and which of its files git would have to read to know; none of either."""
        shown = self.shown(layer)
        status = self.git(shown, "status", "--porcelain", "--untracked-files=all")
        stale = self.git(shown, "diff-files", "--name-only")
        tree = self.git(self.trunk, "rev-parse", f"{layer.commit}^{{tree}}")
        own = self.git(shown, "write-tree")
        return status + stale + ("" if own == tree else f"the index is of {own}, not {tree}")

    async def settled(self) -> None:
        """A newer base, if one is being made, is there."""
        renewing = self.layers._renewing
        if renewing is not None:
            await renewing


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


async def test_layers_show_exactly_their_commit_and_git_finds_nothing_to_read(project: Project) -> None:
    for _ in range(25):
        layer = await project.layers.use(project.edit())
        assert project.differs(layer) == ""
        project.layers.release(layer)
    assert len(layer.folders) > 1


async def test_a_layer_holds_what_is_new_and_not_all_since_the_base(project: Project) -> None:
    await project.layers.use(project.base)
    for number in range(40):
        project.write(f"many/{number}.txt", "x")
    await project.layers.use(project.commit())
    project.write("one.txt", "x")
    layer = await project.layers.use(project.commit())
    assert [name.name for name in layer.folders[-1].iterdir() if name.name != ".git"] == ["one.txt"]
    assert len(layer.folders) == 3


async def test_the_stack_stays_shallow_and_small_while_trunk_moves_on(project: Project) -> None:
    depths = []
    for number in range(60):
        project.write(f"moving/{number}.txt", "x")
        layer = await project.layers.use(project.commit())
        depths.append(len(layer.folders))
        project.layers.release(layer)
    assert max(depths) <= 5
    assert project.differs(layer) == ""
    assert len(list((project.folder / "layers").iterdir())) <= 6  # the base, the stack and what is used next


async def test_a_worn_base_is_replaced_by_links_of_the_same_files(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "MAX_CHANGED", 5)
    first = await project.layers.use(project.base)
    for number in range(8):
        project.write(f"new/{number}.txt", "x")
    (project.source / "part0/unit0/file0.txt").unlink()
    worn = await project.layers.use(project.commit())
    assert len(worn.folders) == 2
    await project.settled()
    project.write("later.txt", "x")
    layer = await project.layers.use(project.commit())
    assert layer.folders[0] != first.folders[0]
    assert len(layer.folders) == 2
    assert project.differs(layer) == ""
    kept = "part1/unit1/file1.txt"
    assert (layer.folders[0] / kept).samefile(first.folders[0] / kept)
    assert (layer.folders[0] / kept).stat().st_mtime_ns == (first.folders[0] / kept).stat().st_mtime_ns
    for used in (first, worn, layer):
        project.layers.release(used)
    assert set((project.folder / "layers").iterdir()) == set(layer.folders)


async def test_layers_in_use_stay_whatever_comes_after(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MAX_CHANGED", 3)
    held = [await project.layers.use(project.edit()) for _ in range(6)]
    for _ in range(20):
        project.layers.release(await project.layers.use(project.edit()))
        await project.settled()
    assert [project.differs(layer) for layer in held] == [""] * 6


async def test_many_opens_at_once_share_what_is_made(project: Project) -> None:
    commits = [project.base, project.edit(), project.edit()]
    layers = await asyncio.gather(*(project.layers.use(commits[number % 3]) for number in range(200)))
    assert len({layer.folders for layer in layers}) == 3
    for layer in layers:
        project.layers.release(layer)


async def test_what_an_earlier_process_left_is_thrown_away(project: Project) -> None:
    layer = await project.layers.use(project.base)
    left = project.folder / "layers" / "99"
    left.mkdir()
    project.layers.sweep()
    assert list((project.folder / "layers").iterdir()) == list(layer.folders)
    assert len(list((project.folder / "trash").iterdir())) == 1
    project.trash.empty()
    assert list((project.folder / "trash").iterdir()) == []
