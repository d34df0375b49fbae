"""What the journal takes: appends a second (small events, 4 KB bodies), queries meanwhile, and the fold on resume.

Run with `python -m tests.bench.bench_journal [EVENTS]`; all ratios compare runs of the same minute on one machine.
"""

import asyncio
import json
import os
import platform
import random
import sqlite3
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from engine import events as e
from engine.journal.queries import JournalReader, read_snapshot
from engine.journal.writer import SqliteJournal
from engine.types import AgentId, CallId, ToolCallState
from tests.engine.journal.stories import story

BURST = 50
"""Appends between two turns of the loop, as many agents at once make them."""


def small(seq: int) -> e.Body:
    return e.Warned(f"event {seq}")


def large(texts: list[str]) -> "list[e.Body]":
    """Tool answers of 4 KB, none like another."""
    return [e.ToolFinished(CallId(f"c-{n}"), "shell", ToolCallState.OK, text) for n, text in enumerate(texts)]


def words(count: int, size: int) -> list[str]:
    """Text that compresses about as command output does."""
    random_words = random.Random(1)  # repeatable, so that runs compare
    vocabulary = [
        "".join(random_words.choices("abcdefghijklmnop_/.", k=random_words.randint(2, 9))) for _ in range(800)
    ]
    return [" ".join(random_words.choices(vocabulary, k=size // 6))[:size].ljust(size, ".") for _ in range(count)]


async def append_all(path: Path, bodies: list[e.Body]) -> float:
    """Events a second until the last is durable."""
    journal = await SqliteJournal.open(path)
    start = time.perf_counter()
    for seq, body in enumerate(bodies, 1):
        journal.append([e.Event(seq, seq, 1, body, AgentId(f"a-{seq % 50}"))])
        if seq % BURST == 0:
            await asyncio.sleep(0)
    await journal.durable(len(bodies))
    took = time.perf_counter() - start
    await journal.close()
    return len(bodies) / took


async def append_and_wait(path: Path, bodies: list[e.Body], writers: int) -> float:
    """Events a second when each of so many writers waits for its own event before the next."""
    journal = await SqliteJournal.open(path)
    left = iter(bodies)
    seq = 0

    async def write() -> None:
        nonlocal seq
        for body in left:
            seq += 1
            mine = seq
            journal.append([e.Event(mine, mine, 1, body, AgentId("a-1"))])
            await journal.durable(mine)

    start = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    took = time.perf_counter() - start
    await journal.close()
    return len(bodies) / took


def bare_sqlite(path: Path, bodies: list[e.Body]) -> float:
    """The same rows by one thread that does nothing else, one commit for 1,000: what SQLite itself can do here."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, at, epoch, kind, agent, task, cause, body)")
    rows = [(n, n, 1, "kind", "a-1", None, None, str(body)) for n, body in enumerate(bodies, 1)]
    start = time.perf_counter()
    for at in range(0, len(rows), 1_000):
        db.execute("BEGIN")
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows[at : at + 1_000])
        db.execute("COMMIT")
    took = time.perf_counter() - start
    db.close()
    return len(rows) / took


async def query_while_writing(path: Path, bodies: list[e.Body]) -> dict[str, float]:
    """Milliseconds that a screen's questions take while a swarm writes 500 events a second: p50 and p99 of each."""
    journal = await SqliteJournal.open(path)
    journal.append([e.Event(seq, seq, 1, body, AgentId(f"a-{seq % 50}")) for seq, body in enumerate(bodies, 1)])
    await journal.durable(len(bodies))
    reader = await JournalReader.open(path)
    done = False

    async def write() -> None:
        while not done:
            for body in islice(cycle(bodies), 5):
                seq = journal.last_seq + 1
                journal.append([e.Event(seq, seq, 1, body, AgentId(f"a-{seq % 50}"))])
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    agent = AgentId("a-7")
    questions = {
        "messages": lambda: reader.messages(agent, limit=50),
        "events": lambda: reader.events(limit=100),
        "events_of_agent": lambda: reader.events(agent=agent, limit=100),
        "text": lambda: reader.events(text="zzzz", limit=50),
        "tool_calls": lambda: reader.tool_calls(agent, limit=50),
    }
    figures = {}
    every: list[float] = []
    for name, ask in questions.items():
        took = []
        for _ in range(100):
            start = time.perf_counter()
            await ask()
            took.append((time.perf_counter() - start) * 1_000)
        took.sort()
        every += took if name != "text" else []
        figures[f"query_{name}_p50_ms"], figures[f"query_{name}_p99_ms"] = took[50], took[98]
    every.sort()
    figures["query_p99_ms"] = every[int(len(every) * 0.99)]
    done = True
    await writing
    await reader.close()
    await journal.close()
    return figures


async def fold(path: Path, count: int) -> tuple[float, float]:
    """Seconds to fold a run of so many events from the file, and megabytes of the file."""
    journal = await SqliteJournal.open(path)
    told = story(1, count, text=1_000)
    for event in told.events:
        journal.append([event])
    await journal.close()
    start = time.perf_counter()
    snapshot = await read_snapshot(path)
    took = time.perf_counter() - start
    assert snapshot == told.snapshot
    return took, size_mb(path)


def size_mb(path: Path) -> float:
    return path.stat().st_size / 1e6


async def measure(count: int, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    smalls = [small(seq) for seq in range(count)]
    larges = large(words(count // 4, 4_000))
    huges = large(words(count // 16, 16_000))
    figures = {
        "append_per_s": await append_all(folder / "small.db", smalls),
        "append_4k_per_s": await append_all(folder / "large.db", larges),
        "append_16k_per_s": await append_all(folder / "huge.db", huges),
        "durable_1_writer_per_s": await append_and_wait(folder / "one.db", smalls[: count // 40], 1),
        "durable_64_writers_per_s": await append_and_wait(folder / "many.db", smalls[: count // 4], 64),
        "bare_sqlite_per_s": bare_sqlite(folder / "bare.db", smalls),
        "bare_sqlite_4k_per_s": bare_sqlite(folder / "bare_large.db", larges),
    }
    figures |= await query_while_writing(folder / "queries.db", larges)
    figures["fold_s"], figures["fold_mb"] = await fold(folder / "fold.db", count)
    figures["fold_events"] = count
    ratios = {
        "append_to_bare_sqlite": figures["append_per_s"] / figures["bare_sqlite_per_s"],
        "append_4k_to_bare_sqlite": figures["append_4k_per_s"] / figures["bare_sqlite_4k_per_s"],
        "group_commit_gain": figures["durable_64_writers_per_s"] / figures["durable_1_writer_per_s"],
    }
    return figures, ratios


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        figures, ratios = asyncio.run(measure(count, Path(folder)))
    for name, value in {**figures, **ratios}.items():
        print(f"{name:32} {value:14,.2f}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, SQLite {sqlite3.sqlite_version}"
    rounded = [{name: round(value, 3) for name, value in part.items()} for part in (figures, ratios)]
    print(json.dumps({"bench": "journal", "machine": machine, "figures": rounded[0], "ratios": rounded[1]}))


if __name__ == "__main__":
    main()
