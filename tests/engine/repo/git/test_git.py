"""Running git: nothing leaks in, nothing outlives its time."""

import asyncio
import os
from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, SwarmError
from engine.repo.git.git import Git
from tests.engine.repo.person import PersonRepo


@pytest.fixture
def repo(tmp_path: Path) -> PersonRepo:
    return PersonRepo.make(tmp_path / "repo", {"a.txt": b"a\n"})


def fake_git(folder: Path, script: str) -> str:
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


async def test_input_goes_in_and_output_comes_out_whole(repo: PersonRepo) -> None:
    data = os.urandom(3_000_000)
    git = Git(repo.root)
    blob = (await git.run("hash-object", "-w", "--stdin", stdin=data)).text
    assert (await git.run("cat-file", "blob", blob)).out == data


async def test_output_over_the_limit_is_cut(repo: PersonRepo) -> None:
    git = Git(repo.root)
    blob = (await git.run("hash-object", "-w", "--stdin", stdin=b"x" * 2_000_000)).text
    result = await git.run("cat-file", "blob", blob, limit=1000)
    assert (result.cut, result.out) == (True, b"x" * 1000)


async def test_a_failure_is_an_error_with_gits_words(repo: PersonRepo) -> None:
    with pytest.raises(SwarmError) as told:
        await Git(repo.root).run("rev-parse", "--verify", "nothing")
    assert told.value.kind is ErrorKind.GIT
    assert told.value.message == "git rev-parse: fatal: Needed a single revision"
    assert told.value.hint


async def test_a_folder_that_is_gone_is_not_taken_for_a_missing_git(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as told:
        await Git(tmp_path / "gone").run("version")
    assert told.value.kind is ErrorKind.GIT


async def test_a_process_out_of_time_dies_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", f"(exec 9>'{fifo}'; sleep 100) & sleep 100"))
    loop = asyncio.get_running_loop()
    run = asyncio.create_task(Git(tmp_path, timeout_s=2).run("anything"))
    reader = await loop.run_in_executor(None, fifo.open, "rb")  # returns when the grandchild holds the other end
    with pytest.raises(SwarmError, match="longer than"):
        await run
    # The end of the pipe comes only when the last process that holds it is dead.
    assert await loop.run_in_executor(None, reader.read) == b""
    reader.close()


async def test_a_cancelled_process_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_the_environment_is_scrubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", "env"))
    told = await Git(tmp_path).text("anything")
    assert "secret" not in told
    assert "GIT_CONFIG_COUNT" not in told
    assert "GIT_CONFIG_GLOBAL=/dev/null" in told


async def test_a_hook_and_a_monitor_of_the_repo_do_not_run(repo: PersonRepo, tmp_path: Path) -> None:
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
