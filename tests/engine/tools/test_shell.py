"""What the answer to a command says about the command itself."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.agents.nudges import REPEATS_NUDGED, Nudges
from engine.domain.conversation import ToolCall
from engine.domain.resource_use import Sample
from engine.domain.settings import Settings
from engine.domain.types import AgentId, CallId, Micros
from engine.ports.protocols import Output
from engine.tools import shell
from engine.tools.tool import Answer, ToolContext

NOW = Micros(1_000_000_000)


async def run(output: Output, *, pressure: float = 0.0, planner: bool = False, **arguments: Any) -> Answer:
    async def command(*_: object) -> tuple[Output, float]:
        return output, 0.0

    async def changed() -> frozenset[str]:
        return frozenset()

    async def left_out() -> str:
        return ""

    async def spoiled() -> tuple[str, ...]:
        return ()

    context = SimpleNamespace(
        agent=SimpleNamespace(id=AgentId("a-1")),
        snapshot=SimpleNamespace(pathologies={}, check_command="", samples=[(NOW, Sample(io_pressure=pressure))]),
        settings=Settings(),
        clock=SimpleNamespace(now=lambda: NOW),
        command=command,
        changed=changed,
        left_out=left_out,
        spoiled=spoiled,
    )
    return await shell.call(cast(ToolContext, context), shell.Arguments(**{"command": "make", **arguments}))


def ended(
    wall_s: float, cpu_s: float | None, text: str = "ok\n", code: int | None = 0, starved_s: float = 0.0
) -> Output:
    return Output(code, text, 0, "", "" if code is not None else "timeout", wall_s, cpu_s, starved_s)


async def test_an_answer_has_cpu_time_beside_wall_time_where_it_is_known() -> None:
    assert (await run(ended(499.0, 16.2))).text == "exit 0 after 499.0 s, 16.2 s of CPU\nok\n"
    assert (await run(ended(1.0, None))).text == "exit 0 after 1.0 s\nok\n"
    assert (await run(ended(600.0, 3.0, code=None))).text == "killed: timeout after 600.0 s, 3.0 s of CPU\nok\n"


async def test_an_answer_says_that_the_machine_was_busy_while_the_command_ran() -> None:
    first = (await run(ended(499.0, 16.2), pressure=97)).text.partition("\n")[0]
    assert first == (
        "exit 0 after 499.0 s, 16.2 s of CPU "
        "(the machine is busy: waiting for the disk 97% of the time; times mean little)"
    )


async def test_an_answer_says_how_little_of_its_time_a_command_had_a_cpu() -> None:
    first = (await run(ended(360.0, 8.0, starved_s=316.8))).text.partition("\n")[0]
    assert first == (
        "exit 0 after 360.0 s, 8.0 s of CPU (the machine is busy: the command had a CPU for only 12% of that time; "
        "the rest does not count towards its time limit)"
    )
    assert "busy" not in (await run(ended(360.0, 340.0, starved_s=20.0))).text


@pytest.mark.parametrize(
    "text",
    [
        "fatal: renaming 'src' failed: Invalid cross-device link\n",
        "OSError: [Errno 18] Invalid cross-device link: 'src' -> 'moved'\n",
        "Error: EXDEV: cross-device link not permitted, rename 'src' -> 'moved'\n",
    ],
)
async def test_a_failed_rename_of_a_folder_says_what_works_instead(text: str) -> None:
    assert "use `mv`" in (await run(ended(1.0, 0.1, text, 128))).text
    assert "use `mv`" not in (await run(ended(1.0, 0.1, text, 0))).text


async def test_the_same_failure_counts_as_a_repetition_whatever_time_it_took() -> None:
    reminders: list[str] = []
    nudges = Nudges(cast(Any, SimpleNamespace(remind=lambda name, **_: reminders.append(name))), cast(Any, None))
    for number in range(REPEATS_NUDGED):
        answer = await run(ended(6.0 + number, 0.1 * number, "boom\n", 1), pressure=90 * (number % 2))
        nudges.call_answered(ToolCall(CallId("c"), "shell", "{}"), answer.text, writes=True)
    assert reminders == ["nudge_repeat"]


@pytest.mark.parametrize("text", ["", " \n"])
async def test_an_empty_command_is_refused(text: str) -> None:
    assert (await run(ended(1.0, 1.0), command=text)).error
