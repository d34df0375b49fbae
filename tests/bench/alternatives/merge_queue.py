"""A merge queue: the shared branch moves only to commits whose check has passed.

The rules are those of bors and of GitHub's merge queue. Entries are merged on top of the branch in groups of up to
`batch`; up to `ahead` groups are checked at the same time, each on top of the one before. If a group passes and all
before it have landed, the branch moves to it. If the first group fails, all that was built on it is discarded; a group
of several is split in halves, a single entry goes back to its agent. An entry that conflicts with one that is still
being checked waits for its verdict.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.alternatives.agents import Agent, git, make_agents, run
from tests.bench.alternatives.work import CHECK, PASSED, Account, Outcome, Plan

Check = Callable[[str], Awaitable[bool]]
"""Whether a commit passes."""
IDLE_S = 0.02
"""Between two looks of an agent that has nothing to do."""


@dataclass(frozen=True)
class Entry:
    """A commit that wants to land, and how long its agent's conversation is."""

    title: str
    commit: str
    conversation: int = 0


Landed = Callable[[str, list[Entry]], None]


@dataclass(frozen=True)
class Group:
    """Entries, the commit that has them all on top of what is ahead, and the check of it."""

    entries: list[Entry]
    result: str
    checking: asyncio.Future[bool]
    split: bool


class MergeQueue:
    """Lands entries on `main` of a repository, and says so to `on_landed`."""

    def __init__(self, repo: Path, main: str, check: Check, batch: int, ahead: int, on_landed: Landed) -> None:
        self.repo, self.main, self.check = repo, main, check
        self.batch, self.ahead, self.on_landed = batch, ahead, on_landed
        self.waiting: deque[Entry] = deque()
        self.returned: deque[tuple[Entry, str]] = deque()
        """Entries that their agents have to repair, with `conflict` or `check`."""
        self.checks = 0
        self._groups: list[Group] = []
        self._sizes: deque[int] = deque()
        """Sizes of the next groups, after one was split."""
        self._came = asyncio.Event()

    def add(self, entry: Entry) -> None:
        self.waiting.append(entry)
        self._came.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            while True:
                await self._fill()
                self._came.clear()
                came = asyncio.create_task(self._came.wait())
                try:
                    await asyncio.wait(
                        [came, *(each.checking for each in self._groups[:1])], return_when="FIRST_COMPLETED"
                    )
                finally:
                    came.cancel()
                if self._groups and self._groups[0].checking.done():
                    await self._settle()
        finally:
            for group in self._groups:
                group.checking.cancel()

    async def _fill(self) -> None:
        while self.waiting and len(self._groups) < self.ahead:
            split = bool(self._sizes)
            size = self._sizes.popleft() if split else self.batch
            tip = self._groups[-1].result if self._groups else self.main
            taken: list[Entry] = []
            passed_over: list[Entry] = []
            while self.waiting and len(taken) < size:
                entry = self.waiting.popleft()
                if merged := await self._merge(tip, entry):
                    taken.append(entry)
                    tip = merged
                elif tip == self.main:
                    self.returned.append((entry, "conflict"))
                else:
                    passed_over.append(entry)
            self.waiting.extendleft(reversed(passed_over))
            if not taken:
                return
            self.checks += 1
            self._groups.append(Group(taken, tip, asyncio.ensure_future(self.check(tip)), split))

    async def _settle(self) -> None:
        first, *behind = self._groups
        if first.checking.result():
            await git(self.repo, "update-ref", "refs/heads/main", first.result, self.main)
            self.main = first.result
            self.on_landed(first.result, first.entries)
            self._groups = behind
            return
        for group in behind:
            group.checking.cancel()
        again = [entry for group in behind for entry in group.entries]
        sizes = [len(group.entries) for group in behind if group.split]
        if len(first.entries) == 1:
            self.returned.append((first.entries[0], "check"))
        else:
            half = len(first.entries) // 2
            again = first.entries + again
            sizes = [half, len(first.entries) - half, *sizes]
        self._groups = []
        self._sizes = deque(sizes)
        self.waiting.extendleft(reversed(again))

    async def _merge(self, tip: str, entry: Entry) -> str | None:
        status, output = await run(self.repo, "git", "merge-tree", "--write-tree", tip, entry.commit)
        if status:
            return None
        return await git(self.repo, "commit-tree", "-p", tip, "-m", entry.title, output.strip())


async def stopped(serving: asyncio.Task[None]) -> None:
    """End a queue that is served; why it failed, if it did."""
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def by_queue(folder: Path, source: Path, plan: Plan, account: Account, batch: int, ahead: int) -> Outcome:
    """Do a plan in this way. An agent takes its next task while its last one waits in the queue."""
    start = time.monotonic()
    repo = folder / "shared.git"
    await git(folder, "clone", "-q", "--bare", str(source), str(repo))
    rooms: asyncio.Queue[Path] = asyncio.Queue()
    (folder / "checks").mkdir()
    agents = await make_agents(repo, folder / "agents", plan, account)
    for number in range(ahead):
        await git(repo, "worktree", "add", "-q", "--detach", str(folder / "checks" / str(number)), "main")
        rooms.put_nowait(folder / "checks" / str(number))

    async def check(commit: str) -> bool:
        room = await rooms.get()
        try:
            checkout = asyncio.ensure_future(git(room, "checkout", "-q", "--detach", "--force", commit))
            try:
                await asyncio.shield(checkout)
            except asyncio.CancelledError:
                await checkout  # a killed git would leave its lock in the worktree
                raise
            return PASSED in (await run(room, "sh", "-c", CHECK))[1]
        finally:
            rooms.put_nowait(room)

    outcome = Outcome({}, [], str(repo), 0.0)

    def landed(tip: str, entries: list[Entry]) -> None:
        now = time.monotonic() - start
        outcome.landed |= {entry.title: now for entry in entries}
        outcome.tips.append((now, tip))

    queue = MergeQueue(repo, await git(repo, "rev-parse", "main"), check, batch, ahead, landed)
    remaining = deque(plan.titles)

    async def work(agent: Agent) -> None:
        while len(outcome.landed) < len(plan.titles) and not serving.done():
            if queue.returned:
                entry, trouble = queue.returned.popleft()
                title = entry.title
                await agent.start(entry.commit)
                agent.conversation = entry.conversation
                await agent.rebase(title, "rebase", "-q", "main")
                if trouble == "check":
                    await agent.work(title, "check")
            elif remaining:
                title = remaining.popleft()
                await agent.start("main")
                await agent.work(title)
            else:
                await asyncio.sleep(IDLE_S)
                continue
            await agent.commit(title)
            queue.add(Entry(title, await git(agent.folder, "rev-parse", "HEAD"), agent.conversation))

    serving = asyncio.create_task(queue.run())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(plan.longest_s), asyncio.TaskGroup() as group:
            for each in agents:
                group.create_task(work(each))
    await stopped(serving)
    outcome.over_s = time.monotonic() - start
    outcome.notes.append(f"{queue.checks} checks by the queue")
    return outcome
