"""Commands that hide what they take: each is ended at its limit all the same, and others are not blamed for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.ports.protocols import WorkspaceError, WorkspaceLost
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.faults import hiding
from tests.faults.contained import Place, open_place, run, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")
MIB = 1 << 20


@pytest_asyncio.fixture(loop_scope="session")
async def roomy(place: Place, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AgentWorkspace]:
    """A copy whose commands may use much memory, so that only the disk is limited."""
    made = await open_place(tmp_path_factory.mktemp("roomy"), place.level.value, memory="4GiB")
    yield await made.open()
    await made.workspaces.close()


@pytest_asyncio.fixture(loop_scope="session")
async def spacious(place: Place, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AgentWorkspace]:
    """A copy whose commands may use much disk space, so that only memory is limited."""
    made = await open_place(tmp_path_factory.mktemp("spacious"), place.level.value, disk="64GiB")
    yield await made.open()
    await made.workspaces.close()


def taken(text: str) -> int:
    """How many MiB a program said that it has."""
    return max((int(line.split()[1]) for line in text.splitlines() if line.startswith("has")), default=0)


@pytest.mark.parametrize("work", hiding.DISK.values(), ids=hiding.DISK)
async def test_disk_space_cannot_be_hidden(roomy: AgentWorkspace, work: str) -> None:
    output = await run(roomy, hiding.program(work), 100)
    assert (output.exit, output.killed) == (None, "disk")
    assert await shell(roomy, "rm -rf *; echo on") == "on\n"


async def test_disk_space_that_is_taken_and_hidden_at_once_is_found(roomy: AgentWorkspace) -> None:
    output = await run(roomy, hiding.program(hiding.DISK["removed files in flight"], pause=0), 100)
    assert (output.exit, output.killed) == (None, "disk")


@pytest.mark.parametrize("work", hiding.MEMORY.values(), ids=hiding.MEMORY)
async def test_memory_cannot_be_hidden(spacious: AgentWorkspace, work: str) -> None:
    output = await run(spacious, hiding.program(work), 100)
    assert (output.exit, output.killed) == (None, "memory")
    assert taken(output.text) < hiding.MUCH
    assert await shell(spacious, "echo on") == "on\n"


@pytest.mark.parametrize("work", hiding.PRIVATE_MEMORY.values(), ids=hiding.PRIVATE_MEMORY)
async def test_memory_of_private_namespaces_is_limited_or_refused(spacious: AgentWorkspace, work: str) -> None:
    output = await run(spacious, hiding.program(work), 100)
    if spacious.root == "/ws":
        assert (output.exit, output.killed) == (None, "memory")
    else:
        assert (output.exit, output.killed) == (1, "")
        assert taken(output.text) == 0
    assert await shell(spacious, "echo on") == "on\n"


async def test_what_other_programs_write_ends_no_command(place: Place, agent: AgentWorkspace) -> None:
    """They fill the disk by three times the limit, while the command holds a deleted file of its own."""
    on = asyncio.Event()
    command = (
        "exec 3> mine; rm mine; head -c 1M /dev/zero >&3; echo on; while [ ! -e done ]; do sleep 0.05; done; echo end"
    )
    running = asyncio.create_task(agent.run(command, 100, lambda _: on.set()))
    await on.wait()
    files = [place.outside / f"other{number}" for number in range(6)]
    try:
        for file in files:
            await asyncio.to_thread(file.write_bytes, bytes(48 * MIB))
            await asyncio.sleep(0.3)
        await asyncio.sleep(2)  # two looks at the disk
        await agent.write_file("done", b"")
        output = await running
    finally:
        for file in files:
            file.unlink(missing_ok=True)
    assert (output.killed, output.text) == ("", "on\nend\n")


async def test_links_to_one_file_count_once(place: Place, agent: AgentWorkspace) -> None:
    command = (
        "head -c 40M /dev/zero > big; for each in 1 2 3 4; do ln big link$each; done; sleep 2.5; rm big link*; echo on"
    )
    assert await shell(agent, command) == "on\n"


async def test_many_short_commands_cannot_take_more_than_one_long_one(place: Place, agent: AgentWorkspace) -> None:
    """What a look at the disk misses is found before the next command, which is then refused once."""
    for number in range(6):
        killed = (await run(agent, f"head -c 40M /dev/zero > big{number}")).killed
        if killed:
            break
    assert killed == "disk"
    assert 2 <= number <= 4
    assert await shell(agent, "rm big*; echo on") == "on\n"


async def test_a_copy_that_keeps_growing_beyond_its_limit_is_given_up(place: Place) -> None:
    workspace = await place.open()
    for number in range(3):
        grow = f"for each in 1 2 3; do head -c 40M /dev/zero > big{number}-$each; done; sleep 600"
        assert (await run(workspace, grow, 100)).killed == "disk"
    with pytest.raises(WorkspaceLost, match="given up"):
        await run(workspace, "echo on")
    await workspace.close()


async def test_files_that_an_agent_writes_itself_count_as_well(place: Place, agent: AgentWorkspace) -> None:
    async def write() -> None:
        for number in range(40):
            await agent.write_file(f"own{number}", bytes(4 * MIB))

    with pytest.raises(WorkspaceError, match="may not grow by more than 96 MiB"):
        await write()
    assert await shell(agent, "rm own*; echo on") == "on\n"
    await agent.write_file("small", b"x")
