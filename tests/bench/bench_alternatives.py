"""Many agents on one repository: swarm-tui beside what a person would set up instead, with the same scripted agents.

Run with `python -m tests.bench alternatives [--tasks N] [--agents N] [--only 'WAY; …']`. The ways are scripts that
pull and push, merge queues, a public orchestrator if it is installed, and swarm-tui. Each does the same tasks in a
folder and a process of its own, one after another in one run: most change files of their own, some all add to one file,
and some break the check together. The shared branch's history is checked afterwards, commit by commit.

A model call takes `--latency` seconds and a check `--check` seconds. Both only wait, so that no way is slowed down by
checks on this machine's cores. All ways but swarm-tui are given the plan; the calls of its planner are counted apart.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import struct_rusage

import msgspec

from tests.bench.alternatives.child import WAYS
from tests.bench.alternatives.model import serving_models
from tests.bench.alternatives.orchestrator import installed
from tests.bench.alternatives.work import Account, Outcome, Plan, make_source, red, titles
from tests.bench.report import Figure, Report, ratio

SAMPLE_S = 1.0
"""Between two looks at the disk."""
GRACE_S = 60.0
USUAL = (
    *("pull --rebase, push", "pull --rebase, check, push", "merge queue, serial", "merge queue, batches of 16"),
    *("orchestrator", "swarm-tui"),
)
"""The ways of one run, which takes at most seven minutes: each is stopped after `--longest`."""
COLUMNS = (
    *("way", "landed", "of", "landed/s", "first s", "all green s", "red states %", "ends", "calls wasted"),
    *("tokens wasted %", "planning calls", "CPU s/landing", "MiB/agent", "MiB"),
)


class Measured(msgspec.Struct):
    """What one way did with the plan. `red` has whether each state of the shared branch fails the check."""

    outcome: Outcome
    account: Account
    cpu_s: float
    disk_mib: float
    copies_mib: float
    red: list[bool]


async def measure(folder: Path, name: str, plan: Plan, check_s: float) -> Measured:
    """Do the plan in one way, in a process of its own."""
    await asyncio.to_thread(_prepare, folder, plan, check_s)
    async with serving_models(plan) as (url, account):
        environ = {**os.environ, "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{url}/v1"}
        command = [sys.executable, "-m", "tests.bench.alternatives.child", name, str(folder)]
        child = await asyncio.to_thread(subprocess.Popen, command, env=environ)
        ended = asyncio.create_task(asyncio.to_thread(os.wait4, child.pid, 0))
        whole = copies = 0.0
        try:
            async with asyncio.timeout(plan.longest_s + GRACE_S):
                while not ended.done():
                    await asyncio.wait([ended], timeout=SAMPLE_S)
                    whole = max(whole, await asyncio.to_thread(_mib, folder / "way"))
                    copies = max(copies, await asyncio.to_thread(_mib, folder / "way" / WAYS[name][1]))
        except TimeoutError:
            child.kill()
        _, _, used = await ended
    return await asyncio.to_thread(_collect, folder, account, used, whole, copies)


def _prepare(folder: Path, plan: Plan, check_s: float) -> None:
    for name in ("source", "way"):
        (folder / name).mkdir()
    make_source(folder / "source", plan, check_s)
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))


def _collect(folder: Path, account: Account, used: struct_rusage, whole: float, copies: float) -> Measured:
    outcome = msgspec.json.decode((folder / "outcome.json").read_bytes(), type=Outcome)
    own = msgspec.json.decode((folder / "account.json").read_bytes(), type=Account)
    if any(own.calls.values()):
        account = own
    states = red(Path(outcome.repo), [commit for _, commit in outcome.tips], folder / "scratch")
    return Measured(outcome, account, used.ru_utime + used.ru_stime, whole, copies, states)


def _mib(folder: Path) -> float:
    found = subprocess.run(["du", "-sk", str(folder)], capture_output=True, text=True, check=False).stdout
    return float(found.split("\t")[0]) / 1024 if found else 0.0


def row(plan: Plan, found: Measured) -> dict[str, Figure]:
    """A way's figures by column."""
    outcome, account = found.outcome, found.account
    landed = len(outcome.landed)
    last = max(outcome.landed.values(), default=0.0)
    whole = landed == len(plan.titles) and not found.red[-1]
    green = outcome.green_s if outcome.green_s is not None or not whole else last
    tokens = account.tokens["planned"] + account.tokens["wasted"]
    return {
        "landed": landed,
        "of": len(plan.titles),
        "landed/s": landed / last if last else 0.0,
        "first s": outcome.tips[0][0] if outcome.tips else None,
        "all green s": green,
        "red states %": 100 * sum(found.red) / max(1, len(found.red)),
        "ends": "red" if found.red and found.red[-1] else "green",
        "calls wasted": account.calls["wasted"],
        "tokens wasted %": 100 * account.tokens["wasted"] / max(1, tokens),
        "planning calls": account.calls["planning"],
        "CPU s/landing": found.cpu_s / max(1, landed),
        "MiB/agent": found.copies_mib / (outcome.agents or plan.agents),
        "MiB": found.disk_mib,
    }


def run(options: list[str]) -> Report:
    """Measure all ways, or those named."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench alternatives")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--hot", type=float, default=0.2, help="share of the tasks that add to the same file")
    parser.add_argument("--pairs", type=float, default=0.2, help="share of the tasks that break the check in pairs")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of a model call")
    parser.add_argument("--check", type=float, default=1.0, help="seconds of a check")
    parser.add_argument("--longest", type=float, default=70.0, help="seconds after which a way is stopped")
    parser.add_argument("--only", default=";".join(USUAL), help=f"some of: {'; '.join(WAYS)}")
    arguments = parser.parse_args(options)
    plan = Plan(
        titles(arguments.tasks, arguments.hot, arguments.pairs),
        arguments.agents,
        arguments.latency,
        arguments.longest,
        arguments.files,
    )
    report = Report("alternatives", COLUMNS)
    names = [name for name in WAYS if name in [each.strip() for each in arguments.only.split(";")]]
    rows: dict[str, dict[str, Figure]] = {}
    for name in names:
        if name == "orchestrator" and installed() is None:
            report.notes.append("orchestrator: skipped, Bernstein is not installed (`pip install bernstein`)")
            continue
        folder = Path(tempfile.mkdtemp(prefix="bench-alternatives-", dir=os.environ.get("BENCH_DIR")))
        try:
            found = asyncio.run(measure(folder, name, plan, arguments.check))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        rows[name] = row(plan, found)
        sys.stderr.write(f"{name}: {rows[name]}\n")
        report.rows.append((name, *rows[name].values()))
        wasted = ", ".join(f"{count} {step}" for step, count in sorted(found.account.steps.items()))
        report.notes.append(f"{name}: {'; '.join([*found.outcome.notes, f'wasted calls: {wasted or None}'])}")
        report.figures |= {f"{name}: {column}": value for column, value in rows[name].items()}
    best = rows.get("swarm-tui")
    for name, figures in rows.items():
        if best and figures is not best:
            report.ratios[f"landed/s, swarm-tui to {name}"] = ratio(best["landed/s"], figures["landed/s"])  # type: ignore[arg-type]
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()
