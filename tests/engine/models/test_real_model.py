"""A small real model behind a compatible server: whatever it outputs, the run ends cleanly within its limits."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.agents.nudges import SILENT_TURNS
from engine.domain.settings import ModelsSettings, ProviderSettings
from engine.domain.types import ModelName
from tests.engine.models.random_model import WINDOW, write_random_model
from tests.engine.real_runs import make_repo, settings, started

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]
REAL = ModelName("openai-chat:any")
REHEARSED = ModelName("rehearsal:notes?speed=0")
TASKS, ATTEMPTS = 5, 2
"""The tasks of the sample's rehearsed planner, and the attempts of each."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A llama.cpp server with the model file that SWARM_TEST_GGUF names, else with random weights."""
    library = pytest.importorskip("xllamacpp", reason="needs the packages of the group real-model")
    given = os.environ.get("SWARM_TEST_GGUF", "")
    path = Path(given) if given else tmp_path_factory.mktemp("model") / "random.gguf"
    if not given:
        write_random_model(path)
    parameters = library.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = WINDOW
    parameters.use_jinja = True
    server = library.Server(parameters)
    yield f"{server.listening_address}/v1"
    del server


async def _ended(tmp_path: Path, address: str, models: ModelsSettings) -> tuple[int, sqlite3.Connection]:
    """The exit status and the journal of a run with these models."""
    repo = make_repo(tmp_path / "repo", {"README.md": "# Notes\n"})
    served = ProviderSettings(base_url=address, max_output=64)
    wanted = replace(settings(REAL, providers={"openai-chat": served}), models=models)
    run = await started(repo, tmp_path / "state", wanted, {"OPENAI_API_KEY": "any"})
    summary = await run.run()
    assert summary.trunk == summary.base, "nothing of a gibbering model lands"
    assert summary.exit_status is not None
    return summary.exit_status, sqlite3.connect(f"file:{summary.db}?mode=ro", uri=True)


async def test_workers_of_a_terrible_model_end_in_clean_failed_handoffs(tmp_path: Path, address: str) -> None:
    status, journal = await _ended(tmp_path, address, ModelsSettings(REHEARSED, REAL, REAL, REAL))
    assert status == 1
    assert journal.execute("SELECT state, count(*) FROM tasks GROUP BY state").fetchall() == [("failed", TASKS)]
    handoffs = "SELECT count(*), count(DISTINCT task) FROM handoffs WHERE task IS NOT NULL AND status = 'failed'"
    assert journal.execute(handoffs).fetchone() == (TASKS, TASKS)
    steps = "SELECT max(steps) FROM (SELECT count(*) AS steps FROM events WHERE kind = 'turn_taken' GROUP BY agent)"
    turns = f"{steps[:-1]} HAVING agent IN (SELECT id FROM agents WHERE role = 'worker'))"
    assert journal.execute(turns).fetchone() == (SILENT_TURNS + 1,)
    assert journal.execute("SELECT count(*) FROM agents WHERE role = 'worker'").fetchone() == (TASKS * ATTEMPTS,)


async def test_a_terrible_planner_fails_the_run_after_bounded_steps(tmp_path: Path, address: str) -> None:
    status, journal = await _ended(tmp_path, address, ModelsSettings(REAL, REAL, REAL, REAL))
    assert status == 1
    (turns,) = journal.execute("SELECT count(*) FROM events WHERE kind = 'turn_taken'").fetchone()
    assert SILENT_TURNS < turns <= 3 * (SILENT_TURNS + 1)
    assert journal.execute("SELECT count(*) FROM tasks").fetchone() == (0,)
