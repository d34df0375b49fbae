"""Scripted agents in git worktrees, for ways that are scripts around git. Only their commands cost CPU."""

import asyncio
import os
from pathlib import Path

from tests.bench.alternatives.work import TOKEN, Account, Plan, command, next_step
from tests.git import IDENTITY

PROMPT_TOKENS = 3_100
"""What a call sends besides the conversation: about what a worker of swarm-tui is told, with its tools."""
CALL_TOKENS = 60
"""What a call adds to the conversation besides its command and the output."""


async def run(folder: Path, *words: str) -> tuple[int, str]:
    """Run a program; its exit status and all its output. A cancelled one is killed."""
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode()


async def git(folder: Path, *words: str) -> str:
    """Run git; its output. A failure is an error."""
    status, output = await run(folder, "git", *IDENTITY, *words)
    if status:
        raise RuntimeError(f"git {' '.join(words)}: {output}")
    return output.strip()


class Agent:
    """One agent with a worktree of its own. `conversation` is the length of what has been said about its task."""

    def __init__(self, folder: Path, plan: Plan, account: Account) -> None:
        self.folder, self.plan, self.account = folder, plan, account
        self.conversation = 0

    async def work(self, title: str, trouble: str = "", told: str = "") -> None:
        """Ask the model and run its commands until it hands off."""
        done: list[tuple[str, str]] = []
        self.conversation += len(told)
        while (step := next_step(title, trouble, done)) != "hand off":
            await self._call(title, step)
            _, output = await run(self.folder, "sh", "-c", command(title, step))
            self.conversation += len(command(title, step)) + len(output)
            done.append((step, output))
        await self._call(title, step)

    async def start(self, base: str) -> None:
        """Begin a new task at `base`."""
        self.conversation = 0
        await git(self.folder, "checkout", "-q", "--detach", "--force", base)

    async def commit(self, title: str) -> None:
        """Commit what there is; into the task's commit if it has one."""
        await git(self.folder, "add", "-A")
        same = await git(self.folder, "log", "-1", "--format=%s") == title
        await git(self.folder, "commit", "-q", "--allow-empty", *(["--amend", "--no-edit"] if same else ["-m", title]))

    async def rebase(self, title: str, *words: str) -> bool:
        """Run a git command that rebases, and resolve its conflicts. False if it failed without a conflict."""
        status, output = await run(self.folder, "git", *IDENTITY, *words)
        if status and not await self._rebasing():
            return False
        while status:
            await self.work(title, "conflict", output)
            await git(self.folder, "add", "-A")
            status, output = await run(self.folder, "git", *IDENTITY, "rebase", "--continue")
        return True

    async def _call(self, title: str, step: str) -> None:
        await asyncio.sleep(self.plan.latency_s)
        self.conversation += CALL_TOKENS * TOKEN
        self.account.add(title, step, PROMPT_TOKENS + self.conversation // TOKEN)

    async def _rebasing(self) -> bool:
        return (await run(self.folder, "git", "rev-parse", "--verify", "-q", "REBASE_HEAD"))[0] == 0


async def make_agents(repo: Path, folder: Path, plan: Plan, account: Account) -> list[Agent]:
    """A worktree for each agent, one after another: `git worktree add` at the same time fails now and then."""
    os.environ["GIT_EDITOR"] = "true"
    agents = [Agent(folder / f"agent{number}", plan, account) for number in range(plan.agents)]
    for agent in agents:
        await git(repo, "worktree", "add", "-q", "--detach", str(agent.folder), "main")
    return agents
