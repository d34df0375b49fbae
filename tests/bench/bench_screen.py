"""How the screen keeps up with a busy swarm: the real program in a terminal of its own, with keys sent to it.

The swarm is rehearsed, the engine runs in the same process, and what it recorded meanwhile is read from its journal: a
change of state is an event that changes what an agent's line says, a log line one that the list of events shows. A key
is `j` or `k` in the agent tree; it is answered when the detail's title names the other agent, which nothing but a
moved selection paints. Keys come one at a time, and as fast as a held key repeats. The same keys are sent again while
the run is paused, to tell the screen's own time from what a busy engine in the same process adds, and in turns to a
second screen in a process of its own (`attached`). The machine's other load is in all figures; `wait_share` says how
much of the time the screen's thread was ready and did not run.

Memory is of a replay of a run of many events at the greatest speed, after a quarter of them and at their end; the
same run, of 5,000 agents, is opened on the screen. First paint is the start screen's header, the screen the whole of
it; Python keeps its bytecode from one start to the next, as it does after an installation.
"""

import argparse
import asyncio
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from git import Repo

from engine.journal.writer import SqliteJournal
from tests.bench.report import Report, ratio
from tests.bench.terminal import Terminal
from tests.bench.week import Week

KEYS = 150
WATCH_S = 12.0
"""How long the screen is watched without touching it."""
LONGEST_S = 240.0
"""For anything that is waited for once."""
ANSWER_S = 5.0
"""A key that is not answered by then counts with this time."""
PAUSES_S = (0.031, 0.113, 0.067, 0.211)
"""Between two keys, in turn: no multiple of the screen's own rhythm."""
HELD_S = 1 / 30
"""Between two keys while one is held."""
TURN = 30
"""Keys that one of two screens gets in a row."""
STARTS = 5
AN_HOUR = 3600 * 120
"""Events of an hour with 100 changes of state and 20 log lines a second."""
TITLE = b"2 detail"
STATES = ("agent_state_changed", "agent_spawned", "tool_started", "turn_taken", "task_started", "task_ended")
_EVENT = re.compile(rb"event ([0-9,]+) of")
QUIET = ("agent_state_changed", "tool_finished", "sampled", "published")
"""Kinds that the list of events mostly leaves out."""


def run(options: list[str]) -> Report:
    """Measure one busy swarm, one start, and one long run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench screen")
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--speed", type=float, default=8.0, help="of the rehearsed model: what its waits are times")
    parser.add_argument("--events", type=int, default=AN_HOUR, help="of the long run")
    parser.add_argument("--long-agents", type=int, default=5000)
    arguments = parser.parse_args(options)
    columns = ("", "key p50 ms", "key p99 ms", "core share", "kB/s painted", "changes/s", "log lines/s")
    report = Report("screen", columns)
    _start(report)
    _long(report, arguments.long_agents, arguments.events)
    _busy(report, arguments.agents, arguments.speed)
    return report


# --- a busy swarm ------------------------------------------------------------------------------------------------


def _busy(report: Report, agents: int, speed: float) -> None:
    with _folder() as folder, _swarm(folder, agents, speed) as terminal:
        at_work = _until_at_work(terminal, folder, agents)
        terminal.press(b"o")  # oldest first: rows stay where they are
        terminal.rest(3.0)
        busy = _watch(terminal, folder)
        keys = _keys(terminal, KEYS)
        painted, begun = terminal.painted, time.perf_counter()
        held = _held(terminal, KEYS)
        held_bytes = (terminal.painted - painted) / (time.perf_counter() - begun)
        own, attached = _beside(terminal, folder)
        terminal.press(b"P")
        terminal.rest(5.0)
        paused = _watch(terminal, folder)
        still = _keys(terminal, KEYS)
    report.rows += [
        ("busy", *_spread(keys), *busy[:4]),
        ("held", *_spread(held), "", held_bytes / 1000, "", ""),
        ("paused", *_spread(still), *paused[:4]),
        ("in turns, own", *_spread(own), "", "", "", ""),
        ("in turns, attached", *_spread(attached), "", "", "", ""),
    ]
    p50, p99 = _spread(keys)
    report.figures |= {
        "agents": at_work,
        "key_to_paint_p99_ms": round(p99, 1),
        "key_to_paint_p50_ms": round(p50, 1),
        "key_to_paint_p99_ms_held": round(_spread(held)[1], 1),
        "key_to_paint_p50_ms_held": round(_spread(held)[0], 1),
        "key_to_paint_p99_ms_paused": round(_spread(still)[1], 1),
        "core_share": round(busy[0], 3),
        "bytes_per_s": round(busy[1] * 1000),
        "bytes_per_s_held": round(held_bytes),
        "state_changes_per_s": round(busy[2], 1),
        "log_lines_per_s": round(busy[3], 1),
        "wait_share": round(busy[4], 3),
        "keys_unanswered": sum(time >= ANSWER_S for time in (*keys, *held, *still)),
    }
    report.ratios |= {
        "key_to_paint_p50_busy_to_paused": ratio(p50, _spread(still)[0]),
        "key_to_paint_p50_own_to_attached": ratio(_spread(own)[0], _spread(attached)[0]),
        "key_to_paint_p99_own_to_attached": ratio(_spread(own)[1], _spread(attached)[1]),
        "core_share_busy_to_paused": ratio(busy[0], paused[0]),
    }
    report.notes += [
        "core share: processor time of the screen's thread",
        "goals: key to paint p50 20 ms and p99 50 ms, also while held; 15 kB/s painted, also while held",
    ]


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bench-screen-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _swarm(folder: Path, agents: int, speed: float) -> Iterator[Terminal]:
    """The generated sample: every agent has tasks for longer than it is looked at, and none runs a test."""
    model = f"rehearsal:load?agents={agents}&tasks={4 * agents}&shell=0&speed={speed:g}"
    environ = {
        "SWARM_MAX_AGENTS": str(2 * agents),
        "SWARM_PROVIDERS_REHEARSAL_MAX_CONCURRENT": str(2 * agents),
    }
    words = ("demo", "load", "--model", model, "--workers", str(agents), "--check", "", "--state-dir", str(folder))
    terminal = Terminal(*words, environ=environ)
    try:
        yield terminal
    finally:
        terminal.end()


def _until_at_work(terminal: Terminal, folder: Path, agents: int) -> int:
    """Read on until so many agents were spawned, or for the longest time; how many there are."""
    there = 0
    while there < agents and terminal.age() < LONGEST_S:
        terminal.rest(1.0)
        for journal in folder.glob("*/*/journal.db"):
            there = _kinds(journal).get("agent_spawned", 0)
    return there


def _watch(terminal: Terminal, folder: Path) -> tuple[float, float, float, float, float]:
    """The screen untouched: its share of a core, kB painted, changes and log lines a second, share of waiting."""
    journal = next(folder.glob("*/*/journal.db"))
    cpu, waited, painted, begun = terminal.cpu_s(), terminal.waited_s(), terminal.painted, time.perf_counter()
    before = _recorded(journal)
    terminal.rest(WATCH_S)
    passed = time.perf_counter() - begun
    after = _recorded(journal)
    return (
        (terminal.cpu_s() - cpu) / passed,
        (terminal.painted - painted) / passed / 1000,
        (after[0] - before[0]) / passed,
        (after[1] - before[1]) / passed,
        (terminal.waited_s() - waited) / passed,
    )


def _recorded(journal: Path) -> tuple[int, int]:
    """Changes of state and log lines that are on record."""
    kinds = _kinds(journal)
    return sum(kinds.get(kind, 0) for kind in STATES), sum(kinds.values()) - sum(kinds.get(kind, 0) for kind in QUIET)


def _kinds(journal: Path) -> dict[str, int]:
    """How many events of each kind are on record; none before the journal is made."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        try:
            return dict(db.execute("SELECT kind, count(*) FROM events GROUP BY kind").fetchall())
        except sqlite3.OperationalError:
            return {}


def _keys(terminal: Terminal, number: int) -> list[float]:
    """Seconds from each key to its paint."""
    found: list[float] = []
    for index in range(number):
        found.append(_answered(terminal, b"k" if index % 2 else b"j"))
        terminal.rest(PAUSES_S[index % len(PAUSES_S)])
    return found


def _held(terminal: Terminal, number: int) -> list[float]:
    """The same while a key is held: first down, then up again."""
    found: list[float] = []
    for index in range(number):
        found.append(_answered(terminal, b"j" if index < number // 2 else b"k"))
        terminal.rest(HELD_S - found[-1])
    return found


def _answered(terminal: Terminal, key: bytes) -> float:
    begun = time.perf_counter()
    terminal.press(key)
    return time.perf_counter() - begun if terminal.until(TITLE, ANSWER_S) else ANSWER_S


def _beside(own: Terminal, folder: Path) -> tuple[list[float], list[float]]:
    """The same keys in turns, on the screen in the engine's process and on one in a process of its own."""
    run = next(folder.glob("*/*/journal.db")).parent.name
    attached = Terminal("attach", run, "--state-dir", str(folder))
    try:
        if not attached.until(TITLE, LONGEST_S):
            raise SystemExit("the second screen was not painted")
        attached.press(b"o")
        attached.rest(3.0)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(KEYS // TURN):
            for screen, other, found in ((own, attached, times[0]), (attached, own, times[1])):
                found += _keys(screen, TURN)
                other.rest(0.1)
        return times
    finally:
        attached.end()


def _spread(seconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    return statistics.median(seconds) * 1000, statistics.quantiles(seconds, n=100)[98] * 1000


# --- starting ----------------------------------------------------------------------------------------------------


def _start(report: Report) -> None:
    """From the program's start to its first frame and to its whole screen, beside loading the screen library alone."""
    bare, painted, whole = [], [], []
    with _folder() as folder:
        repo = Repo.init(folder / "repo", initial_branch="main")
        (folder / "repo" / "README.md").write_text("# A project\n")
        repo.index.add(["README.md"])
        repo.index.commit("Begin")
        words = (str(folder / "repo"), "--model", "rehearsal:notes", "--check", "", "--state-dir", str(folder))
        kept = _bytecode(folder)
        for _ in range(1 + STARTS):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import textual.app"], check=True, env={**os.environ, **kept})
            bare.append(time.perf_counter() - begun)
            terminal = Terminal(*words, environ=kept)
            try:
                for mark, ages in ((b"swarm", painted), (b"what should the swarm build?", whole)):
                    if not terminal.until(mark, LONGEST_S):
                        raise SystemExit("nothing was painted")
                    ages.append(terminal.age())
            finally:
                terminal.end()
    report.figures |= {
        "first_paint_ms": round(1000 * statistics.median(painted[1:])),
        "first_paint_least_ms": round(1000 * min(painted[1:])),
        "screen_ms": round(1000 * statistics.median(whole[1:])),
        "screen_least_ms": round(1000 * min(whole[1:])),
        "library_alone_ms": round(1000 * statistics.median(bare[1:])),
        "first_paint_without_bytecode_ms": round(1000 * painted[0]),
        "screen_without_bytecode_ms": round(1000 * whole[0]),
    }
    report.ratios["first_paint_to_library_alone"] = ratio(min(painted), min(bare))
    report.ratios["screen_to_library_alone"] = ratio(min(whole), min(bare))


def _bytecode(folder: Path) -> dict[str, str]:
    """What makes Python keep its bytecode, apart from what the machine has already."""
    return {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}


# --- a long run --------------------------------------------------------------------------------------------------


def _long(report: Report, agents: int, events: int) -> None:
    """A run of many agents and events, opened and replayed from end to end."""
    with _folder() as folder:
        week = asyncio.run(_record(folder, agents, events))
        run = week.snapshot.run
        many = f" · {len(week.snapshot.agents)} · ".encode()
        opened: list[float] = []
        for _ in range(1 + STARTS):
            terminal = Terminal("attach", run, "--state-dir", str(folder), environ=_bytecode(folder))
            try:
                if not terminal.until(many, LONGEST_S):
                    raise SystemExit("the long run was not opened")
                opened.append(terminal.age())
            finally:
                terminal.end()
        quarter, end = _replay(folder, run, week.snapshot.seq)
    report.figures |= {
        "opened_long_ms": round(1000 * statistics.median(opened[1:])),
        "opened_long_least_ms": round(1000 * min(opened[1:])),
        "long_agents": len(week.snapshot.agents),
        "long_events": week.snapshot.seq,
        "memory_mib_quarter": round(quarter / 2**20, 1),
        "memory_mib_end": round(end / 2**20, 1),
    }
    report.ratios["memory_end_to_quarter"] = ratio(end, quarter)


async def _record(folder: Path, agents: int, events: int) -> Week:
    week = Week(workers=agents // 2)  # each has a subplanner
    batches = week.batches()
    batch = next(batches)
    path = folder / "bench-0" / week.snapshot.run
    path.mkdir(parents=True)
    journal = await SqliteJournal.open(path / "journal.db")
    while True:
        journal.append(batch)
        journal.checkpoint(week.snapshot)
        if journal.last_seq - journal.durable_seq > 5_000:
            await journal.durable(journal.last_seq - 2_500)
        if week.snapshot.seq >= events and len(week.snapshot.agents) > agents:
            break
        batch = next(batches)
    await journal.close()
    return week


def _replay(folder: Path, run: str, events: int) -> tuple[int, int]:
    """Bytes of memory after a quarter of the events, and after all: what grows is what is kept of each."""
    terminal = Terminal("replay", run, "--state-dir", str(folder))
    try:
        if not terminal.until(b"event ", LONGEST_S):
            raise SystemExit("the replay did not begin")
        terminal.press(b"}" * 20)  # as fast as it goes
        quarter, at, tail, deadline = 0, 0, b"", time.perf_counter() + 4 * LONGEST_S
        while at < events and time.perf_counter() < deadline:
            tail = (tail + terminal.read(1.0))[-65_536:]
            at = max((int(found.replace(b",", b"")) for found in _EVENT.findall(tail)), default=at)
            if not quarter and at >= events // 4:
                quarter = terminal.memory()
        terminal.rest(3.0)
        return quarter, terminal.memory()
    finally:
        terminal.end()


if __name__ == "__main__":
    run(sys.argv[1:]).show()
