"""Launchers that are forked from the zygote: what they share, and what becomes of them with it."""

import asyncio
import os
import resource
import select
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.ports.protocols import WorkspaceLost
from engine.resources import proc
from engine.sandbox.launchers import Forked, Zygote
from engine.sandbox.mounts import Mount
from engine.sandbox.probe import Choice, choose
from engine.sandbox.program import zygote_command
from engine.sandbox.session import SandboxSession, Start


async def chosen(folder: Path, level: str) -> Choice:
    (folder / "objects").mkdir()
    try:
        return await choose(folder, folder / "objects", SandboxSettings(level=level, copies="overlay"))
    except SwarmError as error:
        pytest.skip(error.message)


@pytest.fixture(params=["full", "namespaced"])
async def choice(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Choice]:
    made = await chosen(tmp_path, request.param)
    if made.containment.zygote is None:
        pytest.skip("launchers cannot be forked here")
    yield made
    made.containment.close()


def prepare(choice: Choice, folder: Path) -> Start:
    places = [folder / name for name in ("lower", "upper", "work")]
    for place in places:
        place.mkdir(parents=True)
    lower, upper, work = map(str, places)
    return choice.containment.start(folder, Mount((lower,), upper, work))


async def start(choice: Choice, folder: Path) -> SandboxSession:
    return await SandboxSession.start(prepare(choice, folder))


async def run(session: SandboxSession, command: str) -> str:
    output = await session.run(command, 60, ".swarm/output.txt", lambda _: None)
    assert output.killed == "", output
    return output.text


def zygote_of(session: SandboxSession) -> int:
    return int(Path(f"/proc/{session.pid}/stat").read_text().rpartition(")")[2].split()[1])


def _wait_until_childless(pid: int) -> None:
    end = time.monotonic() + 60
    while Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        assert time.monotonic() < end, "a process is left"
        time.sleep(0.05)


async def wait_until_open(count: int) -> None:
    """Wait until so many descriptors are open: the event loop closes some a little later."""
    end = time.monotonic() + 30
    while len(os.listdir("/proc/self/fd")) != count:
        assert time.monotonic() < end, (count, os.listdir("/proc/self/fd"))
        await asyncio.sleep(0.01)


async def test_launchers_share_most_of_their_memory(choice: Choice, tmp_path: Path) -> None:
    sessions = [await start(choice, tmp_path / f"copy-{number}") for number in range(16)]
    for session in sessions:
        await run(session, "true")
    own = [proc.proportional_memory(session.pid) for session in sessions]
    alone = proc.proportional_memory(zygote_of(sessions[0]))
    if None not in own and alone is not None:
        whole = proc.own_memory(sessions[0].pid)
        assert max(each or 0 for each in own) < whole / 2
    for session in sessions:
        await session.close()


async def test_a_launcher_is_the_first_process_inside_and_has_nothing_of_the_machines(
    choice: Choice, tmp_path: Path
) -> None:
    session = await start(choice, tmp_path / "copy")
    said = await run(
        session,
        "echo $PPID; id -u; pwd; (readlink /proc/1/exe /proc/1/fd/*; cat /proc/1/environ /proc/1/maps) 2>/dev/null;"
        "tr '\\0' ' ' < /proc/1/cmdline",
    )
    parent, user, folder, *rest = said.splitlines()
    assert (parent, user, folder) == ("1", "1000", "/ws")
    assert len(rest) == 1  # its command line; nothing else of it can be read
    assert str(tmp_path) not in rest[0]
    assert session.first_pids() == [session.pid]
    assert await session.end()
    await session.close()


async def test_sandboxes_end_with_the_zygote_and_later_ones_start_from_a_new_one(
    choice: Choice, tmp_path: Path
) -> None:
    session = await start(choice, tmp_path / "first")
    end = os.pidfd_open(session.pid)
    os.kill(zygote_of(session), signal.SIGKILL)
    assert select.select([end], [], [], 60)[0]
    os.close(end)
    with pytest.raises(WorkspaceLost):
        await run(session, "true")
    await session.close()
    later = await start(choice, tmp_path / "later")
    assert await run(later, "echo on") == "on\n"
    await later.close()


async def test_a_start_that_is_cancelled_leaves_no_process(choice: Choice, tmp_path: Path) -> None:
    session = await start(choice, tmp_path / "first")
    zygote = zygote_of(session)
    for number in range(4):
        starting = asyncio.create_task(start(choice, tmp_path / f"cancelled-{number}"))
        await asyncio.sleep(0.002 * number)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    await session.close()
    await asyncio.to_thread(_wait_until_childless, zygote)


async def test_a_start_that_waits_for_a_zygote_that_is_killed_is_made_by_the_next_one(
    choice: Choice, tmp_path: Path
) -> None:
    first = await start(choice, tmp_path / "first")
    zygote = zygote_of(first)
    os.kill(zygote, signal.SIGSTOP)  # so that the requests are still unanswered
    starting = [asyncio.create_task(start(choice, tmp_path / f"copy-{number}")) for number in range(3)]
    await asyncio.sleep(0)
    os.kill(zygote, signal.SIGKILL)
    for session in await asyncio.gather(*starting):
        assert await run(session, "echo on") == "on\n"
        assert zygote_of(session) != zygote
        await session.close()
    await first.close()


async def test_a_launcher_whose_zygote_ends_before_it_is_ready_ends_too(
    choice: Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = Zygote.fork

    async def fork_and_end(self: Zygote, argv: Sequence[str], fds: Sequence[int]) -> Forked:
        forked = await fork(self, argv, fds)
        self.close()
        return forked

    monkeypatch.setattr(Zygote, "fork", fork_and_end)
    with pytest.raises(WorkspaceLost, match="zygote"):
        await start(choice, tmp_path / "copy")


FAILING_FORK = """
import os
fork, zygote, calls = os.fork, os.getpid(), []
def fails_the_second_time():
    if os.getpid() == zygote:
        calls.append(1)
        if len(calls) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = fails_the_second_time
"""


async def test_a_launcher_that_cannot_be_forked_is_told_and_ends_no_other_sandbox(
    choice: Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choice.containment.zygote is not None
    choice.containment.zygote.close()
    *interpreter, program = zygote_command()
    monkeypatch.setattr("engine.sandbox.launchers.zygote_command", lambda: (*interpreter, FAILING_FORK + program))
    first = await start(choice, tmp_path / "first")
    with pytest.raises(WorkspaceLost, match="temporarily unavailable"):
        await start(choice, tmp_path / "second")
    third = await start(choice, tmp_path / "third")
    for session in (first, third):
        assert await run(session, "echo on") == "on\n"
        await session.close()


async def test_a_start_that_is_cancelled_leaves_no_descriptor_or_control_group(
    choice: Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await start(choice, tmp_path / "first")).close()
    fork, forked = Zygote.fork, asyncio.Event()

    async def fork_and_tell(self: Zygote, argv: Sequence[str], fds: Sequence[int]) -> Forked:
        made = await fork(self, argv, fds)
        asyncio.get_running_loop().call_soon(forked.set)
        return made

    monkeypatch.setattr(Zygote, "fork", fork_and_tell)
    open_before = os.listdir("/proc/self/fd")
    prepared = prepare(choice, tmp_path / "cancelled")
    starting = asyncio.create_task(SandboxSession.start(prepared))
    await forked.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await wait_until_open(len(open_before))
    if prepared.group is not None:
        with pytest.raises(FileNotFoundError):
            prepared.group.descriptors()


async def test_a_start_that_fails_and_is_then_cancelled_leaves_no_descriptor_or_control_group(
    choice: Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await start(choice, tmp_path / "first")).close()
    fork, close, closing = Zygote.fork, SandboxSession.close, asyncio.Event()

    async def fork_and_kill(self: Zygote, argv: Sequence[str], fds: Sequence[int]) -> Forked:
        made = await fork(self, argv, fds)
        made.kill()
        return made

    async def close_slowly(self: SandboxSession) -> None:
        closing.set()
        await asyncio.sleep(0.01)
        await close(self)

    monkeypatch.setattr(Zygote, "fork", fork_and_kill)
    monkeypatch.setattr(SandboxSession, "close", close_slowly)
    open_before = os.listdir("/proc/self/fd")
    prepared = prepare(choice, tmp_path / "cancelled")
    starting = asyncio.create_task(SandboxSession.start(prepared))
    await closing.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    this = asyncio.current_task()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not this), return_exceptions=True)
    await wait_until_open(len(open_before))
    if prepared.group is not None:
        with pytest.raises(FileNotFoundError):
            prepared.group.descriptors()


def fill_gaps() -> list[int]:
    """Use every free descriptor below the highest that is open, and one above it."""
    filled = [os.open("/dev/null", os.O_RDONLY)]
    while any(os.path.lexists(f"/proc/self/fd/{above}") for above in range(filled[-1] + 1, 2_000)):
        filled.append(os.open("/dev/null", os.O_RDONLY))
    return filled


async def test_without_free_descriptors_a_start_fails_and_leaves_none_open(choice: Choice, tmp_path: Path) -> None:
    await (await start(choice, tmp_path / "first")).close()
    gaps = fill_gaps()
    open_before = os.listdir("/proc/self/fd")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    failed = 0
    for room in range(24):
        resource.setrlimit(resource.RLIMIT_NOFILE, (gaps[-1] + 1 + room, hard))
        try:
            session = await start(choice, tmp_path / f"copy-{room}")
        except WorkspaceLost:
            failed += 1
            session = None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if session is not None:
            await session.close()
        await wait_until_open(len(open_before))
    assert failed >= 4
    for gap in gaps:
        os.close(gap)
    later = await start(choice, tmp_path / "later")
    assert await run(later, "echo on") == "on\n"
    await later.close()


async def test_closing_the_containment_ends_the_zygote_and_every_launcher(choice: Choice, tmp_path: Path) -> None:
    session = await start(choice, tmp_path / "copy")
    ends = [os.pidfd_open(pid) for pid in (session.pid, zygote_of(session))]
    choice.containment.close()
    for end in ends:
        assert select.select([end], [], [], 60)[0]
        os.close(end)
    await session.close()


@pytest.mark.parametrize("level", ["full", "namespaced"])
async def test_where_launchers_cannot_be_forked_bubblewrap_starts_each(
    level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Zygote, *args: object) -> None:
        raise OSError("namespaces: Operation not permitted")

    monkeypatch.setattr(Zygote, "fork", refuse)
    choice = await chosen(tmp_path, level)
    assert choice.containment.zygote is None
    assert choice.report.level == level
    session = await start(choice, tmp_path / "copy")
    assert await run(session, "echo on") == "on\n"
    assert len(session.first_pids()) == 2
    await session.close()
    choice.containment.close()
