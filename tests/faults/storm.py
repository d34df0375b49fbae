"""A process for tests to kill: lands changes endlessly and concurrently, and prints each reported landing."""

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from engine.domain.commit_message import commit_message
from engine.repo.git.trees import FILE, Content
from engine.repo.landing.trunk import GitTrunk

AT_ONCE = 24


async def main(folder: Path) -> None:
    trunk = await GitTrunk.open(folder)
    numbers = count()

    async def land_on_and_on() -> None:
        for number in numbers:
            name = f"{os.getpid()}-{number}"
            files = {f"part{number % 7}/{name}": Content(FILE, b"x\n")}
            if number % 8 == 0:
                files["hot"] = Content(FILE, f"{name}\n".encode())  # some of these conflict
            base = await trunk.tip()
            change = trunk.pending.build(base, base, files, "a change")
            result = await trunk.land(change, commit_message("a change", "", {"Swarm-Task": name}))
            trunk.pending.release(change)
            if result.commit is not None:
                os.write(1, f"{result.commit} {name}\n".encode())

    await asyncio.gather(*(land_on_and_on() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
