"""The caches of trees and commits keep what was used last, and stay within their limits."""

from pathlib import Path

import pytest

from engine.repo.changes import pending
from engine.repo.changes.pending import PendingChanges
from engine.repo.git import objects
from engine.repo.git.objects import NewObjects, ObjectStore
from tests.git import git


@pytest.fixture
def git_dir(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "repo.git")
    return tmp_path / "repo.git"


def test_the_tree_that_was_used_last_stays_and_the_entries_of_all_are_few(
    git_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_CACHED_ENTRIES", 100)
    store = ObjectStore(git_dir)
    new = NewObjects(store)
    blob = new.add(b"blob", b"text")
    root = new.edit_tree(new.empty_tree, {b"%d" % number: (b"100644", blob) for number in range(10)})
    others = []
    for number in range(50):
        others.append(new.edit_tree(root, {b"more": (b"100644", new.add(b"blob", b"%d" % number))}))
        assert sum(len(tree.entries) for tree in store._trees.values()) == store._entries <= 100
    assert store.cached(root) is not None
    assert store.cached(others[-1]) is not None
    assert store.cached(others[0]) is None
    assert len(new.tree(others[0]).entries) == 11  # read and parsed again


def test_one_tree_larger_than_the_cache_can_be_used(git_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_CACHED_ENTRIES", 5)
    store = ObjectStore(git_dir)
    new = NewObjects(store)
    blob = new.add(b"blob", b"text")
    large = new.edit_tree(new.empty_tree, {b"%d" % number: (b"100644", blob) for number in range(10)})
    assert len(new.tree(large).entries) == 10
    assert list(store._trees) == [large]


def test_a_commit_that_left_the_cache_is_read_again(git_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_CACHED_COMMITS", 2)
    tree = git(git_dir, "hash-object", "-t", "tree", "-w", "/dev/null")
    commits = [git(git_dir, "commit-tree", tree, "-m", f"{number}") for number in range(5)]
    changes = PendingChanges(git_dir)
    for commit in (*commits, *commits):
        assert changes.tree_of(pending.CommitId(commit)).hex() == tree
    assert changes._read.cache_info().currsize == 2
