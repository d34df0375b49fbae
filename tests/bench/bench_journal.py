"""What the journal takes: appends a second, a long run's opening, seeking and queries while it is written to.

`make bench ONLY=journal ARGS="--calls 10000000 --folder /big/disk"`; all ratios compare runs of the same minute.
"""

import asyncio
import gc
import math
import os
import sqlite3
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from random import Random

from engine.domain import events as e
from engine.domain.types import AgentId, AgentPath, CallId, HandoffId, ToolCallState
from engine.journal.opening import Opening
from engine.journal.queries import JournalReader
from engine.journal.writer import SqliteJournal
from engine.reports.report import report_of
from tests.bench.report import Report, ratio
from tests.bench.week import Week, words

BURST = 50
"""Appends between two turns of the loop, as many agents at once make them."""
BEHIND = 5_000
"""Events that may wait for the disk while a long run is made."""


def small(seq: int) -> e.Body:
    return e.Warned(f"event {seq}")


def large(texts: list[str]) -> "list[e.Body]":
    """Tool answers, none like another."""
    return [e.ToolFinished(CallId(f"c-{n}"), "shell", ToolCallState.OK, text) for n, text in enumerate(texts)]


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


async def append_mix(path: Path, calls: int, short: bool) -> dict[str, float]:
    """What a swarm records, made beforehand: events a second, and for each second of all threads' processor time."""
    week, batches = Week(short=short), []
    for batch in week.batches():
        batches.append(batch)
        if week.calls >= calls:
            break
    gc.collect()
    journal = await SqliteJournal.open(path)
    start, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        journal.append(batch)
        if journal.last_seq - journal.durable_seq > BEHIND:
            await journal.durable(journal.last_seq - BEHIND // 2)
    await journal.durable(journal.last_seq)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    await journal.close()
    return {"append_mix_per_s": journal.last_seq / took, "append_mix_per_cpu_s": journal.last_seq / cpu}


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


# --- a long run ----------------------------------------------------------------------------------------------


async def live_through(path: Path, week: Week, calls: int, minutes: float = math.inf) -> float:
    """Record a run of so many tool calls as a swarm does: fold, append, offer the state. Events a second."""
    journal = await SqliteJournal.open(path)
    start = time.perf_counter()
    for batch in week.batches():
        journal.append(batch)
        journal.checkpoint(week.snapshot)
        if journal.last_seq - journal.durable_seq > BEHIND:
            await journal.durable(journal.last_seq - BEHIND // 2)
        if week.calls >= calls or time.perf_counter() - start > minutes * 60:
            break
    await journal.close()
    return week.snapshot.seq / (time.perf_counter() - start)


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await ask()
    return time.perf_counter() - start


async def open_again(path: Path) -> dict[str, float]:
    """Seconds to open a long run for reading and writing, as resuming does, and to seek in it."""
    cpu, start = time.process_time(), time.perf_counter()
    reader = await JournalReader.open(path)
    journal = await SqliteJournal.open(path)
    state = await journal.state(reader, Opening())
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert journal.last_seq == state.seq
    await journal.close()
    await reader.close()
    draw = Random(1)
    cold: list[float] = []
    for _ in range(5):
        reader = await JournalReader.open(path)
        cold.append(await timed(lambda reader=reader: reader.snapshot(draw.randint(1, state.seq))))  # type: ignore[misc]
        await reader.close()
    reader = await JournalReader.open(path)
    warm = [await timed(lambda: reader.snapshot(draw.randint(1, state.seq))) for _ in range(10)]
    await reader.close()
    seeks = {"seek_first_s": max(cold), "seek_p50_s": sorted(warm)[5], "seek_most_s": max(warm)}
    return {"open_s": took, "open_cpu_s": cpu, **seeks}


Question = Callable[[JournalReader], Awaitable[object]]


def questions(path: Path) -> dict[str, Question]:
    """All that screens ask of a journal, about agents, handoffs and moments anywhere in the run."""
    draw = Random(2)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        agents = db.execute("SELECT id, path FROM agents").fetchall()
        planners = [id for (id,) in db.execute("SELECT id FROM agents WHERE role = 'planner'")]
        root = AgentId(planners[0])
        handoffs = [id for (id,) in db.execute("SELECT id FROM handoffs")]
        [(last, began, at)] = db.execute("SELECT max(seq), (SELECT at FROM events WHERE seq = 1), at FROM events")

    def someone() -> AgentId:
        return AgentId(draw.choice(agents)[0])

    def sometime() -> int:
        return draw.randint(1, last)

    def sometimes_at() -> int:
        return draw.randint(began, at)

    return {
        "messages": lambda reader: reader.messages(someone(), limit=60),
        "messages_before": lambda reader: reader.messages(someone(), before=2 * sometime(), limit=60),
        "message_whole": lambda reader: reader.messages(someone(), before=2 * sometime(), limit=1, whole=True),
        "messages_newest": lambda reader: reader.messages(someone(), limit=8),
        "events": lambda reader: reader.events(limit=200),
        "events_before": lambda reader: reader.events(before=sometime(), limit=200),
        "events_after": lambda reader: reader.events(after=sometime(), limit=300),
        "events_of_agent": lambda reader: reader.events(agent=someone(), limit=60),
        "events_of_agent_before": lambda reader: reader.events(agent=someone(), before=sometime(), limit=60),
        "last_call": lambda reader: reader.last_call(someone()),
        "last_call_before": lambda reader: reader.last_call(someone(), before=sometime()),
        "scratchpads": lambda reader: reader.scratchpads(someone()),
        "followed": lambda reader: reader.followed(HandoffId(draw.choice(handoffs))),
        "spread_samples": lambda reader: reader.spread_samples(200),
        "spread_samples_until": lambda reader: reader.spread_samples(200, until=sometimes_at()),
        "last_seq": lambda reader: reader.last_seq(),
        "seq_at": lambda reader: reader.seq_at(sometimes_at()),
        "time_of": lambda reader: reader.time_of(sometime()),
        "ended_below_root": lambda reader: reader.ended_below(root, [], sometimes_at()),
        "ended_below": lambda reader: reader.ended_below(AgentId(draw.choice(planners)), [], at),
        "older_handoffs": lambda reader: reader.older_handoffs([], sometimes_at()),
        "spawned": lambda reader: reader.spawned(AgentPath(draw.choice(agents)[1])),
    }


async def cold(path: Path, ask: Question, *, from_disk: bool) -> float:
    """Milliseconds that a question takes on a new connection, whose page cache is empty; `from_disk`: the system's
    cache of the file is emptied before, too."""
    if from_disk:
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    reader = await JournalReader.open(path)
    took = await timed(lambda: ask(reader))
    await reader.close()
    return took * 1_000


async def query_while_writing(path: Path, per_s: int, short: bool) -> dict[str, float]:
    """Milliseconds that a screen's questions take while a swarm writes: p50 and p99 of each, and of all."""
    reader = await JournalReader.open(path)
    asked = questions(path)
    journal = await SqliteJournal.open(path)
    week = Week(snapshot=await journal.state(reader, Opening()), short=short)
    batches = week.batches()
    written = 0
    done = False

    async def write() -> None:
        nonlocal written
        began, first = time.perf_counter(), journal.last_seq
        while not done:
            while journal.last_seq - first < (time.perf_counter() - began) * per_s:
                journal.append(next(batches))
                journal.checkpoint(week.snapshot)
            await asyncio.sleep(0.01)
        written = int((journal.last_seq - first) / (time.perf_counter() - began))

    writing = asyncio.create_task(write())
    figures: dict[str, float] = {}
    every: list[float] = []
    for name, ask in asked.items():
        took = sorted([await cold(path, ask, from_disk=False) for _ in range(100)])
        every += took
        figures[f"query_{name}_p50_ms"], figures[f"query_{name}_p99_ms"] = took[50], took[98]
    every.sort()
    figures["query_p99_ms"] = every[int(len(every) * 0.99)]
    figures["queries_over_20_ms"] = sum(
        value > 20 for name, value in figures.items() if name.startswith("query_") and name.endswith("_p99_ms")
    )
    for name, ask in asked.items():
        figures[f"query_{name}_from_disk_ms"] = sorted([await cold(path, ask, from_disk=True) for _ in range(9)])[4]
    done = True
    await writing
    figures["written_meanwhile_per_s"] = written
    await reader.close()
    await journal.close()
    return figures


# --- all of it -----------------------------------------------------------------------------------------------


async def long_run(path: Path, calls: int, minutes: float, short: bool) -> dict[str, float]:
    week = Week(short=short)
    cpu = time.process_time()
    per_s = await live_through(path, week, calls, minutes)
    # With the making and folding of events, which a swarm's agents and its process do.
    return {"run_append_per_s": per_s, "run_append_per_cpu_s": week.snapshot.seq / (time.process_time() - cpu)}


async def measure(events: int, calls: int, folder: Path, minutes: float, short: bool, there: Path | None) -> Report:
    smalls = [small(seq) for seq in range(events)]
    larges = large(words(events // 4, 4_000))
    figures: dict[str, float] = {
        "append_per_s": await append_all(folder / "small.db", smalls),
        "append_4k_per_s": await append_all(folder / "large.db", larges),
        "durable_1_writer_per_s": await append_and_wait(folder / "one.db", smalls[: events // 40], 1),
        "durable_64_writers_per_s": await append_and_wait(folder / "many.db", smalls[: events // 4], 64),
        "bare_sqlite_per_s": bare_sqlite(folder / "bare.db", smalls),
        "bare_sqlite_4k_per_s": bare_sqlite(folder / "bare_large.db", larges),
    }
    figures |= await append_mix(folder / "mix.db", events, short)
    path = there or folder / "long.db"
    if there is None:
        figures |= await long_run(path, calls, minutes, short)
    gc.collect()
    figures |= await open_again(path)
    reader = await JournalReader.open(path)
    state = await reader.snapshot()
    await reader.close()
    figures |= {"run_calls": state.tool_calls, "run_events": state.seq, "run_agents": len(state.agents)}
    figures["run_mb"] = path.stat().st_size / 1e6
    del state
    gc.collect()
    figures |= await query_while_writing(path, 1_000, short)
    start = time.perf_counter()
    report_of(path, folder / "no-trunk.git")
    figures["report_s"] = time.perf_counter() - start
    report = Report("journal", ("figure", "value"))
    report.rows = list(figures.items())
    report.figures = {name: round(value, 3) for name, value in figures.items()}
    report.ratios = {
        "append_to_bare_sqlite": ratio(figures["append_per_s"], figures["bare_sqlite_per_s"]),
        "append_4k_to_bare_sqlite": ratio(figures["append_4k_per_s"], figures["bare_sqlite_4k_per_s"]),
        "group_commit_gain": ratio(figures["durable_64_writers_per_s"], figures["durable_1_writer_per_s"]),
    }
    return report


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="events of each kind that are appended")
    parser.add_argument("--calls", type=int, default=100_000, help="tool calls of the long run")
    parser.add_argument("--folder", default=None, help="where there is room for it (about 2.5 KB a call)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="when the long run ends at the latest")
    parser.add_argument(
        "--short", action="store_true", help="what agents and tools say is a line (about 1.4 KB a call)"
    )
    parser.add_argument(
        "--journal", type=Path, help="take this one, which gets some seconds of events, for the long run"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        long = (chosen.minutes, chosen.short, chosen.journal)
        asyncio.run(measure(chosen.events, chosen.calls, Path(folder), *long)).show()


if __name__ == "__main__":
    main()
