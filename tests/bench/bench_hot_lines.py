"""Tasks that all append to one line, beside tasks elsewhere: what precedence and union save, on a real trunk.

Run with `python -m tests.bench hot_lines [--hot N] [--cold N,N] [--workers N]`. Workers are scripted and their model
calls take about a second of virtual time; the trunk and the journal are real. `without` is a precedence that ends at
once, so that every resolution competes with all others; then conflicts, tokens and failures show what it saves.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from engine.domain.settings import LandingSettings, Settings, SwarmSettings
from tests import simulated
from tests.bench.report import Report, ratio
from tests.engine.swarms import fresh
from tests.simulated import hot_lines
from tests.simulated.hot_lines import LIST, Cost, cost, plan
from tests.simulated.on_disk import world_on_disk

WAYS: dict[str, tuple[str, list[str]]] = {"without": ("1ms", []), "precedence": ("10m", []), "union": ("10m", [LIST])}
"""The setting `precedence`, and the files that may be merged by union."""


def measure(hot: int, cold: int, workers: int, precedence: str, union: list[str]) -> Cost:
    """One swarm; hot and cold tasks take turns in its plan."""
    most = max(hot, cold)
    titles = [
        f"{kind} {at}" for at in range(most) for kind, count in (("hot", hot), ("cold", cold)) if at * count // most < (
            (at + 1) * count // most
        )
    ]  # fmt: skip
    settings = Settings(swarm=SwarmSettings(workers=workers), landing=LandingSettings(precedence))

    async def main(clock: simulated.SimulatedClock) -> Cost:
        with tempfile.TemporaryDirectory(prefix="bench-hot-lines-") as folder:
            w = await world_on_disk(
                Path(folder),
                clock,
                plan(titles),
                seed=1,
                shell=hot_lines.shell,
                disk=simulated.Disk(clock),
                files=hot_lines.FILES,
                union=union,
            )
            await w.open()
            swarm = fresh(w, settings)
            await swarm.run()
            found = cost(swarm, w)
            await w.journal.close()
            return found

    return simulated.simulate(main)


def run(options: list[str]) -> Report:
    """Measure each mixture of hot and cold tasks in all ways."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench hot_lines")
    parser.add_argument("--hot", type=int, default=40)
    parser.add_argument("--cold", default="0,40,200")
    parser.add_argument("--workers", type=int, default=12)
    arguments = parser.parse_args(options)
    columns = ("hot", "cold", "way", "landed", "failed", "conflicts", "resolving", "tokens", "cold_s", "all_s")
    report = Report("hot_lines", columns)
    for cold in map(int, arguments.cold.split(",")):
        found = {way: measure(arguments.hot, cold, arguments.workers, *how) for way, how in WAYS.items()}
        for way, c in found.items():
            row = (c.landed, c.failed, c.conflicts, c.resolving, c.tokens, c.cold_seconds, c.seconds)
            report.rows.append((arguments.hot, cold, way, *row))
        before = found.pop("without")
        for way, c in found.items():
            name = f"{way}_{arguments.hot}_hot_{cold}_cold"
            report.figures[f"conflicts_per_hot_task_{name}"] = round(c.conflicts / max(1, arguments.hot), 2)
            report.ratios[f"tokens_per_landing_{name}"] = ratio(c.tokens / c.landed, before.tokens / before.landed)
            if cold:
                report.ratios[f"cold_time_{name}"] = ratio(c.cold_seconds, before.cold_seconds)
    report.notes.append("resolving: model calls about a conflict; seconds are virtual; ratios to `without`")
    return report


if __name__ == "__main__":
    run(sys.argv[1:]).show()
