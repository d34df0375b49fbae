"""Whether a long run stays level from its first tenth to its last: memory, descriptors, threads, disk, queries.

A made-up week goes through the real fold and journal as fast as it can be written:
`make bench ONLY=soak ARGS="--calls 1000000 --folder /big/disk"`. Models, git and sandboxes are not part of it.
"""

import asyncio
import os
import tempfile
import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from random import Random

from engine.journal.queries import JournalReader
from engine.journal.writer import SqliteJournal
from tests.bench.report import Report, ratio
from tests.bench.week import Week

TENTHS = 10
BEHIND = 2_000
"""Events that may wait for the disk."""
COLUMNS = ("calls", "rss_mb", "fds", "threads", "kb_per_call", "log_mb", "append_per_cpu_s", "query_p50_ms", "agents")


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def query_ms(reader: JournalReader, week: Week, draw: Random) -> float:
    """The median of what a screen asks for, in milliseconds."""
    agents = list(week.snapshot.agents)
    took = []
    for _ in range(30):
        agent = draw.choice(agents)
        for ask in (reader.messages(agent, limit=50), reader.events(limit=100), reader.tool_calls(agent, limit=50)):
            start = time.perf_counter()
            await ask
            took.append((time.perf_counter() - start) * 1_000)
    return sorted(took)[len(took) // 2]


async def soak(path: Path, calls: int) -> Report:
    week, draw = Week(), Random(1)
    journal = await SqliteJournal.open(path)
    batches = week.batches()
    journal.append(next(batches))
    await journal.durable(journal.last_seq)
    reader = await JournalReader.open(path)
    report = Report("soak", COLUMNS)
    for tenth in range(1, TENTHS + 1):
        began, first, size, before = time.process_time(), journal.last_seq, disk(path), week.calls
        while week.calls < calls * tenth // TENTHS:
            journal.append(next(batches))
            journal.checkpoint(week.snapshot)
            if journal.last_seq - journal.durable_seq > BEHIND:
                await journal.durable(journal.last_seq - BEHIND // 2)
        await journal.durable(journal.last_seq)
        rate = (journal.last_seq - first) / (time.process_time() - began)
        grown = (disk(path) - size) / 1e3 / (week.calls - before)
        log = disk(Path(f"{path}-wal")) / 1e6
        fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
        asked = await query_ms(reader, week, draw)
        report.rows.append((week.calls, rss_mb(), fds, threads, grown, log, rate, asked, len(week.snapshot.agents)))
    await reader.close()
    await journal.close()
    for name, one, other in zip(COLUMNS, report.rows[0], report.rows[-1], strict=True):
        report.figures |= {f"{name}_first": one, f"{name}_last": other}
        if name not in ("calls", "agents") and isinstance(one, float | int) and isinstance(other, float | int):
            report.ratios[f"{name}_last_to_first"] = ratio(float(other), float(one))
    return report


def disk(path: Path) -> int:
    return path.stat().st_size


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40_000, help="tool calls in all")
    parser.add_argument("--folder", default=None, help="where there is room for it (about 4 KB a call)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        asyncio.run(soak(Path(folder) / "journal.db", chosen.calls)).show()


if __name__ == "__main__":
    main()
