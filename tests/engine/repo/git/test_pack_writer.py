"""Packs as landings write them: git can read them, they are joined when many, and none is left half-written."""

import errno
import os
import random
from pathlib import Path

import pytest

from engine.repo.git.objects import NewObjects, ObjectStore
from engine.repo.git.pack_rollup import PackRollup
from engine.repo.git.pack_writer import pack_body, write_pack
from tests.engine.repo.user_repo import UserRepo

FORMATS = ["sha1", "sha256"]


def bare(folder: Path, object_format: str) -> UserRepo:
    folder.mkdir()
    repo = UserRepo(folder)
    repo.git("init", "-q", "--bare", f"--object-format={object_format}", "-b", "main")
    return repo


class History:
    """A chain of commits with a few edits each, and the files at its tip."""

    def __init__(self, store: ObjectStore, seed: int) -> None:
        self.store = store
        self.random = random.Random(seed)
        self.root = NewObjects(store).empty_tree
        self.tip: bytes | None = None
        self.files: dict[bytes, bytes] = {}

    def grow(self, new: NewObjects, commits: int) -> None:
        for _ in range(commits):
            path = b"part%d/unit%d/f%d" % tuple(self.random.randrange(most) for most in (3, 4, 30))
            if path in self.files and self.random.random() < 0.3:
                self.root = new.edit_tree(self.root, {path: None})
                del self.files[path]
            else:
                data = b"line %d\n" % self.random.randrange(400) * self.random.randrange(1, 50)
                self.root = new.edit_tree(self.root, {path: (b"100644", oid := new.add(b"blob", data))})
                self.files[path] = oid
            parents = [self.tip.hex()] if self.tip else []
            self.tip = new.commit(self.root, parents, "A <a@x>", 1, b"a change")

    def verify(self, repo: UserRepo) -> None:
        assert self.tip
        repo.git("update-ref", "refs/heads/main", self.tip.hex())
        repo.git("fsck", "--full", "--strict")
        listing = repo.git("ls-tree", "-r", "main").split("\n")
        assert {line.split("\t")[1]: line.split()[2] for line in listing} == {
            path.decode(): oid.hex() for path, oid in self.files.items()
        }


@pytest.mark.parametrize("object_format", FORMATS)
def test_git_reads_a_pack_and_writes_the_same_index_for_it(tmp_path: Path, object_format: str) -> None:
    repo = bare(tmp_path / "r.git", object_format)
    history = History(ObjectStore(repo.root, object_format), 1)
    new = NewObjects(history.store)
    history.grow(new, 300)
    pack = write_pack(repo.root / "objects" / "pack", *pack_body(new), history.store.new_hash)
    history.verify(repo)
    repo.git("index-pack", "--strict", "-o", str(tmp_path / "again.idx"), str(pack.file))
    assert (tmp_path / "again.idx").read_bytes() == pack.path.with_suffix(".idx").read_bytes()
    deltas = repo.git("verify-pack", "-s", str(pack.file)).count("chain length")
    assert deltas > 20, "trees are stored as deltas"
    assert pack.size < sum(len(data) for _, data in new.unwritten.values()) / 2


@pytest.mark.parametrize("object_format", FORMATS)
def test_many_packs_are_joined_into_few_without_losing_an_object(tmp_path: Path, object_format: str) -> None:
    repo = bare(tmp_path / "r.git", object_format)
    history = History(ObjectStore(repo.root, object_format), 2)
    folder = repo.root / "objects" / "pack"
    packs = PackRollup(folder, history.store.new_hash)
    most = 0
    for _ in range(60):
        new = NewObjects(history.store)
        history.grow(new, 2)
        packs.add(new)
        packs.roll_up()
        most = max(most, len(list(folder.glob("*.pack"))))
    assert most < 40
    history.verify(repo)
    for pack in folder.glob("*.pack"):
        repo.git("index-pack", "--strict", "-o", str(tmp_path / f"{pack.name}.idx"), str(pack))


def test_packs_deleted_by_another_process_are_skipped(tmp_path: Path) -> None:
    repo = bare(tmp_path / "r.git", "sha1")
    history = History(ObjectStore(repo.root), 3)
    packs = PackRollup(repo.root / "objects" / "pack", history.store.new_hash)
    for turn in range(40):
        new = NewObjects(history.store)
        history.grow(new, 2)
        packs.add(new)
        packs.roll_up()
        if turn % 13 == 0 and history.tip:
            repo.git("update-ref", "refs/heads/main", history.tip.hex())
            repo.git("repack", "-adq")
    history.verify(repo)


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_pack_that_cannot_be_written_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    repo = bare(tmp_path / "r.git", "sha1")
    history = History(ObjectStore(repo.root), 4)
    new = NewObjects(history.store)
    history.grow(new, 3)
    calls = 0

    def full(*args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        works(*args)

    works = getattr(os, failing)
    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        write_pack(repo.root / "objects" / "pack", *pack_body(new), history.store.new_hash)
    assert list((repo.root / "objects" / "pack").iterdir()) == []


def test_packs_that_were_joined_are_closed(tmp_path: Path) -> None:
    repo = bare(tmp_path / "r.git", "sha1")
    history = History(ObjectStore(repo.root), 5)
    packs = PackRollup(repo.root / "objects" / "pack", history.store.new_hash)
    for _ in range(50):
        new = NewObjects(history.store)
        history.grow(new, 1)
        packs.add(new)
        if packs.roll_up():
            history.store.reopen()
        assert history.tip
        assert history.store.read(history.tip).startswith(b"tree ")
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit() and _open(fd)]
    assert len([path for path in held if str(tmp_path) in path]) < 40


def _open(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")
