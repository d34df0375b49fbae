"""Real runs for an embedded session."""

import asyncio
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui.bridge import LiveRun, Opening, SampleProject, Settings, inspect_repo, list_samples, start_run
from tui.commands.scratch import scratch_repo


def notes() -> SampleProject:
    return next(sample for sample in list_samples() if sample.name == "notes")


def beginning(
    tmp_path: Path, model: str = "rehearsal:notes?speed=0", check: str = ""
) -> Callable[[Opening], "asyncio.Future[LiveRun]"]:
    folder = scratch_repo(Namespace(state_dir=str(tmp_path)), notes())
    models = dict.fromkeys(("planner", "worker"), model)
    settings = msgspec.convert({"models": models, "repo": {"check": check}}, Settings)

    async def begin(opening: Opening) -> LiveRun:
        source = await inspect_repo(folder, "")
        return await start_run(source, settings, intent="five commands", state_root=tmp_path / "state", environ={})

    return begin  # type: ignore[return-value]
