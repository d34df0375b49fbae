"""Whole runs on servers that speak Chat Completions in their own way, with a stop and a resume in the middle."""

import itertools
import json
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine import wiring
from engine.domain.conversation import Request, Text, Turn
from engine.domain.errors import ExitStatus, SwarmError
from engine.domain.types import RunState
from engine.policy.run_end import Outcome
from engine.wiring import LiveRun
from tests.engine.model_server import decoded
from tests.engine.models.dialects import Called, ChatDialect, unnamed
from tests.engine.models.raw_server import Seen, Step, refusal, serving, stream
from tests.engine.real_runs import git, make_repo, settings, started
from tests.engine.scripts import done, planner_of, turns, writes
from tests.simulated import call, first_line, turn

CHAT = ChatDialect()
Body = dict[str, Any]


def brain(request: Request) -> Turn:
    """Workers that look around twice in one turn, write a file and hand off."""
    heading = first_line(request)
    if heading.startswith("# Intent"):
        return planner_of("one", "two")(request)
    if turns(request) == 0:
        return turn(call("search", pattern="x"), call("shell", command="ls"))
    return done() if turns(request) > 1 else writes(f"{heading.rpartition(' ')[2]}.txt", "done\n")


class Server:
    """Answers as `brain` does. A subclass says what it refuses and how it words its answers."""

    def __init__(self) -> None:
        self.refusals = 0

    def script(self, seen: Seen) -> list[Step]:
        said = self.refuses(seen.body)
        if said is not None:
            self.refusals += 1
            return refusal(400, said)
        request = decoded(CHAT, json.loads(json.dumps(seen.body), object_hook=_as_text))
        told = brain(request)
        texts = [block.text for block in told.message.blocks if isinstance(block, Text)]
        called = tuple(Called(str(each.id), each.tool, (each.arguments,)) for each in told.message.calls)
        return stream(self.answer(texts, called))

    def refuses(self, body: Body) -> object | None:
        return None

    def answer(self, texts: list[str], calls: tuple[Called, ...]) -> list[bytes]:
        return CHAT.answer(*texts, calls=calls)


def _as_text(item: dict[str, Any]) -> dict[str, Any]:
    """Without what the servers of these tests put in the place of text."""
    return item | {"content": ""} if item.get("content") == "Understood." else item


class Mistral(Server):
    def refuses(self, body: Body) -> object | None:
        roles = [message["role"] for message in body["messages"]]
        ids = [each["id"] for message in body["messages"] for each in message.get("tool_calls") or ()]
        if not all(re.fullmatch("[A-Za-z0-9]{9}", id) for id in ids):
            said = f"Tool call id was {ids[0]} but must be a-z, A-Z, 0-9, with a length of 9."
        elif ("tool", "user") in itertools.pairwise(roles):
            said = "Unexpected role 'user' after role 'tool'"
        elif any(message["content"] is None for message in body["messages"]):
            said = "Assistant message must have a content that is not null"
        else:
            return None
        return {"object": "error", "message": said, "type": "invalid_request_error", "code": "3230"}


class DeepSeek(Server):
    """Numbers its thoughts, and takes a tool call only with the thought that it came with."""

    def __init__(self) -> None:
        super().__init__()
        self.thoughts: dict[str, str] = {}

    def refuses(self, body: Body) -> object | None:
        for message in body["messages"]:
            for each in message.get("tool_calls") or ():
                if self.thoughts.get(message.get("reasoning_content", "")) != each["function"]["name"]:
                    return CHAT.error_body("invalid_request_error", "The `reasoning_content` must be passed back.")
        return None

    def answer(self, texts: list[str], calls: tuple[Called, ...]) -> list[bytes]:
        thought = f"thought {len(self.thoughts)}"
        calls = calls[:1]
        self.thoughts[thought] = calls[0].tool if calls else ""
        pieces = [CHAT.delta(reasoning_content=piece) for piece in (thought[:4], thought[4:])]
        return [*pieces, *super().answer(texts, calls)]


class Gemini(Server):
    """Signs the first call of each turn, gives all calls one index, and refuses what its schemas do not know."""

    def refuses(self, body: Body) -> object | None:
        unsigned = "Function call is missing a thought_signature in functionCall parts."
        unknown = (
            "Invalid JSON payload received. Unknown name \"additionalProperties\" at 'tools[0]': Cannot find field."
        )
        calls = [message["tool_calls"][0] for message in body["messages"] if message.get("tool_calls")]
        signatures = [each.get("extra_content", {}).get("google", {}).get("thought_signature") for each in calls]
        if "additionalProperties" in json.dumps(body["tools"]):
            return [{"error": {"code": 400, "message": unknown, "status": "INVALID_ARGUMENT"}}]
        if not all(
            signature == f"signed {each['function']['name']}" for signature, each in zip(signatures, calls, strict=True)
        ):
            return [{"error": {"code": 400, "message": unsigned, "status": "INVALID_ARGUMENT"}}]
        return None

    def answer(self, texts: list[str], calls: tuple[Called, ...]) -> list[bytes]:
        events = [CHAT.delta(content=text) for text in texts]
        for at, each in enumerate(calls):
            piece = {"index": 0, "id": each.id, "function": {"name": each.tool, "arguments": "".join(each.pieces)}}
            signed = {"extra_content": {"google": {"thought_signature": f"signed {each.tool}"}}}
            events.append(CHAT.delta(tool_calls=[piece | (signed if at == 0 else {})]))
        return [*events, *CHAT.end("stop")]


class Small(Server):
    """A small model: names with additions, arguments in Python's notation, no finish reason and no usage."""

    def answer(self, texts: list[str], calls: tuple[Called, ...]) -> list[bytes]:
        events = [CHAT.delta(content=text) for text in texts]
        for at, each in enumerate(calls):
            arguments = f"```json\n{json.loads(''.join(each.pieces))!r}\n```"
            piece = {"index": 0, "id": "", "function": {"name": f"functions.{each.tool}:{at}", "arguments": arguments}}
            events.append(unnamed({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]}))
            break
        return [*events, b"data: [DONE]\n\n"]


@pytest.mark.parametrize(("kind", "refusals"), [(Mistral, 3), (DeepSeek, 0), (Gemini, 1), (Small, 0)])
async def test_a_run_on_a_server_of_its_own_kind_ends_well_also_after_a_stop(
    tmp_path: Path, kind: type[Server], refusals: int
) -> None:
    server, runs = kind(), list[LiveRun]()

    def script(seen: Seen) -> list[Step]:
        if len(raw.seen) == 7:
            runs[-1].swarm.stop(Outcome(RunState.STOPPED, ExitStatus.STOPPED, "stopped by the test"))
        return server.script(seen)

    async with serving(script) as raw:
        environ = {"OPENAI_BASE_URL": f"{raw.url}/v1", "OPENAI_API_KEY": "key"}
        repo = make_repo(tmp_path / "repo", {"a.txt": "a\n"})
        runs.append(await started(repo, tmp_path / "state", settings("openai-chat:a-model"), environ))
        stopped = await runs[0].run()
        runs.append(await wiring.resume_run(runs[0].folder, {**os.environ, **environ}))
        summary = await runs[1].run()
    assert stopped.exit_status == ExitStatus.STOPPED
    assert summary.exit_status == ExitStatus.DONE
    assert summary.tasks["landed"] == 2, [task.reason for task in runs[1].snapshot.tasks.values()]
    assert git(repo, "show", f"swarm/{summary.run}/trunk:one.txt") == "done\n"
    with sqlite3.connect(summary.db) as journal:
        told = journal.execute("SELECT count(*) FROM events WHERE kind = 'model_call_retried'").fetchone()[0]
    assert told <= 2 * refusals, "each difference is learned once per process"
    assert bool(server.refusals) is bool(refusals)


async def test_a_model_that_takes_no_tools_ends_the_run_after_one_call(tmp_path: Path) -> None:
    said = {"error": {"message": "registry.ollama.ai/library/gemma:7b does not support tools", "type": "api_error"}}
    async with serving(lambda _: refusal(400, said)) as raw:
        environ = {"OPENAI_BASE_URL": f"{raw.url}/v1", "OPENAI_API_KEY": "key"}
        repo = make_repo(tmp_path / "repo", {"a.txt": "a\n"})
        run = await started(repo, tmp_path / "state", settings("openai-chat:gemma:7b"), environ)
        with pytest.raises(SwarmError, match="agents need tools: choose another model") as caught:
            await run.run()
    assert caught.value.status == ExitStatus.REFUSED
    assert len(raw.seen) == 1


async def test_a_prompt_that_never_fits_names_the_setting(tmp_path: Path) -> None:
    said = CHAT.error_body("invalid_request_error", "Your request exceeded model token limit: 1024")
    async with serving(lambda _: refusal(400, said)) as raw:
        environ = {"OPENAI_BASE_URL": f"{raw.url}/v1", "OPENAI_API_KEY": "key"}
        repo = make_repo(tmp_path / "repo", {"a.txt": "a\n"})
        run = await started(repo, tmp_path / "state", settings("openai-chat:tiny"), environ)
        summary = await run.run()
    assert summary.exit_status == ExitStatus.NOT_GREEN
    assert "[providers.openai-chat]" in run.snapshot.reason
    assert "window" in run.snapshot.reason
