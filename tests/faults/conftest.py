"""One set of copies for each level, shared by all tests; a neighbour keeps working beside each of them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.domain.errors import ErrorKind, SwarmError
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.faults.contained import Place, open_place, shell


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["full", "namespaced", "restricted"])
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """Every level that contains anything; one is skipped only if its self-test fails."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        try:
            made = await open_place(folder, request.param)
        except SwarmError as error:
            if error.kind is not ErrorKind.SANDBOX:
                raise
            pytest.skip(error.message)
    yield made
    await made.workspaces.close()
    assert list((folder / "workspaces" / "trash").iterdir()) == []
    assert list((folder / "workspaces" / "copies").iterdir()) == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def neighbour(place: Place) -> AsyncIterator[AgentWorkspace]:
    workspace = await place.open()
    yield workspace
    await workspace.close()


@pytest_asyncio.fixture(loop_scope="session")
async def agent(place: Place, neighbour: AgentWorkspace) -> AsyncIterator[AgentWorkspace]:
    """The copy of an attacking agent. Afterwards the neighbour still works and nothing is left."""
    await shell(neighbour, "echo mine > own.txt")
    workspace = await place.open()
    yield workspace
    await workspace.close()
    assert await shell(neighbour, "cat own.txt a.txt; git status --porcelain") == "mine\na\n?? own.txt\n"
    assert not workspace.copy.folder.exists()
