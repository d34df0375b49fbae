"""Does a plan in one of the ways, in a process of its own: `python -m tests.bench.alternatives.child WAY FOLDER`.

The folder has `plan.json` and `source/`. What became of the plan is written to `outcome.json` there, and the account of
the agents' calls, unless a model server keeps it, to `account.json`.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from tests.bench.alternatives.merge_queue import by_queue
from tests.bench.alternatives.orchestrator import by_orchestrator
from tests.bench.alternatives.pull_loop import by_pulling
from tests.bench.alternatives.swarm import by_swarm
from tests.bench.alternatives.work import Account, Outcome, Plan

PR_SET_CHILD_SUBREAPER = 36
Way = Callable[[Path, Path, Plan, Account], Awaitable[Outcome]]
WAYS: dict[str, tuple[Way, str]] = {
    "pull --rebase, push": (lambda *on: by_pulling(*on, check=False), "agents"),
    "pull --rebase, check, push": (lambda *on: by_pulling(*on, check=True), "agents"),
    "merge queue, serial": (lambda *on: by_queue(*on, batch=1, ahead=1), "agents"),
    "merge queue, batches of 16": (lambda *on: by_queue(*on, batch=16, ahead=1), "agents"),
    "merge queue, 5 x 4 ahead": (lambda *on: by_queue(*on, batch=4, ahead=5), "agents"),
    "orchestrator": (by_orchestrator, "project/.sdd/worktrees"),
    "swarm-tui, no sandbox": (lambda *on: by_swarm(*on, level="off"), "state"),
    "swarm-tui": (lambda *on: by_swarm(*on, level="auto"), "state"),
}
"""Each way, and where below its folder the agents' copies are."""


def main(name: str, folder: Path) -> None:
    # Whatever a way leaves running becomes this process's child, so that its CPU time is counted.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan)
    account = Account()
    outcome = asyncio.run(WAYS[name][0](folder / "way", folder / "source", plan, account))
    (folder / "outcome.json").write_bytes(msgspec.json.encode(outcome))
    (folder / "account.json").write_bytes(msgspec.json.encode(account))
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
