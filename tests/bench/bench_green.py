"""Whether green keeps its word while a tenth of what lands breaks the check: real engine, git and checks.

A scripted planner and its workers, served on the loopback, land small files, of which some hold a bug; the check looks
for bugs, and fixups take them out. All the while the branch `green` in the person's repo is looked at:
`make bench ONLY=green ARGS="--landings 300"`.
"""

import asyncio
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
from argparse import ArgumentParser
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from engine.domain.conversation import Request, Turn
from engine.domain.settings import ModelsSettings, RepoSettings, SandboxSettings, Settings, SwarmSettings
from engine.domain.types import ModelName
from tests.bench.report import Report
from tests.engine.model_server import model_server
from tests.engine.real_runs import git, make_repo, started
from tests.engine.scripts import numbered, turns
from tests.simulated import call, first_line, turn

CHECK = "! grep -l bug part-*.txt"
SETTINGS = Settings(
    models=ModelsSettings(*["openai-chat:a-model"] * 4),
    swarm=SwarmSettings(workers=8),
    repo=RepoSettings(check=CHECK, check_landings=5),
    sandbox=SandboxSettings(level="off"),
)
PARTS = 6
"""Into how many parts of the run the error rate is divided."""
LOOK_S = 0.05
"""Seconds between two looks at green."""


class Onlooker:
    """Someone who looks at a branch again and again: every commit it was seen at, in order."""

    def __init__(self, repo: Path, branch: str) -> None:
        self.seen: list[str] = []
        self.looks = 0
        self._ref = repo / ".git" / "refs" / "heads" / branch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Onlooker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                commit = self._ref.read_text().strip()
            except FileNotFoundError:
                continue
            self.looks += 1
            if commit not in self.seen[-1:]:
                self.seen.append(commit)


async def run(folder: Path, landings: int, share: float, pace: float) -> Report:
    broken = set(random.Random(7).sample(range(landings), round(landings * share)))
    script = numbered(landings, broken)
    repo = make_repo(folder / "repo", {"part-none.txt": "fine\n"})

    def brain(request: Request) -> Turn:
        at_work = first_line(request).startswith("# Task")
        if at_work and turns(request) == 0:
            return turn(call("shell", command=f"sleep {pace}"))  # as models think: landings do not outrun the checks
        first, *later = request.messages
        asked = replace(request, messages=(first, *later[2:]) if at_work else request.messages)
        made = script(ModelName("a-model"), asked)
        assert isinstance(made, Turn)
        return made

    async with model_server(brain) as server:
        live = await started(repo, folder / "state", SETTINGS, server.environ())
        branch = f"swarm/{live.snapshot.run}"
        with Onlooker(repo, f"{branch}/green") as onlooker:
            summary = await live.run()
    return examined(repo, branch, live.folder.journal, onlooker, summary.exit_status)


def examined(repo: Path, branch: str, journal: Path, onlooker: Onlooker, status: int | None) -> Report:
    with closing(sqlite3.connect(journal)) as db:
        marks = [bool(passed) for (passed,) in db.execute("SELECT passed FROM greens WHERE purpose = 'snapshot'")]
        passed = {commit for (commit,) in db.execute("SELECT commit_oid FROM greens WHERE passed")}
        [(work, fixups, repairs)] = db.execute(
            "SELECT sum(kind = 'work' AND state = 'landed'), sum(kind = 'fixup'), "
            "sum(kind = 'fixup' AND commit_oid <> '') FROM tasks"
        )
        [(searches, traced)] = db.execute("SELECT (SELECT sum(purpose = 'bisect') FROM greens), count(*) FROM breaks")
    report = Report("green", ("part", "snapshots", "failed", "error rate"))
    for part in range(PARTS):
        these = marks[len(marks) * part // PARTS : len(marks) * (part + 1) // PARTS]
        report.rows.append((part + 1, len(these), these.count(False), these.count(False) / max(1, len(these))))
    unchecked = [commit for commit in onlooker.seen if commit not in passed]
    failing = [commit for commit in onlooker.seen if has_bug(repo, commit)]
    tip, green = (git(repo, "rev-parse", f"{branch}/{name}").strip() for name in ("trunk", "green"))
    report.figures |= {
        "landed": work, "fixups": fixups, "fixups_landed": repairs, "breaks_traced": traced, "search_checks": searches,
        "looks_at_green": onlooker.looks, "greens_seen": len(onlooker.seen), "greens_unchecked": len(unchecked),
        "greens_failing": len(failing), "ends_green": int(tip == green), "exit_status": status,
    }  # fmt: skip
    rates = [float(row[3] or 0) for row in report.rows]
    report.ratios["error_rate_last_third_to_first"] = round(sum(rates[-2:]) / (sum(rates[:2]) or 1), 3)
    held = status == 0 and not unchecked and not failing and tip == green and repairs > 0 and searches is not None
    report.figures["met"] = int(held)
    report.notes.append(
        f"goal: green always at a checked commit that passes, fixups land: {'met' if held else 'missed'}"
    )
    return report


def has_bug(repo: Path, commit: str) -> bool:
    return subprocess.run(["git", "grep", "-q", "bug", commit], cwd=repo, check=False).returncode == 0


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--landings", type=int, default=100)
    parser.add_argument("--pace", type=float, default=4.0, help="seconds that a worker takes for its change")
    parser.add_argument("--share", type=float, default=0.1, help="of the landings that break the check")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(run(Path(folder), chosen.landings, chosen.share, chosen.pace))
    report.show()
    return 0 if report.figures["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
