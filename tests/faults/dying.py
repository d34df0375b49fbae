"""swarm-tui that kills itself at a named point: `python -m tests.faults.dying POINT NTH ARGUMENTS...`."""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterable
from itertools import count
from typing import Any

from engine.domain import events as e
from engine.domain.types import CommitId
from engine.journal import writer
from engine.repo.git.refs import Refs
from engine.repo.landing import user_branches
from engine.repo.landing.trunk import GitTrunk
from engine.repo.workspaces.workspace import AgentWorkspace
from tui.cli import main


class Death:
    """Kills this process the nth time that its point is reached."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._nth = nth
        self._times = count(1)

    def at(self, point: str) -> None:
        if point == self._point and next(self._times) == self._nth:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(death: Death) -> None:
    """Patch the points into the engine."""
    swap, green, send = Refs.compare_and_swap, GitTrunk.move_green, user_branches._send_objects
    transact, rows, advance = writer.SqliteJournal._transact, writer.SqliteJournal._rows, AgentWorkspace.advance

    async def dying_swap(self: Refs, ref: str, new: CommitId, old: CommitId | None) -> bool:
        landing = ref == "refs/heads/trunk"
        if landing:
            death.at("before-swap")
        swapped = await swap(self, ref, new, old)
        if landing and swapped:
            death.at("after-swap")
        return swapped

    async def dying_green(self: GitTrunk, commit: CommitId) -> None:
        death.at("before-green")
        await green(self, commit)
        death.at("after-green")

    async def dying_sending(*args: Any) -> None:
        await send(*args)
        death.at("in-publish")

    def dying_rows(self: writer.SqliteJournal, events: Iterable[e.Event], writes: list[Any]) -> Any:
        for event, row in zip(events, rows(self, list(events), writes), strict=True):
            yield row
            if _landed(event):
                death.at("in-transaction")

    def dying_transact(self: writer.SqliteJournal, db: sqlite3.Connection, events: list[e.Event]) -> None:
        transact(self, db, events)
        if any(map(_landed, events)):
            death.at("after-commit")

    async def dying_advance(self: AgentWorkspace, commit: CommitId, base: CommitId) -> None:
        if commit != base:
            death.at("conflict-told")
        await advance(self, commit, base)

    Refs.compare_and_swap = dying_swap  # type: ignore[method-assign]
    GitTrunk.move_green = dying_green  # type: ignore[method-assign]
    user_branches._send_objects = dying_sending  # type: ignore[assignment]
    writer.SqliteJournal._rows = dying_rows  # type: ignore[method-assign]
    writer.SqliteJournal._transact = dying_transact  # type: ignore[method-assign]
    AgentWorkspace.advance = dying_advance  # type: ignore[method-assign]


def _landed(event: e.Event) -> bool:
    return isinstance(event.body, e.LandingFinished) and event.body.landing.commit is not None


if __name__ == "__main__":
    arm(Death(sys.argv[1], int(sys.argv[2])))
    sys.argv = ["swarm-tui", *sys.argv[3:]]
    sys.exit(main())
