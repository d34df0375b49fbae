"""Answers questions about a run: a model queries the journal by SQL and reads the prompts, and can change nothing."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

import prompts as prompt_files
from engine.domain.conversation import Block, Message, Request, StopReason, Text, ToolAnswer, ToolCall, ToolSpec
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.settings import Settings
from engine.domain.types import Usage
from engine.journal.readonly_sql import BadQuery, ReadOnlySql
from engine.journal.schema import LANDED
from engine.models.standalone import StandaloneModel, standalone_model
from engine.policy.tool_call_reading import arguments_meant, tool_meant
from engine.runtime.prompts import Prompts
from engine.system import SystemClock, SystemRandomness

STEPS = 24
"""Model calls for one question; in the last one, the model has to answer with what it knows."""
_ANSWER_NOW = "Answer now, with what you have found out so far."


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    sql: Annotated[str, Meta(description="One SELECT, in SQLite's dialect.")]


class ReadPrompt(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="A role's or message's prompt, such as worker.")]


_TOOLS: dict[str, tuple[type[Struct], str]] = {
    "query": (Query, "Run one SQL SELECT on the run's journal. Returns a header and a line for each row."),
    "read_prompt": (ReadPrompt, "Read what a prompt file tells its agents."),
}


class Answered(Struct, frozen=True):
    """A model's answer, and what it took: SQL queries, tokens and money."""

    text: str
    queries: int
    usage: Usage


@dataclass
class Inquiry:
    """One question. `on_step` gets a line for each thing that the model looks at."""

    sql: ReadOnlySql
    prompts: Prompts
    model: StandaloneModel
    on_step: Callable[[str], None]
    queries: int = 0

    async def ask(self, question: str) -> Answered:
        """Raises SwarmError (provider) when the model gives no answer, ModelError when the call fails."""
        system = await self._system()
        messages: list[Message] = [Message("user", (Text(question),))]
        for step in range(1, STEPS + 1):
            turn = await self.model.ask(Request(self.model.name, system, tuple(messages), specs()))
            messages.append(turn.message)
            if turn.stop is StopReason.REFUSAL or not turn.message.calls:
                return self._answered(turn.message.text, turn.stop)
            answers: list[Block] = [await self._answer(call) for call in turn.message.calls]
            messages.append(Message("user", (*answers, *([Text(_ANSWER_NOW)] if step == STEPS - 1 else []))))
        usage = self.model.usage
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"{self.model.name} found no answer in {STEPS} steps and {usage.input + usage.output} tokens",
            "ask a narrower question, or choose another model with --model",
        )

    def _answered(self, text: str, stop: StopReason) -> Answered:
        if stop is StopReason.REFUSAL or not text.strip():
            problem = "refused to answer" if stop is StopReason.REFUSAL else "returned no text"
            hint = "rephrase the question, or choose another model with --model"
            raise SwarmError(ErrorKind.PROVIDER, f"{self.model.name} {problem}", hint)
        cut = "\n\n(cut off: the answer reached the model's output limit)" if stop is StopReason.LENGTH else ""
        return Answered(text.strip() + cut, self.queries, self.model.usage)

    async def _system(self) -> str:
        run = await self.sql.query(
            "SELECT id, repo, state, reason, agents, failed, cancelled, handoffs, checks_passed, checks_failed, "
            "model_calls, usd, models FROM runs"
        )
        tasks = await self.sql.query(LANDED)
        names = ", ".join(sorted(prompt.name for prompt in self.prompts.all() if prompt.name != "ask"))
        return self.prompts["ask"].render(schema=self.sql.schema(), prompts=names, run=f"{run.text}\n\n{tasks.text}")

    async def _answer(self, call: ToolCall) -> ToolAnswer:
        try:
            kind, _ = _TOOLS[tool_meant(call.tool, _TOOLS)]
            arguments = msgspec.json.decode(arguments_meant(call.arguments, kind).strip() or "{}", type=kind)
            text = await self._look(arguments)
        except KeyError:
            return ToolAnswer(call.id, f"there is no tool {call.tool}; your tools are: {', '.join(_TOOLS)}", error=True)
        except (msgspec.DecodeError, RecursionError, BadQuery) as error:
            return ToolAnswer(call.id, str(error), error=True)
        return ToolAnswer(call.id, text)

    async def _look(self, arguments: Struct) -> str:
        if isinstance(arguments, Query):
            self.queries += 1
            self.on_step(f"query: {arguments.sql}")
            table = await self.sql.query(arguments.sql)
            return f"{table.text}\n\n{table.cut}" if table.cut else f"{table.text}\n\n{table.rows} rows"
        assert isinstance(arguments, ReadPrompt)
        self.on_step(f"prompt: {arguments.name}")
        found = next((prompt for prompt in self.prompts.all() if prompt.name == arguments.name), None)
        if found is None:
            raise BadQuery(f"there is no prompt {arguments.name!r}")
        return f"{found.label}\n\n{found.template}"


def specs() -> tuple[ToolSpec, ...]:
    return tuple(ToolSpec.of(name, description, arguments) for name, (arguments, description) in _TOOLS.items())


async def ask_about(
    journal: Path,
    question: str,
    settings: Settings,
    environ: Mapping[str, str],
    on_step: Callable[[str], None],
    limit_s: float,
) -> Answered:
    """Ask the planner's model.

    Raises SwarmError when there is no model or no answer within `limit_s`, or the journal is unreadable.
    """
    randomness = SystemRandomness(settings.swarm.seed)
    async with standalone_model(settings, environ, SystemClock(), randomness, on_step, limit_s) as model:
        sql = await asyncio.to_thread(ReadOnlySql, journal)
        return await Inquiry(sql, Prompts(files(prompt_files)), model, on_step).ask(question)
