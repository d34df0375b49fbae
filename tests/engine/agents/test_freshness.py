"""A planner of many turns: it stays within the window, its prefix is cached, and it keeps what matters."""

import asyncio

import msgspec
import pytest

from engine.domain.conversation import Request, Turn
from engine.domain.errors import ExitStatus
from engine.domain.settings import Settings, SwarmSettings, TaskSettings
from engine.domain.types import ModelName, TaskState, Usage
from engine.models.prices import Prices
from engine.models.registry import PROVIDERS
from engine.orchestrator.swarm import Swarm
from tests import simulated
from tests.engine.scripts import done, said, tasks, turns, writes
from tests.engine.swarms import fresh
from tests.engine.windows import check_whole, common, is_summary, size
from tests.simulated import Asked, Ran, call, first_line, turn

INTENT = "Keep the lighthouse burning. The lamp is never out for more than 3 seconds."
SETTINGS = Settings(swarm=SwarmSettings(workers=4), task=TaskSettings(timeout="500h"))


class Requests(list[Asked]):
    """The requests of the root planner, measured as they arrive instead of being kept."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.turns = self.compactions = self.reminders = self.alignments = 0
        self.sent = self.cached = self.largest = 0
        self.shortened = 0
        self.scratchpad = ""
        self._last = b""

    def append(self, asked: Asked) -> None:
        request = asked.request
        if not first_line(request).startswith("# Intent"):
            return
        data = msgspec.json.encode((request.system, request.tools, request.messages))
        self.sent += len(data)
        self.cached += common(self._last, data)
        self.shortened += len(data) < len(self._last) - window_share(self.window)
        self._last = data
        self.turns += 1
        self.largest = max(self.largest, size(request) + request.max_output)
        if is_summary(request):
            return
        told = request.messages[-1].text
        self.reminders += "Does what you are doing still serve" in told
        self.alignments += "This is what they are for" in told and INTENT in told
        if len(request.messages) == 1 and self.turns > 1:
            self.compactions += 1
            assert INTENT in told, "it has the intent"
            assert f"## Your scratchpad\n\n{self.scratchpad}\n" in told, "it has the newest version of its scratchpad"
            assert "## Status\n\nopen (" in told, "it has its open work"
            assert " the long watch" in told


def window_share(window: int) -> int:
    """A request that is this many characters shorter than the one before comes after a compaction: a tenth."""
    return 4 * window // 10


def watched(script: simulated.models.Script, window: int, answer: int = 2_000) -> tuple[Requests, Swarm]:
    async def main(clock: simulated.SimulatedClock) -> tuple[Requests, Swarm]:
        w = simulated.world(
            clock, script, shell=lambda workspace, command: Ran(0, f"{command}\n" + "log\n" * (answer // 4))
        )
        w.models.tokens_in_window = window
        requests = w.models.asked = Requests(window)
        swarm = fresh(w, SETTINGS, intent=INTENT)
        requests_of[0] = requests
        outcome = await swarm.run()
        assert outcome.status is ExitStatus.DONE, outcome
        return requests, swarm

    requests_of: list[Requests | None] = [None]
    script.requests = requests_of  # type: ignore[attr-defined]
    return simulated.simulate(main, simulated.SimulatedClock(limit_s=90 * 86_400.0))


def keeper(length: int) -> simulated.models.Script:
    """A root planner that looks, takes notes, spawns and waits for `length` turns while one long task stays open."""
    over = asyncio.Event()
    at = 0

    async def script(model: ModelName, request: Request) -> Turn:
        nonlocal at
        heading = first_line(request)
        if heading.startswith("# Task: the long watch"):
            await over.wait()
            return done()
        if heading.startswith("# Task: "):
            return done() if turns(request) else writes(f"{heading[8:]}.txt", "x\n")
        check_whole(request)
        usage = Usage(input=size(request), output=60)
        if is_summary(request):
            return turn(text=f"{at} turns so far; the lamp burns.", usage=usage)
        at += 1
        if at == 1:
            made = tasks("the long watch")
        elif at >= length:
            over.set()
            made = done() if "# Handoff: the long watch" in said(request) else turn(call("wait"))
        elif at % 50 == 2:
            made = tasks(f"trim {at}", f"oil {at}")
        elif at % 50 == 3:
            made = turn(call("wait"))
        elif at % 20 == 4:
            requests = script.requests[0]  # type: ignore[attr-defined]
            requests.scratchpad = f"turn {at}: the lamp burns, the oil lasts until {at + 500}"
            made = turn(call("rewrite_scratchpad", text=requests.scratchpad))
        else:
            made = turn(call("shell", command=f"look {at}"), text=f"I look at the lamp, turn {at}.")
        return msgspec.structs.replace(made, usage=usage)

    return script


def test_a_planner_of_many_turns_stays_within_its_window_with_90_percent_cache_hits_and_its_pinned_text() -> None:
    length, window = 1_200, 16_000
    requests, swarm = watched(keeper(length), window)
    assert requests.turns >= length
    assert requests.largest <= window
    assert requests.compactions >= 3
    assert requests.cached / requests.sent > 0.9, f"{requests.cached / requests.sent:.3f}"
    assert requests.reminders >= length // 20 - length // 100 - 5
    assert requests.alignments >= length // 100 - 2
    assert swarm.snapshot.task_counts[TaskState.LANDED] == length // 50 * 2
    assert swarm.snapshot.task_counts[TaskState.UNCHANGED] == 1, "the long watch"
    assert swarm.snapshot.scratchpads[swarm.snapshot.root].version == length // 20


WINDOWS = [
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-1"),
    ("openai", "gpt-5"),
    ("openai", "gpt-4o"),
    ("openai", "o3"),
    ("openai-chat", "a-local-model"),
]


def test_every_paid_provider_has_a_window_in_this_test() -> None:
    assert {provider for provider, _ in WINDOWS} == set(PROVIDERS) - {"rehearsal"}


@pytest.mark.parametrize(("provider", "model"), [*WINDOWS, ("", "8k")], ids=lambda value: value or "tiny")
def test_conversations_stay_within_each_providers_real_window_with_room_for_an_answer(
    provider: str, model: str
) -> None:
    window = Prices({}, {}).window(provider, model) if provider else 8_192
    answer = 12_000 if window > 20_000 else 1_500
    filled = window * 4 // answer  # the turns that fill it once
    requests, _ = watched(keeper(filled + filled // 3 + 5), window, answer)
    assert window * 0.7 < requests.largest <= window, "it fills the window, and is compacted in time"
    assert requests.shortened >= 1, "old answers are dropped, as they make up most of it"
