"""Takes the README's pictures as SVG: the app with a made-up swarm (`make pictures`)."""

import asyncio
import os
import sys
import time
from pathlib import Path

from textual.pilot import Pilot

from tests.tui.apps import app_on, main_of, press, settle, svg_of
from tests.tui.swarms import small
from tui.widgets.detail import Tab

FOLDER = Path(__file__).parents[2] / "pictures"
SIZE = (132, 40)


async def swarm(pilot: "Pilot[int]") -> None:
    """The whole screen, one worker's command running."""
    await press(pilot, *"jjjj")


async def diff(pilot: "Pilot[int]") -> None:
    main = main_of(pilot.app)  # type: ignore[arg-type]
    await press(pilot, *"jjjj", "2")
    main.panes.detail.open(Tab.DIFF)
    await press(pilot, "plus", "l")


async def handoff(pilot: "Pilot[int]") -> None:
    await press(pilot, "3", "exclamation_mark", "enter")


async def intent(pilot: "Pilot[int]") -> None:
    await press(pilot, "i", *"Escape everything. ", "f2")


PICTURES = {"swarm": (swarm, "midnight"), "diff": (diff, "midnight"), "handoff": (handoff, "midnight")}
PICTURES |= {"intent": (intent, "daylight")}


async def take(folder: Path) -> None:
    """Write every picture into a folder that exists."""
    for name, (prepare, theme) in PICTURES.items():
        app = app_on(small(), theme=theme)
        async with app.run_test(size=SIZE) as pilot:
            await settle(pilot)
            await prepare(pilot)
            await settle(pilot)
            (folder / f"{name}.svg").write_text(svg_of(app), encoding="utf-8")


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"  # whoever takes the pictures, they show the same times
    time.tzset()
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    chosen.mkdir(exist_ok=True)
    asyncio.run(take(chosen))
