"""Layers show exactly their commit however they were stacked, and are removed when nobody uses them."""

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest

from engine.domain.types import CommitId
from engine.repo.git.conversion import Conversion
from engine.repo.git.index import decode_index
from engine.repo.workspaces import layers
from engine.repo.workspaces.checkout import CheckoutSource, merge_layers, write_head
from engine.repo.workspaces.excludes import Excludes
from engine.repo.workspaces.layers import LayerStack, LayerStore
from engine.repo.workspaces.trash import Trash
from tests.engine.repo.small_repo import SmallRepo
from tests.git import make_trunk


class Project(SmallRepo):
    """A repository with random edits, and a trunk that borrows from it."""

    def __init__(self, folder: Path, files: int = 60) -> None:
        super().__init__(folder)
        self.trunk = folder / "trunk.git"
        self.random = random.Random(7)
        for number in range(files):
            self.write(f"part{number % 5}/unit{number % 7}/file{number}.txt", f"{number}\n")
        self.base = self.commit()
        make_trunk(folder / "source", folder / "trunk.git")
        self.trash = Trash(folder / "trash")
        self.layers = LayerStore(
            folder, self.trunk, self.trunk / "objects", self.base, Excludes(), Conversion(), self.trash
        )

    def edit(self) -> CommitId:
        """Make a few random changes: content, added and removed files and folders, symlinks, types."""
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

    def shown(self, stack: LayerStack) -> Path:
        """A folder that shows what an overlay of the layers would, with the index of the top layer."""
        target = self.folder / f"shown-{stack.commit}-{self.random.random()}"
        source = CheckoutSource(self.trunk, b"")
        index = decode_index((stack.folders[-1] / ".git" / "index").read_bytes())
        merge_layers(source, stack.folders, target, index)
        write_head(target, self.layers.head_files(stack.commit, trunk_history=False))
        return target

    def differs(self, stack: LayerStack) -> str:
        """What git finds changed in it, and which files git would have to read to find out; empty if neither."""
        shown = self.shown(stack)
        status = self.git(shown, "status", "--porcelain", "--untracked-files=all")
        stale = self.git(shown, "diff-files", "--name-only")
        tree = self.git(self.trunk, "rev-parse", f"{stack.commit}^{{tree}}")
        own = self.git(shown, "write-tree")
        return status + stale + ("" if own == tree else f"the index has tree {own}, not {tree}")

    async def settled(self) -> None:
        """Wait for a newer base, if one is being made."""
        renewing = self.layers._renewing
        if renewing is not None:
            await renewing


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


async def test_layers_show_exactly_their_commit_and_git_need_not_read_a_file(project: Project) -> None:
    for _ in range(25):
        stack = await project.layers.use(project.edit())
        assert project.differs(stack) == ""
        project.layers.release(stack)
    assert len(stack.folders) > 1


async def test_a_delta_has_only_what_changed_since_the_layer_below(project: Project) -> None:
    await project.layers.use(project.base)
    for number in range(40):
        project.write(f"many/{number}.txt", "x")
    await project.layers.use(project.commit())
    project.write("one.txt", "x")
    stack = await project.layers.use(project.commit())
    assert [name.name for name in stack.folders[-1].iterdir() if name.name != ".git"] == ["one.txt"]
    assert len(stack.folders) == 3


async def test_the_stack_stays_shallow_while_trunk_moves(project: Project) -> None:
    depths = []
    for number in range(60):
        project.write(f"moving/{number}.txt", "x")
        stack = await project.layers.use(project.commit())
        depths.append(len(stack.folders))
        project.layers.release(stack)
    assert max(depths) <= 5
    assert project.differs(stack) == ""
    assert len(list((project.folder / "layers").iterdir())) <= 6  # the base, its deltas and the latest stack


async def test_an_outdated_base_is_replaced_by_hard_links_to_the_same_files(
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
    stack = await project.layers.use(project.commit())
    assert stack.folders[0] != first.folders[0]
    assert len(stack.folders) == 2
    assert project.differs(stack) == ""
    kept = "part1/unit1/file1.txt"
    assert (stack.folders[0] / kept).samefile(first.folders[0] / kept)
    assert (stack.folders[0] / kept).stat().st_mtime_ns == (first.folders[0] / kept).stat().st_mtime_ns
    for used in (first, worn, stack):
        project.layers.release(used)
    assert set((project.folder / "layers").iterdir()) == set(stack.folders)


async def test_layers_in_use_are_not_removed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MAX_CHANGED", 3)
    held = [await project.layers.use(project.edit()) for _ in range(6)]
    for _ in range(20):
        project.layers.release(await project.layers.use(project.edit()))
        await project.settled()
    assert [project.differs(stack) for stack in held] == [""] * 6


async def test_concurrent_users_share_layers(project: Project) -> None:
    commits = [project.base, project.edit(), project.edit()]
    layers = await asyncio.gather(*(project.layers.use(commits[number % 3]) for number in range(200)))
    assert len({stack.folders for stack in layers}) == 3
    for stack in layers:
        project.layers.release(stack)


async def test_layers_of_an_earlier_process_are_discarded(project: Project) -> None:
    stack = await project.layers.use(project.base)
    left = project.folder / "layers" / "99"
    left.mkdir()
    project.layers.sweep()
    assert list((project.folder / "layers").iterdir()) == list(stack.folders)
    assert len(list((project.folder / "trash").iterdir())) == 1
    project.trash.empty()
    assert list((project.folder / "trash").iterdir()) == []
