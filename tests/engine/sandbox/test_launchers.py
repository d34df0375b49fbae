"""Launchers that are forked from the zygote: what they share, and what becomes of them with it."""

import asyncio
import os
import select
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.ports.protocols import WorkspaceLost
from engine.resources import proc
from engine.sandbox.launchers import Zygote
from engine.sandbox.mounts import Mount
from engine.sandbox.probe import Choice, choose
from engine.sandbox.session import SandboxSession


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


async def start(choice: Choice, folder: Path) -> SandboxSession:
    places = [folder / name for name in ("lower", "upper", "work")]
    for place in places:
        place.mkdir(parents=True)
    lower, upper, work = map(str, places)
    return await SandboxSession.start(choice.containment.start(folder, Mount((lower,), upper, work)))


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


async def test_launchers_share_most_of_their_memory(choice: Choice, tmp_path: Path) -> None:
    sessions = [await start(choice, tmp_path / f"copy-{number}") for number in range(6)]
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
