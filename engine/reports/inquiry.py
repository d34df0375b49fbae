"""Questions about a run, answered by a model that can read the journal by SQL, and the prompts. It changes nothing."""

import asyncio
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

import msgspec
from msgspec import Struct

import prompts as prompt_files
from engine.agents.prompts import Prompts
from engine.domain.conversation import Block, Message, Request, StopReason, Text, ToolAnswer, ToolCall, ToolSpec
from engine.domain.errors import ErrorKind, ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.settings import Settings
from engine.domain.types import ModelName, Usage
from engine.journal.readonly_sql import BadQuery, ReadOnlySql
from engine.models.client import ModelClient
from engine.models.selection import choose_models
from engine.ports.protocols import Models
from engine.system import SystemClock, SystemRandomness

STEPS = 24
"""Model calls of one question; at the last, it has to answer with what it has."""
_ENOUGH = "Answer now, with what you have found out so far."


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    sql: str


class ReadPrompt(Struct, frozen=True, forbid_unknown_fields=True):
    name: str


_TOOLS: dict[str, tuple[type[Struct], str]] = {
    "query": (Query, "Run one SQL SELECT on the run's journal. Answers with a header and a line for each row."),
    "read_prompt": (ReadPrompt, "Read what a prompt file tells its agents."),
}


class Answered(Struct, frozen=True):
    """What a model said in the end, and what it took."""

    text: str
    queries: int
    usage: Usage


class Inquiry:
    """One question. `on_step` is told of each thing that the model looks at, in a line."""

    def __init__(
        self, sql: ReadOnlySql, prompts: Prompts, models: Models, model: ModelName, on_step: Callable[[str], None]
    ) -> None:
        self._sql = sql
        self._prompts = prompts
        self._models = models
        self._model = model
        self._on_step = on_step
        self._queries = 0
        self.usage = Usage()

    async def ask(self, question: str) -> Answered:
        """Raises SwarmError (provider) when the model gives no answer, ModelError when it cannot be reached."""
        system = await asyncio.to_thread(self._system)
        messages: list[Message] = [Message("user", (Text(question),))]
        for step in range(1, STEPS + 1):
            request = Request(self._model, system, tuple(messages), _specs())
            turn = await self._models.ask(self._model, request, lambda _: None, self._waits)
            self.usage += turn.usage
            messages.append(turn.message)
            if turn.stop is StopReason.REFUSAL or not turn.message.calls:
                return self._done(turn.message.text, turn.stop)
            answers: list[Block] = [await self._answer(call) for call in turn.message.calls]
            messages.append(Message("user", (*answers, *([Text(_ENOUGH)] if step == STEPS - 1 else []))))
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"{self._model} found no answer in {STEPS} steps and {self.usage.input + self.usage.output} tokens",
            "ask for less at a time, or another model with --model",
        )

    def _done(self, text: str, stop: StopReason) -> Answered:
        if stop is StopReason.REFUSAL or not text.strip():
            why = "refused to answer" if stop is StopReason.REFUSAL else "said nothing"
            raise SwarmError(ErrorKind.PROVIDER, f"{self._model} {why}", "ask in other words, or another model")
        cut = "\n\n(cut: the model's answer grew too long)" if stop is StopReason.LENGTH else ""
        return Answered(text.strip() + cut, self._queries, self.usage)

    def _system(self) -> str:
        run = self._sql.query(
            "SELECT id, repo, state, reason, agents, landed, failed, cancelled, handoffs, checks_passed, "
            "checks_failed, model_calls, usd, models FROM runs"
        )
        names = ", ".join(sorted(prompt.name for prompt in self._prompts.all() if prompt.name != "ask"))
        return self._prompts["ask"].render(schema=self._sql.schema(), prompts=names, run=run.text)

    def _waits(self, reason: str, seconds: float, spent: Usage) -> None:
        self.usage += spent
        self._on_step(f"asks again in {seconds:.0f} s: {reason}")

    async def _answer(self, call: ToolCall) -> ToolAnswer:
        try:
            kind, _ = _TOOLS[call.tool]
            asked = msgspec.json.decode(call.arguments.strip() or "{}", type=kind)
            text = await self._look(asked)
        except KeyError:
            return ToolAnswer(call.id, f"there is no {call.tool}; there are {', '.join(_TOOLS)}", error=True)
        except (msgspec.DecodeError, RecursionError, BadQuery) as error:
            return ToolAnswer(call.id, str(error), error=True)
        return ToolAnswer(call.id, text)

    async def _look(self, asked: Struct) -> str:
        if isinstance(asked, Query):
            self._queries += 1
            self._on_step(f"query: {asked.sql}")
            table = await asyncio.to_thread(self._sql.query, asked.sql)
            return f"{table.text}\n\n{table.cut}" if table.cut else f"{table.text}\n\n{table.rows} rows"
        assert isinstance(asked, ReadPrompt)
        self._on_step(f"prompt: {asked.name}")
        found = next((prompt for prompt in self._prompts.all() if prompt.name == asked.name), None)
        if found is None:
            raise BadQuery(f"there is no prompt {asked.name!r}")
        return f"{found.label}\n\n{found.template}"


def _specs() -> tuple[ToolSpec, ...]:
    return tuple(
        ToolSpec(name, description, {"type": "object", **_schema(kind)}) for name, (kind, description) in _TOOLS.items()
    )


def _schema(kind: type[Struct]) -> dict[str, object]:
    _, components = msgspec.json.schema_components([kind])
    found: dict[str, object] = dict(components[kind.__name__])
    found.pop("title", None)
    return found


async def ask_about(
    journal: Path, question: str, settings: Settings, environ: Mapping[str, str], on_step: Callable[[str], None]
) -> Answered:
    """Ask the planner's model. Raises SwarmError: no model, no answer, an unreadable journal."""
    model = ModelName(choose_models(settings, environ).models.planner)
    if model.startswith("rehearsal:"):
        hint = "name a model with --model PROVIDER:NAME, for example one served on this machine: openai-chat:NAME"
        raise SwarmError(ErrorKind.PROVIDER, "the rehearsal is a script and answers no questions", hint)
    sql = ReadOnlySql(journal)
    desk = ModelClient(settings.providers, environ, SystemClock(), SystemRandomness(settings.swarm.seed))
    try:
        await desk.prepare([model])
        return await Inquiry(sql, Prompts(files(prompt_files)), desk, model, on_step).ask(question)
    except ModelError as error:
        status = ExitStatus.REFUSED if error.kind is ModelErrorKind.REFUSED else ExitStatus.NOT_GREEN
        hint = "check the key, the address and the model's name: `swarm-tui doctor` shows what is set"
        raise SwarmError(ErrorKind.PROVIDER, error.message, hint, status) from error
    finally:
        await desk.close()
