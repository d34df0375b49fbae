"""Providers that fail for minutes, in every way and with every protocol, while swarms work: part of `make faults`.

`python -m tests.faults.bad_provider --seconds 240` runs one swarm for each protocol against a loopback server that
alternates between working and one kind of failure. The engine and its retry policy are the real ones;
`test_bad_provider.py` does the same on a small scale, with shorter waits.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from engine.domain.settings import ProviderSettings, SwarmSettings
from engine.models.rehearsal.playbook import Playbook
from engine.models.rehearsal.provider import next_line, open_rehearsal
from tests.engine.model_server import BY_PATH, ModelServer, decoded
from tests.engine.models.dialects import DIALECTS, Called, Dialect
from tests.engine.models.raw_server import (
    END,
    Abort,
    Chunk,
    Reset,
    Seen,
    Stall,
    Step,
    Wait,
    head,
    refusal,
    serving,
    stream,
)
from tests.engine.real_runs import make_repo, settings, started

TASKS = 40
WORKERS = 6
ANSWER_S = 0.2
"""Seconds that an undisturbed answer takes."""
FAIR = "fair"
FAIR_SHARE = 0.2
"""The share of each spell before its trouble begins."""
MINUTE = 60_000_000

Failing = Callable[[Dialect, list[bytes]], list[Step]]
"""Sent in place of an answer's events."""


def _refused(status: int, code: str, **headers: str) -> Failing:
    return lambda dialect, events: refusal(status, dialect.error_body(code, "not now"), **headers)


def _garbled(dialect: Dialect, events: list[bytes]) -> list[Step]:
    """Events with truncated JSON."""
    return stream([events[0], *(event[: len(event) // 2] + b"\n\n" for event in events[1:])])


TROUBLES: dict[str, Failing] = {
    "429, retry-after": _refused(429, "rate_limit_error", retry_after="2"),
    "429": _refused(429, "rate_limit_error"),
    "500": _refused(500, "api_error"),
    "529": _refused(529, "overloaded_error"),
    "no answer": lambda dialect, events: [Stall()],
    "stalls": lambda dialect, events: [head(), *map(Chunk, events[:2]), Stall()],
    "half a stream": lambda dialect, events: stream(events[: len(events) // 2]),
    "broken off": lambda dialect, events: stream([*events[:2], dialect.broken_off(dialect.overloaded, "busy")]),
    "connection lost": lambda dialect, events: stream(events[:2], Reset()),
    "connection reset": lambda dialect, events: [Abort()],
    "garbled": _garbled,
    "no JSON": lambda dialect, events: [head(200, "text/html"), Chunk(b"<html>Bad gateway</html>"), END],
}


@dataclass
class Weather:
    """What a server does now: one trouble after another, each for a spell, and in the end none.

    A spell is a number of seconds or of requests.
    """

    playbook: Playbook
    spell: float
    in_seconds: bool
    answer_s: float
    began: float = 0.0
    """When the first request came."""
    asked: Counter[str] = field(default_factory=Counter)
    """Requests in each weather."""

    @property
    def now(self) -> str:
        self.began = self.began or time.monotonic()
        at = time.monotonic() - self.began if self.in_seconds else float(self.asked.total())
        number, into = divmod(at, self.spell)
        names = list(TROUBLES)
        return FAIR if number >= len(names) or into < FAIR_SHARE * self.spell else names[int(number)]

    def script(self, seen: Seen) -> list[Step]:
        dialect, weather = BY_PATH[seen.path], self.now
        self.asked[weather] += 1
        line = next_line(self.playbook, decoded(dialect, seen.body))
        calls = tuple(
            Called(f"call_{number}", call.tool, (call.raw or msgspec.json.encode(call.arguments).decode(),))
            for number, call in enumerate(line.calls)
        )
        events = dialect.answer(line.text or "So.", calls=calls)
        return [Wait(self.answer_s), *stream(events)] if weather == FAIR else TROUBLES[weather](dialect, events)


async def endure(folder: Path, provider: str, weather: Weather, tasks: int, **waits: float) -> str:
    """Run one swarm with `tasks` tasks through all troubles; returns one line about the result.

    `waits` are settings of the provider. Raises AssertionError if anything was lost, repeated or not reported.
    """
    repo = make_repo(folder / "repo", {"parts/register.py": "PARTS = []\n"})
    async with serving(weather.script) as raw:
        wanted = settings(
            f"{provider}:a-model",
            swarm=SwarmSettings(workers=WORKERS),
            providers={provider: ProviderSettings(input_price=1.0, cached_price=0.1, output_price=10.0, **waits)},
        )
        run = await started(repo, folder / "state", wanted, ModelServer(raw).environ())
        summary = await run.run()
    took = time.monotonic() - weather.began
    with closing(sqlite3.connect(f"file:{run.folder.journal}?mode=ro", uri=True)) as journal:

        def ask(sql: str) -> list[tuple[object, ...]]:
            return journal.execute(sql).fetchall()

        assert summary.exit_status == 0, summary
        assert ask("SELECT state, count(*) FROM tasks GROUP BY state") == [("landed", tasks)]
        assert ask("SELECT DISTINCT state FROM agents") == [("done",)], "nobody was given up"
        assert ask("SELECT max(attempt) FROM agents") == [(1,)], "no attempt was lost"
        assert ask("SELECT count(*) FROM handoffs WHERE task IS NOT NULL") == [(tasks,)]
        assert ask("SELECT count(*) FROM handoffs WHERE task IS NOT NULL GROUP BY task HAVING count(*) > 1") == []
        assert ask("SELECT count(*) FROM inbox WHERE consumed IS NULL") == [(0,)], "every message was read"
        [[turns]] = ask("SELECT count(*) FROM events WHERE kind IN ('turn_taken', 'context_compacted')")
        broken = ", ".join(f"coalesce(sum(body ->> '$.usage.{name}'), 0)" for name in ("input", "cached", "output"))
        [[retried, *lost]] = ask(f"SELECT count(*), {broken} FROM events WHERE kind = 'model_call_retried'")
        [[usd]] = ask("SELECT sum(body ->> '$.usage.usd') FROM events")
        busiest = ask(
            f"SELECT count(*) FROM events WHERE kind = 'model_call_retried' GROUP BY at / {MINUTE} ORDER BY 1 DESC"
        )
        told = {
            str(reason) for (reason,) in ask("SELECT body ->> 'reason' FROM events WHERE kind = 'model_call_retried'")
        }
    usage = run.snapshot.usage
    assert turns <= weather.asked[FAIR], "a turn is a whole answer"
    whole = [120 * turns, 100 * turns, 7 * turns]
    spent = [usage.input, usage.cached, usage.output]
    assert spent == [one + other for one, other in zip(whole, lost, strict=True)], (
        "and is paid once; so is what broke off"
    )
    assert usage.usd == pytest.approx(usd), "to the cent"
    assert weather.asked.total() <= turns + retried, "each failed call is on record"
    met = ", ".join(f"{name} {weather.asked[name]}" for name in TROUBLES)
    return (
        f"{provider}: {tasks} tasks landed once, {turns} turns paid once, in {took:.0f} s; "
        f"requests in each trouble: {met}; "
        f"failed calls in the busiest minute: {busiest[0][0]}; reasons told: {'; '.join(sorted(told))}"
    )


def playbook(tasks: int, drafts: int) -> Playbook:
    return open_rehearsal(f"load?planners=2&tasks={tasks}&conflicts=0.1&shell=0&drafts={drafts}").playbook


async def endure_all(folder: Path, seconds: float, stall_timeout: float) -> list[str]:
    """Run a swarm for each protocol at the same time, with `seconds` seconds of trouble."""
    weathers = [Weather(playbook(TASKS, 8), seconds / len(TROUBLES), True, ANSWER_S) for _ in DIALECTS]
    lines = await asyncio.gather(
        *(
            endure(folder / each.name, each.name, weather, TASKS, stall_timeout=stall_timeout)
            for each, weather in zip(DIALECTS, weathers, strict=True)
        )
    )
    assert set().union(*(weather.asked for weather in weathers)) == {FAIR, *TROUBLES}, "each trouble was met"
    return lines


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="of all troubles together")
    parser.add_argument("--stall-timeout", type=float, default=10.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bad-provider-") as folder:
        for line in asyncio.run(endure_all(Path(folder), chosen.seconds, chosen.stall_timeout)):
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
