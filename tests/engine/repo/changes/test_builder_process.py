"""FileChanges made in a process of their own are those that would be made here, and need it no longer than it lives."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.types import CommitId, RunId
from engine.repo.changes.builder_process import MANY, Maker
from engine.repo.changes.commit_builder import Made, Order, make
from engine.repo.changes.scan import LARGEST
from engine.repo.git.ignores import Rules, parse_rules
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.person import PersonRepo

IGNORED: Rules = parse_rules(b"*.log\n")


class Place:
    """Uppers of one trunk, and who made the change of each."""

    def __init__(self, folder: Path, trunk: GitTrunk) -> None:
        self.folder, self.trunk = folder, trunk
        self.maker = Maker(trunk.git_dir, usable=True)
        self.apart: list[Made] = []
        self.here = 0

    def order(self, name: str, files: dict[str, bytes]) -> Order:
        upper = self.folder / name
        for path, content in files.items():
            (upper / path).parent.mkdir(parents=True, exist_ok=True)
            (upper / path).write_bytes(content)
        root = self.trunk.offers.tree_of(self.trunk.base)
        return Order(os.fsencode(upper), root, (), self.trunk.base, b"a change\n", 1_000)

    async def made(self, order: Order) -> CommitId:
        def keep(made: Made) -> CommitId:
            self.apart.append(made)
            return CommitId(made.commit.hex())

        def here() -> CommitId:
            self.here += 1
            return self.expected(order)

        return await self.maker.make(order, IGNORED, keep, here)

    async def started(self) -> None:
        """Once so many have been asked for at once that there is a process."""
        await asyncio.gather(*(self.made(self.order(f"first-{n}", {"a.txt": b"%d" % n})) for n in range(MANY)))
        assert self.maker._starting is not None
        await self.maker._starting
        assert self.here == MANY
        self.here = 0

    def expected(self, order: Order) -> CommitId:
        made = make(self.trunk.offers.store, IGNORED, order)
        return CommitId(made.commit.hex() if made is not None else "")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    repo = PersonRepo.make(tmp_path / "repo", {"a.txt": b"a\n", "d/x.txt": b"x\n"})
    (tmp_path / "run").mkdir()
    place = Place(
        tmp_path / "uppers", await GitTrunk.create(tmp_path / "run", await inspect_repo(repo.root), RunId("r"))
    )
    yield place
    await place.maker.close()


async def test_many_at_once_are_made_apart_and_are_the_same(place: Place) -> None:
    orders = [place.order(str(n), {"d/x.txt": b"%d\n" % n, f"new/{n}": b"n\n", "x.log": b"no"}) for n in range(100)]
    await place.started()
    assert await asyncio.gather(*map(place.made, orders)) == list(map(place.expected, orders))
    assert (len(place.apart), place.here) == (100, 0)
    for made in place.apart:
        assert {kind for kind, _ in made.objects.values()} == {b"blob", b"tree", b"commit"}
        assert b"no" not in {data for _, data in made.objects.values()}


async def test_what_the_process_cannot_make_is_made_here_and_what_cannot_land_is_said(place: Place) -> None:
    ends = place.order("ends", {"a.txt": b"a\r\n"})
    gone = place.order("gone", {"a.txt": b"b\n"})
    (place.folder / "gone" / "a.txt").unlink()
    (place.folder / "gone").rmdir()
    large = place.order("large", {})
    (place.folder / "large").mkdir()
    with (place.folder / "large" / "file").open("wb") as file:
        file.truncate(LARGEST + 1)
    await place.started()
    await asyncio.gather(*map(place.made, [ends, gone, large]))
    assert place.here == 2
    assert [made.refused for made in place.apart if made.refused] == [
        "file: is too large to land; remove it or let git ignore it"
    ]


async def test_when_the_process_is_killed_all_is_made_here(place: Place) -> None:
    orders = [place.order(str(n), {"a.txt": b"%d\n" % n}) for n in range(50)]
    await place.started()
    process = place.maker._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    under_way = asyncio.gather(*map(place.made, orders))
    await asyncio.sleep(0)
    process.kill()
    assert await under_way == list(map(place.expected, orders))
    assert place.apart == []
    assert place.maker._process is None


async def test_it_ends_with_whoever_started_it(place: Place) -> None:
    await place.started()
    process = place.maker._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # as the kernel does when the program is killed
    assert await process.wait() == 0
