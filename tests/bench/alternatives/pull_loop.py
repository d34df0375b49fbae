"""A worktree for each agent, which repeats `git pull --rebase` and `git push` until the push succeeds.

With `check` the agent also checks what the rebase has made, before each push.
"""

import asyncio
import contextlib
import time
from collections import deque
from pathlib import Path

from tests.bench.alternatives.agents import Agent, git, make_agents, run
from tests.bench.alternatives.work import CHECK, FAILED, Account, Outcome, Plan


async def by_pulling(folder: Path, source: Path, plan: Plan, account: Account, check: bool) -> Outcome:
    """Do a plan in this way."""
    start = time.monotonic()
    shared, clone = folder / "shared.git", folder / "clone"
    await git(folder, "clone", "-q", "--bare", str(source), str(shared))
    await git(folder, "clone", "-q", str(shared), str(clone))
    await git(clone, "checkout", "-q", "--detach")
    outcome = Outcome({}, [], str(shared), 0.0)
    remaining = deque(plan.titles)
    lost_races = 0

    async def land(agent: Agent, title: str) -> None:
        nonlocal lost_races
        while True:
            while not await agent.rebase(title, "pull", "-q", "--rebase", "origin", "main"):
                lost_races += 1  # another worktree has locked the ref that both update
            if check and FAILED in (found := (await run(agent.folder, "sh", "-c", CHECK))[1]):
                await agent.work(title, "check", found)
                await agent.commit(title)
            status, _ = await run(agent.folder, "git", "push", "-q", "origin", "HEAD:main")
            if not status:
                outcome.landed[title] = time.monotonic() - start
                outcome.tips.append((outcome.landed[title], await git(agent.folder, "rev-parse", "HEAD")))
                return
            lost_races += 1

    async def land_remaining(agent: Agent) -> None:
        while remaining:
            title = remaining.popleft()
            await agent.start("origin/main")
            await agent.work(title)
            await agent.commit(title)
            await land(agent, title)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(plan.longest_s), asyncio.TaskGroup() as group:
            for agent in await make_agents(clone, folder / "agents", plan, account):
                group.create_task(land_remaining(agent))
    outcome.over_s = time.monotonic() - start
    outcome.notes.append(f"{lost_races} pulls or pushes lost a race and were repeated")
    return outcome
