"""Questions about a run: over each provider's protocol, with a scripted server as the model, on a real journal."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus, SwarmError
from engine.domain.settings import ModelsSettings, Settings
from engine.reports.inquiry import ask_about, specs
from tests.engine.model_server import model_server
from tests.engine.models.raw_server import Stall, serving
from tests.engine.real_runs import make_repo, settings, started
from tests.simulated import answers, call, turn
from tests.tui.command_line import PROGRAM

QUESTION = "Why did the workers write no tests?"


def brain(request: Request) -> Turn:
    """Queries the journal, reads a prompt, makes every possible mistake, then answers."""
    step = sum(message.role == "assistant" for message in request.messages)
    match step:
        case 0:
            return turn(call("functions.query:0", sql="SELECT path FROM agents ORDER BY id LIMIT 1"))
        case 1:
            assert answers(request) == ["path\nroot\n\n1 rows"]
            return turn(
                call("query", sql="DELETE FROM agents"),
                call("read_prompt", name="worker"),
                call("read_prompt", name="../../etc/passwd"),
                call("shell", command="ls"),
                call("query", wrong="x"),
            )
        case _:
            said = answers(request)
            assert "not authorized" in said[0]
            assert said[1].startswith("worker@")
            assert "no prompt" in said[2]
            assert "there is no tool shell" in said[3]
            assert "wrong" in said[4]
            return turn(text="The prompt says so: \x1b[31mworkers test\x1b[0m.")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a finished run."""
    folder = tmp_path_factory.mktemp("asked")
    repo = make_repo(folder / "repo", {"parts/register.py": "PARTS = []\n"})

    async def live() -> None:
        wanted = settings("rehearsal:load?speed=0&planners=0&tasks=1&conflicts=0&shell=0&seed=1")
        await (await started(repo, folder / "state", wanted)).run()

    asyncio.run(live())
    return folder / "state"


def content(path: Path) -> bytes:
    return path.read_bytes()


def journal_of(state: Path) -> Path:
    return next(state.rglob("journal.db"))


@pytest.mark.parametrize("model", ["anthropic:x", "openai:x", "openai-chat:x"])
async def test_a_model_of_any_provider_queries_the_journal_and_answers(state: Path, model: str) -> None:
    before = content(journal_of(state))
    seen: list[str] = []
    async with model_server(brain) as server:
        answered = await ask_about(
            journal_of(state), QUESTION, Settings(models=ModelsSettings(model)), server.environ(), seen.append, 60
        )
    assert "workers test" in answered.text
    assert answered.queries == 2
    assert seen[0] == "query: SELECT path FROM agents ORDER BY id LIMIT 1"
    assert QUESTION in server.bodies[0]
    assert "CREATE TABLE tool_calls" in server.bodies[0]
    assert content(journal_of(state)) == before


async def test_a_model_that_never_answers_is_an_error(state: Path) -> None:
    async with model_server(lambda request: turn(call("query", sql="SELECT 1"))) as server:
        with pytest.raises(SwarmError, match="no answer in"):
            await ask_about(
                journal_of(state), QUESTION, Settings(models=ModelsSettings("openai-chat:x")), server.environ(), len, 60
            )
    assert "Answer now" in server.bodies[-1]


async def test_a_server_that_never_answers_ends_the_question_at_its_time_limit(state: Path) -> None:
    async with serving(lambda _: [Stall()]) as server:
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.url}
        with pytest.raises(SwarmError, match=r"openai:x gave no answer within 0\.5 s") as caught:
            await ask_about(journal_of(state), QUESTION, Settings(models=ModelsSettings("openai:x")), environ, len, 0.5)
    assert caught.value.status is ExitStatus.NOT_GREEN


async def test_the_rehearsal_cannot_answer(state: Path) -> None:
    with pytest.raises(SwarmError, match="cannot answer questions"):
        await ask_about(journal_of(state), QUESTION, Settings(models=ModelsSettings("rehearsal:notes")), {}, len, 60)


async def test_the_command_prints_the_answer_and_its_queries(state: Path, tmp_path: Path) -> None:
    async with model_server(brain) as server:
        process = await asyncio.create_subprocess_exec(
            *(str(PROGRAM), "ask", journal_of(state).parent.name, QUESTION),
            *("--model", "openai-chat:x", "--state-dir", str(state)),
            env={**os.environ, **server.environ(), "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
            stdout=-1,
            stderr=-1,
        )
        out, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    assert "workers test" in out.decode()
    assert "\x1b" not in out.decode()
    assert "query: SELECT path FROM agents" in problems.decode()
    assert "2 queries" in problems.decode()


def test_the_tools_have_json_schemas() -> None:
    [query, prompt] = specs()
    assert query.schema == {
        "type": "object",
        "properties": {"sql": {"description": "One SELECT, in SQLite's dialect.", "type": "string"}},
        "required": ["sql"],
        "additionalProperties": False,
    }
    assert msgspec.json.encode(prompt.schema)
