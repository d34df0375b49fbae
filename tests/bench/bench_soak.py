"""Whether a long run stays level from its first tenth to its last: memory, descriptors, disk, queries, landings.

A made-up week goes through the real fold and journal as fast as it can be written, and as many small changes land on a
real trunk: `make bench ONLY=soak ARGS="--calls 5000000 --short --folder /big/disk"`. Models and sandboxes are
not part of it. Each tenth is shown when it is done: the tasks in memory (`kept`) of all that `ended`, what they take,
and what an event, a query, opening what has left memory (`recall`) and a landing cost. CPU time is right even on a busy
machine; the other times need one that does nothing else.
"""

import asyncio
import os
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from random import Random

from engine.domain.types import AgentId, LandingState, RunId, TaskState
from engine.journal.queries import JournalReader
from engine.journal.untrusted import log_size
from engine.journal.writer import SqliteJournal
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.housekeeping import ROUND_EVERY, Housekeeper
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from engine.state.snapshot import Snapshot
from tests.bench.bench_housekeeping import disk_use
from tests.bench.bench_landing import content, make_project, path_of
from tests.bench.report import Report, ratio
from tests.bench.week import CALLS, Week

TENTHS = 10
BEHIND = 2_000
"""Events that may wait for the disk."""
ASKED = 60
"""How often a tenth asks each query."""
COLUMNS = (
    *(
        "calls",
        "ended",
        "kept",
        "rss_mb",
        "own_mb",
        "fds",
        "threads",
        "mb_per_1000_calls",
        "log_mb",
        "event_cpu_us",
    ),
    *(
        "query_cpu_ms",
        "query_p50_ms",
        "recall_cpu_ms",
        "landing_cpu_ms",
        "landing_p50_ms",
        "landing_p99_ms",
        "trunk_kb_per_landing",
    ),
)
SEEN = 200
"""Agents of each tenth that later tenths ask about, too."""
RECALLED = 5
FILES = 2_000
"""Of the project that is landed on."""


def status(name: str) -> int:
    """A number from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


async def query_ms(reader: JournalReader, agents: list[AgentId], draw: Random) -> tuple[float, float]:
    """Of what a screen asks for about any of these agents: milliseconds of CPU on average, and the median time."""
    took, began = [], time.process_time()
    for _ in range(ASKED):
        agent = draw.choice(agents)
        for ask in (
            reader.messages(agent, limit=50),
            reader.events(limit=100),
            reader.last_call(agent),
            reader.spread_samples(200),
        ):
            start = time.perf_counter()
            await ask
            took.append((time.perf_counter() - start) * 1_000)
    return (time.process_time() - began) * 1_000 / len(took), sorted(took)[len(took) // 2]


async def recall_ms(reader: JournalReader, run: Snapshot) -> float:
    """Milliseconds of CPU to open what has left memory: a page of ended agents, and a page of handoffs."""
    assert run.root is not None
    began = time.process_time()
    for _ in range(RECALLED):
        await reader.ended_below(run.root, run.children[run.root], run.at)
        await reader.older_handoffs(list(run.handoffs), run.at)
    return (time.process_time() - began) * 1_000 / (2 * RECALLED)


class Landings:
    """Small changes, one after the other, onto a trunk of their own."""

    def __init__(self, trunk: GitTrunk) -> None:
        self._trunk = trunk
        self._keeper = Housekeeper(trunk.git_dir)
        self.done = 0

    @classmethod
    async def on(cls, folder: Path) -> "Landings":
        make_project(folder / "project", FILES)
        return cls(await GitTrunk.create(folder, await inspect_repo(folder / "project"), RunId("r-1")))

    async def land(self, count: int) -> tuple[float, float, float, float]:
        """So many more: milliseconds of CPU, p50 and p99, and KB on disk for each."""
        before, took, cpu = self._kb(), [], 0.0
        for _ in range(count):
            self.done += 1
            began = time.process_time()
            took.append(await self._land(self.done))
            cpu += time.process_time() - began
            if self.done % ROUND_EVERY == 0:
                await self._keeper.tidy()
        took.sort()
        grown = (self._kb() - before) / count
        return cpu * 1_000 / count, took[count // 2], took[count * 99 // 100], grown

    async def _land(self, number: int) -> float:
        file = number % FILES
        text = content(file, [(number % 30 + 1, f"# by {number}")]).encode()
        tip = await self._trunk.tip()
        change = self._trunk.pending.build(tip, tip, {path_of(file): Content(FILE, text)}, "change\n")
        start = time.perf_counter()
        result = await self._trunk.land(change, f"change {number}\n")
        took = time.perf_counter() - start
        assert result.state is LandingState.MERGED, result
        self._trunk.pending.release(change)
        return took * 1_000

    def _kb(self) -> float:
        return disk_use(self._trunk.git_dir / "objects")[0] * 1_024


async def soak(path: Path, calls: int, landings_in_all: int, *, short: bool) -> Report:
    week, draw, agents = Week(short=short), Random(1), dict[AgentId, None]()
    landings = await Landings.on(path.parent)
    journal = await SqliteJournal.open(path)
    batches = week.batches()
    journal.append(next(batches))
    await journal.durable(journal.last_seq)
    reader = await JournalReader.open(path)
    report = Report("soak", COLUMNS)
    sys.stderr.write("  ".join(COLUMNS) + "\n")
    for tenth in range(1, TENTHS + 1):
        began, first, size, before = time.process_time(), journal.last_seq, disk(path), week.calls
        while week.calls < calls * tenth // TENTHS:
            journal.append(next(batches))
            journal.checkpoint(week.snapshot)
            if journal.last_seq - journal.durable_seq > BEHIND:
                await journal.durable(journal.last_seq - BEHIND // 2)
        await journal.durable(journal.last_seq)
        cpu_us = (time.process_time() - began) * 1e6 / (journal.last_seq - first)
        grown = (disk(path) - size) / 1e3 / (week.calls - before)
        log = log_size(path) / 1e6
        landed = await landings.land(max(20, landings_in_all // TENTHS))
        agents |= dict.fromkeys(list(week.snapshot.agents)[:: len(week.snapshot.agents) // SEEN + 1])
        asked = await query_ms(reader, list(agents), draw)
        recalled = await recall_ms(reader, week.snapshot)
        memory = (status("VmRSS") / 1e3, status("RssAnon") / 1e3)
        held = (len(os.listdir("/proc/self/fd")), status("Threads"))
        ended = (week.snapshot.task_counts[TaskState.LANDED], len(week.snapshot.tasks))
        row = (week.calls, *ended, *memory, *held, grown, log, cpu_us, *asked, recalled, *landed)
        report.rows.append(row)
        sys.stderr.write("  ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row) + "\n")
    await reader.close()
    await journal.close()
    for name, one, other in zip(COLUMNS, report.rows[0], report.rows[-1], strict=True):
        report.figures |= {f"{name}_first": one, f"{name}_last": other}
        if name not in ("calls", "ended") and isinstance(one, float | int) and isinstance(other, float | int):
            report.ratios[f"{name}_last_to_first"] = ratio(float(other), float(one))
    return report


def disk(path: Path) -> int:
    """Bytes of the journal, with its log: what is not yet in the file would count for the next tenth."""
    return path.stat().st_size + log_size(path)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40_000, help="tool calls in all")
    parser.add_argument("--landings", type=int, default=0, help="landings in all, if not one for each task")
    parser.add_argument("--short", action="store_true", help="answers of a line only, which take 1 KB a call")
    parser.add_argument("--folder", default=None, help="where there is room for it (about 4 KB a call)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        asyncio.run(
            soak(
                Path(folder) / "journal.db", chosen.calls, chosen.landings or chosen.calls // CALLS, short=chosen.short
            )
        ).show()


if __name__ == "__main__":
    main()
