"""Keeps trunk's commits since the run's base, and the tasks they landed, in memory after reading them from git once.

A landing takes 44 bytes, so that the memory of a long run hardly grows: its commit id, and for its commit and its task
a 64-bit hash with the landing's position, sorted by hash.
"""

import asyncio

from engine.domain.commit_message import trailers_of
from engine.domain.os_text import output_text
from engine.domain.types import CommitId, TaskId
from engine.repo.git.git import Git
from engine.repo.git.packed_ids import Positions

TASK_TRAILER = "Swarm-Task"


class TrunkHistory:
    """Trunk's commits along first parents, oldest first. Call `update_to` with the current tip before any query."""

    def __init__(self, git: Git, base: CommitId) -> None:
        self._git = git
        self._updating = asyncio.Lock()
        self._start(base)

    def _start(self, base: CommitId) -> None:
        self._order = bytearray.fromhex(base)
        self._size = len(self._order)
        """Bytes of one commit id."""
        self._commits, self._tasks = Positions(), Positions()
        self._commits.add(base, 0)

    def __len__(self) -> int:
        return len(self._order) // self._size

    def __getitem__(self, position: int) -> CommitId:
        return CommitId(self._order[position * self._size : (position + 1) * self._size].hex())

    async def update_to(self, tip: CommitId) -> None:
        """Read new commits up to `tip`, which another process may have set. Raises SwarmError (git)."""
        async with self._updating:
            known = self[len(self) - 1]
            if tip == known:
                return
            log = await self._log(f"{known}..{tip}")
            if not log or log[0][1] != known:  # trunk was rewritten: it no longer contains the newest known commit
                log = await self._log(f"{self[0]}..{tip}")
                self._start(self[0])
            for commit, _, message in log:
                self.append(commit, message)

    def append(self, commit: CommitId, message: str) -> None:
        """Add a commit on top, unless it is known."""
        if commit in self:
            return
        position = len(self)
        self._commits.add(commit, position)
        self._order += bytes.fromhex(commit)
        named = [value for name, value in trailers_of(message) if name == TASK_TRAILER]
        if len(named) == 1:
            self._tasks.add(named[0], position)

    def __contains__(self, commit: CommitId) -> bool:
        position = self._commits.get(commit)
        return position is not None and self[position] == commit

    def commit_of(self, task: TaskId) -> CommitId | None:
        position = self._tasks.get(task)
        return None if position is None else self[position]

    def since(self, commit: CommitId) -> list[CommitId] | None:
        """The commits after `commit`; None when it is not in the history."""
        position = self._commits.get(commit)
        if position is None or self[position] != commit:
            return None
        later, width = self._order[(position + 1) * self._size :].hex(), 2 * self._size
        return [CommitId(later[at : at + width]) for at in range(0, len(later), width)]

    async def _log(self, commits: str) -> list[tuple[CommitId, str, str]]:
        """Id, first parent and message of each commit, oldest first."""
        log = await self._git.run("log", "--first-parent", "--reverse", "-z", "--format=%H %P%n%B", commits, "--")
        found = []
        for entry in output_text(log.out).split("\0"):
            ids, _, message = entry.partition("\n")
            if ids:
                commit, *parents = ids.split(" ")
                found.append((CommitId(commit), parents[0] if parents else "", message))
        return found
