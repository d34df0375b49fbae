"""Every value that a model or a socket gives has a bound, and what exceeds it is refused without harm to the run."""

import json
from collections.abc import Iterator

import msgspec
import pytest
from msgspec import inspect

from engine.control.protocol import requests
from engine.domain.bounds import LARGEST, unstorable
from engine.domain.commands import Command
from engine.domain.conversation import Request, ToolCall, Turn
from engine.domain.settings import Settings
from engine.domain.types import CallId, ModelName, RunState
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from engine.tools.toolbox import Toolbox
from tests import simulated
from tests.engine import scripts
from tests.engine.swarms import run
from tests.simulated import answers, call, first_line, turn

TOOLS = Toolbox(Settings()).tools
WHOLE_FILES = {"apply_patch.patch", "write_file.content", "edit_file.edits.old", "edit_file.edits.new"}
"""Texts that are as long as a file may be, which the sandbox limits."""
CHECKED_BY_CALL = {"submit_handoff"}
NUMBERS = (
    "9223372036854775808",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "1" + "0" * 400,
)
ODD = (*NUMBERS, "1e308", "-0.0", "1e999", "NaN", "true", "null", '"12"', "[]", "{}", "[" * 100_000 + "]" * 100_000)


def leaves(where: str, kind: inspect.Type) -> Iterator[tuple[str, inspect.Type]]:
    """The fields below a type that hold plain values, with their paths."""
    match kind:
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from leaves(f"{where}.{field.name}", field.type)
        case inspect.UnionType(types=types):
            for each in types:
                yield from leaves(where, each)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            yield from leaves(where, item)
        case inspect.Metadata(type=inner):
            yield from leaves(where, inner)
        case _:
            yield where, kind


def unbounded(where: str, kind: inspect.Type) -> bool:
    match kind:
        case inspect.IntType(ge=ge, le=le):
            return ge is None or le is None or ge < -LARGEST - 1 or le > LARGEST
        case inspect.FloatType(ge=ge, le=le):
            return ge is None or le is None
        case inspect.StrType(max_length=most):
            return most is None and where not in WHOLE_FILES and where.split(".", maxsplit=1)[0] not in CHECKED_BY_CALL
        case _:
            return False


def test_every_argument_of_a_tool_is_bounded() -> None:
    found = [leaf for name, tool in TOOLS.items() for leaf in leaves(name, inspect.type_info(tool.arguments))]
    assert len(found) > 30
    assert [where for where, kind in found if unbounded(where, kind)] == []


def test_every_value_of_a_command_is_bounded() -> None:
    ids = (".path", ".model", ".handoff")  # compared with what exists, never stored
    found = list(leaves("", inspect.type_info(Command)))
    assert len(found) > 15
    assert [where for where, kind in found if unbounded(where, kind) and not where.endswith(ids)] == []


@pytest.mark.parametrize("field", ["workers", "priority"])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_command_with_a_number_that_cannot_be_stored_is_refused(field: str, number: str) -> None:
    line = f'{{"verb":"{field}","path":"root","{field}":{number}}}'.encode()
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        requests.decode(line)


def raw(tool: str, arguments: str, number: int) -> ToolCall:
    return ToolCall(CallId(f"call_odd_{tool}_{number}"), tool, arguments)


def odd_calls(names: tuple[str, ...]) -> list[ToolCall]:
    """Calls of these tools in which one field has an odd value, and the required others have a plain one."""
    found = []
    for name in names:
        for field in inspect.type_info(TOOLS[name].arguments).fields:  # type: ignore[attr-defined]
            for odd in (*ODD, json.dumps("x" * 1_100_000), json.dumps("\ud800\0\u0301" * 10)):
                plain = {each.name: '"a"' for each in inspect.type_info(TOOLS[name].arguments).fields if each.required}  # type: ignore[attr-defined]
                members = ",".join(f'"{key}":{value}' for key, value in (plain | {field.name: odd}).items())
                found.append(raw(name, f"{{{members}}}", len(found)))
    found += [
        raw("spawn_tasks", f'{{"tasks":[{{"title":"a","goal":"b","priority":{n}}}]}}', i) for i, n in enumerate(ODD)
    ]
    found.append(raw("spawn_tasks", json.dumps({"tasks": [{"title": "a", "goal": "b"}] * 100_000}), 10**6))
    found.append(raw("search", json.dumps({"pattern": "a{99999999999999999999}"}), 10**6))
    found.append(raw("x" * 1_000_000, "{}", 10**6))
    return found


def test_a_run_survives_odd_arguments_of_every_tool() -> None:
    seen: list[list[str]] = []
    told: list[str] = []
    calls = [each for each in odd_calls(tuple(TOOLS)) if each.tool not in ("submit_handoff", "wait")]

    def script(model: ModelName, request: Request) -> Turn:
        if not first_line(request).startswith("# Intent") and "spawned" in told:
            return scripts.done()
        if scripts.turns(request) == 0:
            return turn(call("wait")) if told else turn(*calls)  # told: so large a conversation was begun anew
        if scripts.turns(request) == 1 and not told:
            seen.append(answers(request))
            if first_line(request).startswith("# Intent"):
                told.append("spawned")
            return scripts.tasks("part 1") if told else scripts.done()
        return scripts.done() if "nothing is outstanding" in answers(request)[-1] else turn(call("wait"))

    def examine(swarm: Swarm, world: simulated.World, outcome: Outcome) -> None:
        assert outcome.state is RunState.FINISHED
        assert [len(each) for each in seen] == [len(calls)] * len(seen)
        assert max(len(answer) for each in seen for answer in each) < 20_000
        assert not unstorable(tuple(swarm.snapshot.tasks.values()))

    run(script, examine)
