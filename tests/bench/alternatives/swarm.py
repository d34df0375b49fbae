"""swarm-tui itself: a real run whose planner asks for the tasks."""

import asyncio
import contextlib
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from engine.domain.settings import ModelsSettings, RepoSettings, SandboxSettings, Settings, SwarmSettings
from tests.bench.alternatives.work import Account, Outcome, Plan
from tests.engine.real_runs import started


async def by_swarm(folder: Path, source: Path, plan: Plan, account: Account, level: str) -> Outcome:
    """Do a plan in this way. The model server, whose address is in the environment, keeps the account."""
    start, began_at = time.monotonic(), time.time_ns() // 1000
    settings = Settings(
        models=ModelsSettings(*["openai-chat:a-model"] * 4),
        swarm=SwarmSettings(workers=plan.agents),
        repo=RepoSettings(check="sh check.sh"),
        sandbox=SandboxSettings(level=level),  # type: ignore[arg-type]
    )
    live = await started(source, folder / "state", settings, os.environ)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(plan.longest_s):
            await live.run()
    outcome = Outcome({}, [], str(live.folder.trunk), time.monotonic() - start)
    with closing(sqlite3.connect(live.folder.journal)) as db:
        landings = "SELECT (at - ?) / 1e6, commit_oid FROM landings WHERE commit_oid IS NOT NULL ORDER BY at"
        outcome.tips = db.execute(landings, (began_at,)).fetchall()
        tasks = "SELECT title, (ended - ?) / 1e6 FROM tasks WHERE kind = 'work' AND state = 'landed'"
        outcome.landed = dict(db.execute(tasks, (began_at,)).fetchall())
        if outcome.tips:
            checked = "SELECT (min(at) - ?) / 1e6 FROM greens WHERE commit_oid = ? AND passed AND clean"
            [(outcome.green_s,)] = db.execute(checked, (began_at, outcome.tips[-1][1]))
        [(fixups, checks)] = db.execute(
            "SELECT (SELECT count(*) FROM tasks WHERE kind = 'fixup'), (SELECT count(*) FROM greens)"
        )
    outcome.notes.append(f"{checks} checks of trunk, {fixups} fixups")
    return outcome
