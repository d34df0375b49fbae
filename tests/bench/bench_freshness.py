"""Whether a planner stays fresh for thousands of turns: inside its window, its prefix cached, knowing what matters.

A scripted planner runs in the real engine against a server on the loopback that speaks each provider's protocol, and
everything is measured from the requests that arrive: `make bench ONLY=freshness ARGS="--turns 5000"`. A token is four
characters of the request as JSON, tools included. What is cached is what a request has in common, byte for byte, with
the one before, in the order in which providers cache: tools, system, messages.
"""

import asyncio
import json
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from engine.domain.conversation import Request, Text, Turn
from engine.domain.errors import ExitStatus
from engine.domain.settings import (
    ModelsSettings,
    ProviderSettings,
    SandboxSettings,
    Settings,
    SwarmSettings,
    TaskSettings,
)
from tests.bench.report import Report
from tests.engine.model_server import BY_PATH, decoded
from tests.engine.models.dialects import Called
from tests.engine.models.raw_server import Seen, Step, serving, stream
from tests.engine.real_runs import make_repo, started
from tests.engine.scripts import done, tasks, turns, writes
from tests.engine.windows import common, is_summary
from tests.simulated import call, first_line, turn

WINDOWS = (("anthropic", 200_000), ("openai", 128_000), ("openai-chat", 32_768), ("openai-chat", 8_192))
"""A provider's protocol, and a window that its models are offered with."""
LIMIT = {"anthropic": "max_tokens", "openai": "max_output_tokens", "openai-chat": "max_tokens"}
SAYS = {"anthropic": b'"input_tokens": 5', "openai": b'"input_tokens": 120', "openai-chat": b'"prompt_tokens": 120'}
"""How a server of each protocol begins to tell the size of a request."""
WATCH = "the long watch"
COLUMNS = ("provider", "window", "turns", "largest", "compactions", "cached", "forgotten", "reminders")


class Planner:
    """The brain behind the server: a root that looks, notes, spawns and sleeps, while one long task stays open.

    What arrives is measured and not kept. `forgotten` counts requests that lack the newest intent, the open task or the
    newest scratchpad.
    """

    def __init__(self, length: int, window: int, over: Path, answer: int) -> None:
        self.length, self.window, self.over, self.answer = length, window, over, answer
        self.turns = self.sent = self.cached = self.largest = self.compactions = self.forgotten = self.reminders = 0
        self._pad = ""
        self._last = b""

    def script(self, seen: Seen) -> list[Step]:
        dialect = BY_PATH[seen.path]
        request, size = decoded(dialect, seen.body), len(canonical(seen.body)) // 4
        if first_line(request).startswith("# Intent"):
            self._measure(seen.body, request, size + int(seen.body[LIMIT[dialect.name]]))
            made = self._plan(request)
        else:
            made = self._work(request)
        texts = [block.text for block in made.message.blocks if isinstance(block, Text)]
        calls = tuple(Called(str(each.id), each.tool, (each.arguments,)) for each in made.message.calls)
        says = SAYS[dialect.name]
        counted = says.rpartition(b" ")[0] + b" %d" % size
        return stream([event.replace(says, counted) for event in dialect.answer(*texts, calls=calls)])

    def _measure(self, body: dict[str, Any], request: Request, taken: int) -> None:
        data = canonical(body)
        self.sent += len(data)
        self.cached += common(self._last, data)
        self._last = data
        self.largest = max(self.largest, taken)
        told = "\n".join(message.text for message in request.messages)
        answers = "\n".join(block.text for m in request.messages for block in m.blocks if hasattr(block, "text"))
        notes = "\n".join(each.arguments for message in request.messages for each in message.calls)
        knows = INTENT in told and WATCH in answers + notes and self._pad in told + notes
        self.forgotten += self.turns > 0 and not knows
        if not is_summary(request):
            self.turns += 1
            self.reminders += "# Reminder" in request.messages[-1].text
            self.compactions += len(request.messages) == 1 and self.turns > 1

    def _plan(self, request: Request) -> Turn:
        at = self.turns
        if is_summary(request):
            return turn(text=f"{at} turns so far; the lamp burns.")
        if at == 1:
            return tasks(WATCH)
        if at >= self.length:
            self.over.touch()
            heard = any(f"# Handoff: {WATCH}" in message.text for message in request.messages)
            return done() if heard else turn(call("wait"))
        if at % 50 == 2:
            return tasks(f"trim {at}", f"oil {at}")
        if at % 50 == 3:
            return turn(call("wait"))
        if at % 20 == 4:
            self._pad = f"turn {at}: the lamp burns, the oil lasts until {at + 500}"
            return turn(call("rewrite_scratchpad", text=self._pad))
        look = f"yes 'look {at}: the lamp burns, the glass is clean' | head -c {self.answer}"
        return turn(call("shell", command=look), text=f"I look at the lamp, turn {at}.")

    def _work(self, request: Request) -> Turn:
        name = first_line(request).removeprefix("# Task: ")
        if name == WATCH:
            watching = f"while [ ! -e {self.over} ]; do sleep 0.2; done"
            return done() if turns(request) else turn(call("shell", command=watching))
        return done() if turns(request) else writes(f"{name}.txt", "x\n")


INTENT = "Make it so."
"""What `started` begins a run with."""


def canonical(body: dict[str, Any]) -> bytes:
    """A request as providers cache it; marks of what to cache are no part of it."""
    said = body["input"] if "input" in body else body["messages"]
    parts = (body.get("tools"), body.get("system") or body.get("instructions"), said)
    return json.dumps(_unmarked(parts), ensure_ascii=False).encode()


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmarked(inner) for name, inner in value.items() if name != "cache_control"}
    return [_unmarked(inner) for inner in value] if isinstance(value, list | tuple) else value


async def watched(provider: str, window: int, length: int, folder: Path, answer: int) -> Planner:
    """One run of so many turns of its root."""
    planner = Planner(length, window, folder / "over", answer)
    repo = make_repo(folder / "repo", {"lamp.txt": "it burns\n"})
    model = f"{provider}:a-model"
    wanted = Settings(
        models=ModelsSettings(model, model, model, model),
        providers={provider: ProviderSettings(window=window)},
        swarm=SwarmSettings(workers=4),
        task=TaskSettings(timeout="500h"),
        sandbox=SandboxSettings(level="off", command_timeout="500h"),
    )
    async with serving(planner.script) as server:
        server.seen = Nothing()
        environ = {
            "ANTHROPIC_API_KEY": "key", "ANTHROPIC_BASE_URL": server.url,
            "OPENAI_API_KEY": "key", "OPENAI_BASE_URL": f"{server.url}/v1",
        }  # fmt: skip
        live = await started(repo, folder / "state", wanted, environ)
        summary = await live.run()
    assert summary.exit_status == ExitStatus.DONE, summary
    return planner


class Nothing(list[Seen]):
    """Where requests go that nobody will ask for: thousands of them would not fit into memory."""

    def append(self, seen: Seen) -> None:
        pass


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=600, help="model calls of the planner in each window")
    parser.add_argument("--answer", type=int, default=2_000, help="characters of what a command answers")
    parser.add_argument("--only", default="", help="one window, in tokens")
    chosen = parser.parse_args()
    report = Report("freshness", COLUMNS)
    held = True
    for provider, window in WINDOWS:
        if chosen.only not in ("", str(window)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            p = asyncio.run(watched(provider, window, chosen.turns, Path(folder), chosen.answer))
        cached = round(p.cached / p.sent, 4)
        report.rows.append((provider, window, p.turns, p.largest, p.compactions, cached, p.forgotten, p.reminders))
        report.figures |= {f"turns_{window}": p.turns, f"largest_{window}": p.largest}
        report.figures |= {f"compactions_{window}": p.compactions, f"forgotten_{window}": p.forgotten}
        report.ratios |= {
            f"cached_to_sent_{window}": cached,
            f"largest_to_window_{window}": round(p.largest / window, 3),
        }
        held = held and p.largest <= window and cached > 0.9 and not p.forgotten
        sys.stderr.write(f"{provider} {window}: {p.turns} turns\n")
    goal = "inside the window, more than 0.9 cached, nothing forgotten"
    report.notes.append(f"goal: {goal}: {'met' if held else 'missed'}")
    report.show()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
