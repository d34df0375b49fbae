"""Commits that the builder process builds equal those built in threads, and threads take over when it fails."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.types import CommitId, RunId
from engine.repo.changes import builder_process
from engine.repo.changes.builder_process import START_AT, BuilderProcess
from engine.repo.changes.commit_builder import BuildRequest, BuiltCommit, build_from_overlay
from engine.repo.changes.scan import MAX_FILE_BYTES
from engine.repo.git.ignores import Rules, parse_rules
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.user_repo import UserRepo

IGNORED: Rules = parse_rules(b"*.log\n")


class Overlays:
    """Upper folders over the base of one trunk, and where the commit of each was built."""

    def __init__(self, folder: Path, trunk: GitTrunk) -> None:
        self.folder, self.trunk = folder, trunk
        self.builder = BuilderProcess(trunk.git_dir, usable=True)
        self.by_process: list[BuiltCommit] = []
        self.in_threads = 0

    def request(self, name: str, files: dict[str, bytes]) -> BuildRequest:
        upper = self.folder / name
        for path, content in files.items():
            (upper / path).parent.mkdir(parents=True, exist_ok=True)
            (upper / path).write_bytes(content)
        root = self.trunk.pending.tree_of(self.trunk.base)
        return BuildRequest(os.fsencode(upper), root, (), self.trunk.base, b"a change\n", 1_000)

    async def build(self, request: BuildRequest) -> CommitId:
        def accept(built: BuiltCommit) -> CommitId:
            self.by_process.append(built)
            return CommitId(built.commit.hex())

        def build_here() -> CommitId:
            self.in_threads += 1
            return self.expected(request)

        return await self.builder.build(request, IGNORED, accept, build_here)

    async def start_process(self) -> None:
        """Build as many at once as it takes to start the process."""
        requests = [self.request(f"first-{n}", {"a.txt": b"%d" % n}) for n in range(START_AT)]
        await asyncio.gather(*map(self.build, requests))
        assert self.builder._starting is not None
        await self.builder._starting
        assert self.in_threads == START_AT
        self.in_threads = 0

    def expected(self, request: BuildRequest) -> CommitId:
        built = build_from_overlay(self.trunk.pending.store, IGNORED, request)
        return CommitId(built.commit.hex() if built is not None else "")


@pytest.fixture
async def overlays(tmp_path: Path) -> AsyncIterator[Overlays]:
    repo = UserRepo.make(tmp_path / "repo", {"a.txt": b"a\n", "d/x.txt": b"x\n"})
    (tmp_path / "run").mkdir()
    trunk = await GitTrunk.create(tmp_path / "run", await inspect_repo(repo.root), RunId("r"))
    overlays = Overlays(tmp_path / "uppers", trunk)
    yield overlays
    await overlays.builder.close()


async def test_the_process_builds_the_same_commits_as_a_thread(overlays: Overlays) -> None:
    requests = [
        overlays.request(str(n), {"d/x.txt": b"%d\n" % n, f"new/{n}": b"n\n", "x.log": b"no"}) for n in range(100)
    ]
    await overlays.start_process()
    assert await asyncio.gather(*map(overlays.build, requests)) == list(map(overlays.expected, requests))
    assert (len(overlays.by_process), overlays.in_threads) == (100, 0)
    for built in overlays.by_process:
        assert {kind for kind, _ in built.objects.values()} == {b"blob", b"tree", b"commit"}
        assert b"no" not in {data for _, data in built.objects.values()}


async def test_a_thread_builds_what_the_process_cannot_and_rejected_changes_name_the_reason(overlays: Overlays) -> None:
    crlf = overlays.request("crlf", {"a.txt": b"a\r\n"})
    missing = overlays.request("missing", {"a.txt": b"b\n"})
    (overlays.folder / "missing" / "a.txt").unlink()
    (overlays.folder / "missing").rmdir()
    large = overlays.request("large", {})
    (overlays.folder / "large").mkdir()
    with (overlays.folder / "large" / "file").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    await overlays.start_process()
    await asyncio.gather(*map(overlays.build, [crlf, missing, large]))
    assert overlays.in_threads == 2
    assert [built.rejected for built in overlays.by_process if built.rejected] == [
        "file: its 64 MiB are too large to land; if you moved it, move it back; else remove it or add it to .gitignore"
    ]


async def test_threads_take_over_when_the_process_is_killed(overlays: Overlays) -> None:
    requests = [overlays.request(str(n), {"a.txt": b"%d\n" % n}) for n in range(50)]
    await overlays.start_process()
    process = overlays.builder._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    building = asyncio.gather(*map(overlays.build, requests))
    await asyncio.sleep(0)
    process.kill()
    assert await building == list(map(overlays.expected, requests))
    assert overlays.by_process == []
    assert overlays.builder._process is None


async def test_threads_take_over_when_the_process_hangs(overlays: Overlays, monkeypatch: pytest.MonkeyPatch) -> None:
    request = overlays.request("one", {"a.txt": b"1\n"})
    await overlays.start_process()
    process = overlays.builder._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(builder_process, "TIMEOUT_S", 0.1)
    assert await overlays.build(request) == overlays.expected(request)
    assert (overlays.by_process, overlays.builder._process) == ([], None)


async def test_the_process_exits_when_its_parent_dies(overlays: Overlays) -> None:
    await overlays.start_process()
    process = overlays.builder._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # as the kernel does when the parent is killed
    assert await process.wait() == 0
