"""Kills the real program repeatedly during one long run, then resumes it to its end: part of `make faults`.

`python -m tests.faults.many_kills --kills 200 --tasks 200 --seed 1` prints one line about the result. It takes too long
for everyday tests; `test_kill.py` does the same on a small scale.
"""

import random
import shutil
import sqlite3
import sys
import tempfile
import time
from argparse import ArgumentParser
from contextlib import closing
from pathlib import Path

from tests.engine.real_runs import git
from tests.faults.programs import Case

PLANNERS = 4
EARLY = (1, 40)
"""Events after which a process that is ahead is killed: enough to recover."""
LATER = (60, 160)
"""Events of one that is behind: enough to land some tasks, so that none fails for being lost ten times."""
WORKERS = 2
"""Workers at a time: each kill loses only so many tasks."""
LEFT = 8
"""Tasks left for the last process, which is not killed."""


def landed(case: Case) -> int:
    return int(str(case.ask("SELECT coalesce(max(landed), 0) FROM runs")[0][0])) if case.runs() else 0


def kill(case: Case, kills: int, tasks: int, draw: random.Random) -> None:
    """Kill the run `kills` times while it works."""
    while case.kills < kills:
        ahead = landed(case) >= min(tasks * case.kills // (kills + 1), tasks - LEFT)
        if not case.killed_after(draw.randrange(*(EARLY if ahead else LATER)), wait_s=draw.random() * 0.05):
            raise AssertionError(f"it ended after {case.kills} kills: {case.said[-2000:]}")
        if case.kills % 10 == 0:
            sys.stderr.write(f"{case.kills} kills, {landed(case)} of {tasks} tasks landed\n")


def verdict(case: Case) -> str:
    """Examine the result; returns one line about it."""
    case.none_survive()
    case.examine()
    store = case.run.folder.trunk
    for repo in (store, case.repo):
        git(repo, "fsck", "--full", "--no-dangling")
    with closing(sqlite3.connect(f"file:{case.run.folder.journal}?mode=ro", uri=True)) as journal:
        [[integrity]] = journal.execute("PRAGMA integrity_check").fetchall()
        [[tip]] = journal.execute("SELECT trunk FROM runs").fetchall()
    assert integrity == "ok", integrity
    told = [str(row[0]) for row in case.ask("SELECT commit_oid FROM landings WHERE commit_oid IS NOT NULL")]
    history = git(store, "rev-list", "refs/heads/trunk", f"^{case.ask('SELECT base FROM runs')[0][0]}").split()
    assert sorted(told) == sorted(history), "trunk is the sum of its landings"
    assert history[0] == tip
    [[lost, events]] = case.ask("SELECT (SELECT sum(losses) FROM tasks), (SELECT max(seq) FROM events)")
    return (
        f"{case.kills} kills, {landed(case)} tasks landed exactly once, nothing lost; trunk is the sum of {len(told)} "
        f"landings; attempts lost {lost}, events {events}; git fsck clean, integrity_check {integrity}"
    )


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", default=None, help="where to work; what is there stays if something is wrong")
    chosen = parser.parse_args()
    start = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="many-kills-", dir=chosen.folder))
    sys.stderr.write(f"in {folder}\n")
    load = f"planners={PLANNERS}&tasks={chosen.tasks}&conflicts=0.2&shell=0&seed={chosen.seed}"
    case = Case(folder, "load", f"rehearsal:load?speed=0&{load}", workers=WORKERS)
    kill(case, chosen.kills, chosen.tasks, random.Random(chosen.seed))
    assert case.to_its_end() == 0, case.said[-3000:]
    sys.stdout.write(f"{verdict(case)}; {time.monotonic() - start:.0f} s\n")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
