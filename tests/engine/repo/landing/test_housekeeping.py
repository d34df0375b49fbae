"""Repacking a trunk loses no object: not an unreachable one, and not for a reader that has old packs open."""

import subprocess
from pathlib import Path

import pygit2
import pytest

from engine.repo.landing import housekeeping
from engine.repo.landing.housekeeping import Housekeeper, packs_to_join


class Trunk:
    """A bare repository of packs and loose objects that no ref reaches."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "trunk.git"
        self.git("init", "-q", "--bare", str(self.path), where=folder)
        self.git("config", "core.repositoryFormatVersion", "1")
        self.git("config", "extensions.preciousObjects", "true")
        self.ids: list[str] = []

    def git(self, *args: str, where: Path | None = None, given: str = "") -> str:
        done = subprocess.run(
            ["git", *args], cwd=where or self.path, check=True, capture_output=True, input=given, text=True
        )
        return done.stdout.strip()

    def loose(self, text: str) -> str:
        self.ids.append(self.git("hash-object", "-w", "--stdin", given=text))
        return self.ids[-1]

    def pack(self, count: int, text: str) -> None:
        """Write a pack of `count` objects that are not loose as well."""
        ids = [self.loose(f"{text} {number}\n") for number in range(count)]
        self.git("pack-objects", "-q", "objects/pack/pack", given="".join(f"{oid}\n" for oid in ids))
        for oid in ids:
            (self.path / "objects" / oid[:2] / oid[2:]).unlink()

    def packs(self) -> int:
        return len(list((self.path / "objects" / "pack").glob("*.pack")))


@pytest.fixture
def trunk(tmp_path: Path) -> Trunk:
    return Trunk(tmp_path)


async def test_small_packs_and_loose_objects_are_joined_and_every_object_stays(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "MAX_LOOSE", 5)
    monkeypatch.setattr(housekeeping, "MAX_PACKS", 4)
    for number in range(6):
        trunk.pack(3, f"pack {number}")
    for number in range(7):
        trunk.loose(f"loose {number}")
    opened = pygit2.Repository(str(trunk.path))  # opens all packs before they are joined
    assert opened[trunk.ids[0]].type_str == "blob"
    keeper = Housekeeper(trunk.path)
    await keeper.tidy()
    assert trunk.packs() == 7  # the replaced packs stay for one round
    trunk.pack(2, "landed between rounds")
    trunk.loose("loose between rounds")
    await keeper.tidy()  # too little for another pack, but the replaced ones are deleted
    assert trunk.packs() == 2
    assert len(list((trunk.path / "objects").glob("[0-9a-f][0-9a-f]/*"))) == 1
    for oid in trunk.ids:
        assert opened[oid].type_str == "blob"
        assert trunk.git("cat-file", "-t", oid) == "blob"
    assert trunk.git("fsck", "--no-dangling") == ""


async def test_few_packs_and_loose_objects_are_not_joined(trunk: Trunk) -> None:
    trunk.pack(3, "one")
    trunk.loose("one")
    before = sorted((trunk.path / "objects").rglob("*"))
    await Housekeeper(trunk.path).tidy()
    assert sorted((trunk.path / "objects").rglob("*")) == before


def test_a_large_pack_is_not_joined_with_a_few_small_ones(tmp_path: Path) -> None:
    sizes = {"a": 10, "b": 12, "c": 30, "d": 500, "e": 600}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
    missing = tmp_path / "missing"
    assert [path.name for path in packs_to_join([missing, *tmp_path.iterdir()])] == ["a", "b", "c"]
