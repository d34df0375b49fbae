"""Every tool on files with odd names, in a real sandbox: what one tool shows, all others find."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from engine.domain.os_text import path_text
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId, CommitId, LandingState, RunId
from engine.ports.protocols import WorkspaceError
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from engine.repo.workspaces.pool import open_workspaces
from engine.repo.workspaces.workspace import AgentWorkspace
from engine.tools import apply_patch, edit_file, list_files, read_file, search, write_file
from engine.tools.tool import Answer, ToolContext
from tests.engine.repo.user_repo import UserRepo
from tests.odd_names import ODD, random_names

NAMES = tuple(dict.fromkeys((*ODD, *random_names(7, 40))))


class Context:
    """What the tools for files use of their context."""

    def __init__(self, workspace: AgentWorkspace) -> None:
        self._workspace = workspace

    async def workspace(self) -> AgentWorkspace:
        return self._workspace

    async def left_out(self, written: str = "") -> str:
        await self._workspace.changed()
        return "".join(f" left out: {path}" for path in self._workspace.left_out)


async def call(tool: Any, workspace: AgentWorkspace, **arguments: object) -> str:
    """The answer of a tool, which can be stored and sent."""
    answer: Answer = await tool.call(cast(ToolContext, Context(workspace)), tool.Arguments(**arguments))
    assert not answer.error, answer.text
    answer.text.encode()
    return answer.text


@pytest.fixture
async def trunk(tmp_path: Path) -> GitTrunk:
    repo = UserRepo.make(tmp_path / "repo", {os.fsdecode(name): b"one\ntwo\n" for name in NAMES[::2]})
    (tmp_path / "run").mkdir()
    return await GitTrunk.create(tmp_path / "run", await inspect_repo(repo.root), RunId("r-1"))


@pytest.fixture
async def workspace(trunk: GitTrunk, tmp_path: Path) -> AsyncIterator[AgentWorkspace]:
    pool = await open_workspaces(
        tmp_path / "run" / "workspaces", trunk.git_dir, SandboxSettings(), trunk.base, trunk.pending
    )
    opened = await pool.open(AgentId("a-1"), trunk.base)
    yield opened
    await opened.close()
    await pool.close()


async def test_what_the_listing_shows_can_be_read_searched_edited_and_written(workspace: AgentWorkspace) -> None:
    for name in NAMES[1::2]:
        assert (
            await call(write_file, workspace, path=path_text(name), content="one\ntwo\n") == f"wrote {path_text(name)}"
        )
    listed = (await call(list_files, workspace)).split("\n")
    assert sorted(listed) == sorted(f"{path_text(name)} (8)" for name in NAMES)
    found = await call(search, workspace, pattern="^two")
    assert sorted(found.split("\n")) == sorted(f"{path_text(name)}:2: two" for name in NAMES)
    for line in listed:
        path = line.removesuffix(" (8)")
        assert await call(read_file, workspace, path=path) == "1\tone\n2\ttwo"
        assert await call(search, workspace, pattern="one", path=path) == f"{path}:1: one"
        edits = (edit_file.Edit("two", "three"),)
        assert await call(edit_file, workspace, path=path, edits=edits) == f"edited {path} (1)"
        patch = f"*** Update File: {path}\n@@\n one\n-three\n+four\n"
        assert await call(apply_patch, workspace, patch=patch) == f"edited {path} (1)"
        assert await workspace.read_file(path) == b"one\nfour\n"
    assert await workspace.changed() == tuple(sorted(map(path_text, NAMES)))


async def test_what_a_command_prints_of_odd_names_finds_the_file(workspace: AgentWorkspace) -> None:
    output = await workspace.run(r"printf 'new\n' > $(printf 'by\351command'); ls by*", 30, lambda _: None)
    assert output.text == "by\\xe9command\n"
    assert await call(read_file, workspace, path=output.text.strip()) == "1\tnew"


async def test_all_odd_names_land_and_are_read_from_trunk(workspace: AgentWorkspace, trunk: GitTrunk) -> None:
    names = sorted(map(path_text, NAMES))
    for name in names:
        await workspace.write_file(name, b"landed\n")
    patch = await workspace.diff()
    assert patch.isascii()
    change: CommitId = await workspace.commit("all of them")
    result = await trunk.land(change, "all of them")
    assert (result.state, sorted(result.paths)) == (LandingState.MERGED, names)
    for name in names:
        assert await trunk.read_file(result.commit or change, name) == b"landed\n"


async def test_a_conflict_in_an_odd_name_is_named_as_the_tools_name_it(
    workspace: AgentWorkspace, trunk: GitTrunk
) -> None:
    path = path_text(NAMES[0])
    await workspace.write_file(path, b"mine\n")
    mine = await workspace.commit("mine")
    assert (await trunk.land(mine, "mine")).state is LandingState.MERGED
    await workspace.write_file(path, b"theirs\n")
    result = await trunk.land(await workspace.commit("theirs"), "theirs")
    assert (result.state, result.conflicts) == (LandingState.CONFLICTED, (path,))
    assert path in result.reason
    assert result.merged is not None
    await workspace.advance(result.merged, result.base)
    assert b"<<<<<<< trunk" in await workspace.read_file(path)


async def test_a_path_that_no_file_can_have_is_refused(workspace: AgentWorkspace) -> None:
    for path in ("a\0b", r"a\x00b", "a\ud800b"):
        with pytest.raises(WorkspaceError, match="invalid file name"):
            await workspace.write_file(path, b"x")


async def test_a_file_that_is_not_utf8_keeps_its_bytes_when_a_line_with_them_is_edited(
    workspace: AgentWorkspace,
) -> None:
    await workspace.write_file("latin", b"caf\xe9\nth\xe9\n")
    shown = await call(read_file, workspace, path="latin")
    assert shown.startswith("1\tcaf\\xe9\n2\tth\\xe9")
    assert await call(search, workspace, pattern="caf", path="latin") == r"latin:1: caf\xe9"
    await call(edit_file, workspace, path="latin", edits=(edit_file.Edit(r"caf\xe9", r"d\xe9caf\xe9"),))
    assert await workspace.read_file("latin") == b"d\xe9caf\xe9\nth\xe9\n"


async def test_a_patch_adds_no_file_where_anything_else_is_and_leaves_that(workspace: AgentWorkspace) -> None:
    made = "mkdir folder && echo kept >folder/file && ln -s /etc/passwd out && truncate -s 9M large && echo 1 >a"
    assert (await workspace.run(f"{made} && ln -s a link", 30, lambda _: None)).exit == 0
    look = "ls -lR --time-style=+ folder out large link; cat folder/file"
    before = (await workspace.run(look, 30, lambda _: None)).text
    there = {"folder": "is a folder", "out": "outside", "large": "9437184 bytes", "a/b": "not a folder"}
    for name, told in there.items():
        patch = apply_patch.Arguments(f"*** Delete File: link\n*** Add File: {name}\n+new\n")
        answer = await apply_patch.call(cast(ToolContext, Context(workspace)), patch)
        assert answer.text.startswith("nothing changed: ")
        assert told in answer.text
        assert (await workspace.run(look, 30, lambda _: None)).text == before, name
