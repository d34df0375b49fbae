"""Running git: a clean environment, bounded output and time, and no process left behind."""

import ast
import asyncio
import os
import re
from pathlib import Path

import pytest

import engine
import tui
from engine.domain.errors import ErrorKind, SwarmError
from engine.repo.git.git import Git
from tests.engine.repo.user_repo import UserRepo


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    return UserRepo.make(tmp_path / "repo", {"a.txt": b"a\n"})


def fake_git(folder: Path, script: str) -> str:
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


async def test_input_and_output_are_passed_through_unchanged(repo: UserRepo) -> None:
    data = os.urandom(3_000_000)
    git = Git(repo.root)
    blob = (await git.run("hash-object", "-w", "--stdin", stdin=data)).text
    assert (await git.run("cat-file", "blob", blob)).out == data


async def test_output_over_the_limit_is_cut(repo: UserRepo) -> None:
    git = Git(repo.root)
    blob = (await git.run("hash-object", "-w", "--stdin", stdin=b"x" * 2_000_000)).text
    result = await git.run("cat-file", "blob", blob, limit=1000)
    assert (result.cut, result.out) == (True, b"x" * 1000)


async def test_a_failure_raises_an_error_with_gits_message(repo: UserRepo) -> None:
    with pytest.raises(SwarmError) as raised:
        await Git(repo.root).run("rev-parse", "--verify", "nothing")
    assert raised.value.kind is ErrorKind.GIT
    assert raised.value.message == "git rev-parse: fatal: Needed a single revision"
    assert raised.value.hint


async def test_a_missing_folder_is_not_reported_as_a_missing_git(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as raised:
        await Git(tmp_path / "gone").run("version")
    assert raised.value.kind is ErrorKind.GIT


async def test_a_timeout_kills_a_process_and_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", f"(exec 9>'{fifo}'; sleep 100) & sleep 100"))
    loop = asyncio.get_running_loop()
    run = asyncio.create_task(Git(tmp_path, timeout_s=2).run("anything"))
    reader = await loop.run_in_executor(None, fifo.open, "rb")  # returns once the grandchild has opened the other end
    with pytest.raises(SwarmError, match="timed out after 2 s"):
        await run
    # The pipe reaches its end only when the last process that holds it is dead.
    assert await loop.run_in_executor(None, reader.read) == b""
    reader.close()


async def test_a_cancelled_process_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", f"exec 9>'{fifo}'; sleep 100"))
    loop = asyncio.get_running_loop()
    run = asyncio.create_task(Git(tmp_path).run("anything"))
    reader = await loop.run_in_executor(None, fifo.open, "rb")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await loop.run_in_executor(None, reader.read) == b""
    reader.close()


async def test_the_callers_environment_does_not_leak_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", "env"))
    environment = await Git(tmp_path).text("anything")
    assert "secret" not in environment
    assert "GIT_CONFIG_COUNT" not in environment
    assert "GIT_CONFIG_GLOBAL=/dev/null" in environment


async def test_hooks_and_file_monitors_of_the_repo_do_not_run(repo: UserRepo, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hook = repo.root / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    hook.chmod(0o755)
    repo.git("config", "core.fsmonitor", f"touch '{ran}'")
    git = Git(repo.root)
    await git.run("update-ref", "refs/heads/new", "HEAD")
    await git.run("status", "--porcelain")
    assert not ran.exists()


def test_only_one_module_starts_git_with_the_engines_rights() -> None:
    """What runs inside sandboxes has an agent's rights: its git can do no more than the agent's own commands."""
    roots = [Path(package.__file__ or "").parent for package in (engine, tui)]
    starting = {
        str(file.relative_to(root.parent))
        for root in roots
        for file in root.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.List | ast.Tuple | ast.Call)
        for first in (node.args if isinstance(node, ast.Call) else node.elts)[:1]
        if isinstance(first, ast.Constant) and re.match("(b')?(/usr/bin/)?git\\b", str(first.value))
    }
    inside = {name for name in starting if name.startswith("engine/sandbox/inside/")}
    assert starting - inside == {"engine/repo/git/git.py"}
    assert inside == {"engine/sandbox/inside/search.py"}
