"""Repacks a trunk's objects during a long run, and removes what killed processes left, without deleting an object.

Packs are joined geometrically: only packs that are small relative to the new one, so that a week of landings rewrites
each object only a few times. Files that a new pack replaces stay until the next round, because readers may have them
open. Unlanded objects, which nothing reaches, are kept too: a live workspace may depend on them. (`git repack -d`
refuses to run with `extensions.preciousObjects`, and would delete them.)
"""

import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path

from msgspec import structs

from engine.domain import events as e
from engine.domain.errors import SwarmError
from engine.domain.events import Event
from engine.repo.git.git import Git
from engine.repo.git.objects import UNLANDED
from engine.repo.git.refs import STALE_S

ROUND_EVERY = 2_000
"""Landings between two rounds."""
MAX_LOOSE = 2_000
"""With fewer loose objects and fewer than MAX_PACKS packs, a round does nothing."""
MAX_PACKS = 128
"""More packs than one process leaves behind: landings join their own packs as they go."""
GROWTH = 2
TRIES = 5
RETRY_S = 0.2
"""Seconds between two tries: landings delete many packs in a row."""
TIMEOUT_S = 3_600.0

log = logging.getLogger("swarm")


class Housekeeper:
    """Repacks the objects of one trunk while landings go on. Use from one event loop."""

    def __init__(self, git_dir: Path) -> None:
        self._folders = [git_dir / name for name in ("objects", UNLANDED)]
        self._git = Git(git_dir, git_dir=git_dir, timeout_s=TIMEOUT_S)
        self._landings = 0
        self._replaced: list[Path] = []
        self._round: asyncio.Task[None] | None = None

    def on_event(self, event: Event) -> None:
        """Count landings; start a round every ROUND_EVERY of them."""
        if isinstance(event.body, e.LandingFinished) and event.body.landing.commit is not None:
            self._landings += 1
            if self._landings >= ROUND_EVERY and (self._round is None or self._round.done()):
                self._landings = 0
                self._round = asyncio.create_task(self._tidy_and_log_errors())

    async def _tidy_and_log_errors(self) -> None:
        try:
            await self.tidy()
        except (SwarmError, OSError) as error:
            log.warning("cannot repack the trunk's objects: %s", error)

    async def tidy(self) -> None:
        """Run one round. Raises SwarmError (git) or OSError; no object is lost then."""
        for path in self._replaced:
            path.unlink(missing_ok=True)
        self._replaced = []
        for folder in self._folders:
            self._replaced += await self._join_with_retries(folder)

    async def _join_with_retries(self, folder: Path) -> list[Path]:
        git = structs.replace(self._git, objects=folder)
        for left in range(TRIES, 0, -1):
            try:
                return await self._join(git, folder)
            except (SwarmError, FileNotFoundError):  # landings join and delete their own packs at the same time
                if left == 1:
                    raise
                await asyncio.sleep(RETRY_S)
        return []

    async def _join(self, git: Git, folder: Path) -> list[Path]:
        """Join small packs and loose objects into one pack; returns the files that it replaces."""
        packs, loose = await asyncio.to_thread(_find, folder)
        packs = packs_to_join(packs)
        if len(packs) < MAX_PACKS and len(loose) < MAX_LOOSE:
            return []
        before = [await self._object_ids(pack) for pack in packs]
        written = await git.text(
            *("-c", "pack.threads=1", "pack-objects", "--quiet", "--delta-base-offset", "--stdin-packs", "--unpacked"),
            str(folder / "pack" / "pack"),
            stdin="".join(f"{pack.name}\n" for pack in packs).encode(),
        )
        if not written:
            return []
        new = folder / "pack" / f"pack-{written}.pack"
        contained = await self._object_ids(new)
        replaced = [pack for pack, ids in zip(packs, before, strict=True) if pack != new and ids <= contained]
        files = [pack.with_suffix(ending) for pack in replaced for ending in (".idx", ".pack")]
        return [*files, *(path for path in loose if path.parent.name + path.name in contained)]

    async def close(self) -> None:
        """Cancel a running round; its unfinished pack is not visible to git."""
        if self._round is not None:
            self._round.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._round

    async def _object_ids(self, pack: Path) -> set[str]:
        """The ids of the objects in a pack."""
        index = await asyncio.to_thread(pack.with_suffix(".idx").read_bytes)
        listing = await self._git.text("show-index", stdin=index)
        return {line.split(" ")[1] for line in listing.splitlines()}


def _find(folder: Path) -> tuple[list[Path], list[Path]]:
    """Complete packs without a `.keep` file, and loose objects."""
    packs = [
        pack
        for pack in (folder / "pack").glob("pack-*.pack")
        if pack.with_suffix(".idx").exists() and not pack.with_suffix(".keep").exists()
    ]
    return packs, list(folder.glob("[0-9a-f][0-9a-f]/*"))


def packs_to_join(packs: list[Path]) -> list[Path]:
    """The packs to join: from the smallest up, each that is at most GROWTH times as large as all before it together."""
    chosen: list[Path] = []
    total = 0
    sizes: list[tuple[int, Path]] = []
    for pack in packs:
        with contextlib.suppress(FileNotFoundError):
            sizes.append((pack.stat().st_size, pack))
    for size, pack in sorted(sizes):
        if chosen and size > GROWTH * total:
            break
        chosen.append(pack)
        total += size
    return chosen if len(chosen) > 1 else []


def remove_leftovers(git_dir: Path) -> None:
    """Remove lock files and unfinished packs of killed processes. Safe because the caller holds the run's lock."""
    for folder, folders, files in os.walk(git_dir):
        folders[:] = [name for name in folders if name != "objects"]
        for name in files:
            if name.endswith(".lock"):
                (Path(folder) / name).unlink(missing_ok=True)
    for unfinished in (git_dir / "objects" / "pack").glob("tmp_*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - unfinished.stat().st_mtime > STALE_S:  # a git process may have outlived its engine
                unfinished.unlink()
