"""Keeps trunk's commits since the run's base, and the tasks they landed, in memory after reading them from git once."""

import asyncio

from engine.domain.commit_message import trailers_of
from engine.domain.os_text import output_text
from engine.domain.types import CommitId, TaskId
from engine.repo.git.git import Git

TASK_TRAILER = "Swarm-Task"


class TrunkHistory:
    """Trunk's commits along first parents, oldest first. Call `update_to` with the current tip before any query."""

    def __init__(self, git: Git, base: CommitId) -> None:
        self._git = git
        self._updating = asyncio.Lock()
        self._start([base])

    def _start(self, order: list[CommitId]) -> None:
        self._order = order
        self._positions = {commit: position for position, commit in enumerate(order)}
        self._tasks: dict[TaskId, CommitId] = {}

    async def update_to(self, tip: CommitId) -> None:
        """Read new commits up to `tip`, which another process may have set. Raises SwarmError (git)."""
        async with self._updating:
            known = self._order[-1]
            if tip == known:
                return
            log = await self._log(f"{known}..{tip}")
            if not log or log[0][1] != known:  # trunk was rewritten: it no longer contains the newest known commit
                log = await self._log(f"{self._order[0]}..{tip}")
                self._start(self._order[:1])
            for commit, _, message in log:
                self.append(commit, message)

    def append(self, commit: CommitId, message: str) -> None:
        """Add a commit on top, unless it is known."""
        if commit in self._positions:
            return
        self._positions[commit] = len(self._order)
        self._order.append(commit)
        named = [value for name, value in trailers_of(message) if name == TASK_TRAILER]
        if len(named) == 1:
            self._tasks[TaskId(named[0])] = commit

    def __contains__(self, commit: CommitId) -> bool:
        return commit in self._positions

    def commit_of(self, task: TaskId) -> CommitId | None:
        return self._tasks.get(task)

    def since(self, commit: CommitId) -> list[CommitId] | None:
        """The commits after `commit`; None when it is not in the history."""
        position = self._positions.get(commit)
        return None if position is None else self._order[position + 1 :]

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
