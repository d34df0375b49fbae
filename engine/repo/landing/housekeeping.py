"""Keeps a trunk's objects few and small over a long run, without ever taking one away.

PackRollup are joined geometrically: only those that are small beside what is to be written, so that a week of landings
rewrites each object a few times. What a new pack replaces stays until the next round, for whoever has it open. Objects
that no ref names are kept like all others: a live copy may stand on them. (`git repack -d` refuses a repo with
`extensions.preciousObjects`, and would drop those.)
"""

import asyncio
import contextlib
import logging
from pathlib import Path

from engine.domain import events as e
from engine.domain.errors import SwarmError
from engine.domain.events import Event
from engine.repo.git.git import Git

EVERY = 2_000
"""Landings between two rounds."""
LOOSE = 2_000
"""Loose objects that are left alone."""
PACKS = 128
"""PackRollup that are left alone: more than landings leave in one process, which join their own as they go."""
GROWTH = 2
TRIES = 5
AGAIN_S = 0.2
"""Seconds between two tries: landings take away many packs in a row."""
HOURS = 3_600.0

log = logging.getLogger("swarm")


class Housekeeper:
    """Tidies the objects of one trunk beside its landings. All methods are for one event loop."""

    def __init__(self, git_dir: Path) -> None:
        self._objects = git_dir / "objects"
        self._git = Git(git_dir, git_dir=git_dir, timeout_s=HOURS)
        self._landings = 0
        self._replaced: list[Path] = []
        self._round: asyncio.Task[None] | None = None

    def note(self, event: Event) -> None:
        """Look at an event that has just happened; now and then begin a round."""
        if isinstance(event.body, e.LandingFinished) and event.body.landing.commit is not None:
            self._landings += 1
            if self._landings >= EVERY and (self._round is None or self._round.done()):
                self._landings = 0
                self._round = asyncio.create_task(self._tidy_quietly())

    async def _tidy_quietly(self) -> None:
        try:
            await self.tidy()
        except (SwarmError, OSError) as error:
            log.warning("the trunk's objects were not tidied: %s", error)

    async def tidy(self) -> None:
        """One round. Raises SwarmError (git) or OSError; then nothing has been taken away."""
        for path in self._replaced:
            path.unlink(missing_ok=True)
        self._replaced = []
        for left in range(TRIES, 0, -1):
            try:
                self._replaced = await self._join()
                return
            except (SwarmError, FileNotFoundError):  # landings join their own packs at times, under our hands
                if left == 1:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def _join(self) -> list[Path]:
        """Write one pack of what is small; returns the files that it replaces."""
        packs, loose = await asyncio.to_thread(self._found)
        packs = small(packs)
        if len(packs) < PACKS and len(loose) < LOOSE:
            return []
        before = [await self._listed(pack) for pack in packs]
        written = await self._git.text(
            *("-c", "pack.threads=1", "pack-objects", "--quiet", "--delta-base-offset", "--stdin-packs", "--unpacked"),
            str(self._objects / "pack" / "pack"),
            stdin="".join(f"{pack.name}\n" for pack in packs).encode(),
        )
        if not written:
            return []
        new = self._objects / "pack" / f"pack-{written}.pack"
        have = await self._listed(new)
        done = [pack for pack, held in zip(packs, before, strict=True) if pack != new and held <= have]
        files = [pack.with_suffix(ending) for pack in done for ending in (".idx", ".pack")]
        return [*files, *(path for path in loose if path.parent.name + path.name in have)]

    async def close(self) -> None:
        """A round under way is given up: what it was writing is no pack yet."""
        if self._round is not None:
            self._round.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._round

    def _found(self) -> tuple[list[Path], list[Path]]:
        """Whole packs that nobody keeps, and loose objects."""
        packs = [
            pack
            for pack in (self._objects / "pack").glob("pack-*.pack")
            if pack.with_suffix(".idx").exists() and not pack.with_suffix(".keep").exists()
        ]
        return packs, list(self._objects.glob("[0-9a-f][0-9a-f]/*"))

    async def _listed(self, pack: Path) -> set[str]:
        """The ids of what is in a pack."""
        index = await asyncio.to_thread(pack.with_suffix(".idx").read_bytes)
        listing = await self._git.text("show-index", stdin=index)
        return {line.split(" ")[1] for line in listing.splitlines()}


def small(packs: list[Path]) -> list[Path]:
    """Those that are to become one: from the smallest up, each that is not much larger than all before together."""
    taken: list[Path] = []
    total = 0
    sizes: list[tuple[int, Path]] = []
    for pack in packs:
        with contextlib.suppress(FileNotFoundError):
            sizes.append((pack.stat().st_size, pack))
    for size, pack in sorted(sizes):
        if taken and size > GROWTH * total:
            break
        taken.append(pack)
        total += size
    return taken if len(taken) > 1 else []
