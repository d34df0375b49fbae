"""What edits change in a tree equals what a comparison of both trees finds."""

import random
from pathlib import Path

from engine.repo.git.objects import NewObjects, ObjectStore, TreeEntry
from tests.git import git

CASES = 2_000


def test_known_differences_equal_those_that_a_comparison_finds(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", ".")
    new, chance, compared = NewObjects(ObjectStore(tmp_path)), random.Random(7), 0
    blobs = [new.add(b"blob", b"%d\n" % number) for number in range(4)]

    def edits(count: int) -> dict[bytes, TreeEntry | None]:
        """Edits of few paths, so that files take the places of folders and folders those of files."""
        paths = (b"/".join(chance.choices((b"a", b"b", b"c"), k=chance.randint(1, 3))) for _ in range(count))
        modes = (b"100644", b"100755", b"120000")
        found = {path: chance.choice((None, (chance.choice(modes), chance.choice(blobs)))) for path in paths}
        files = [path + b"/" for path, entry in found.items() if entry is not None]
        return {path: entry for path, entry in found.items() if not any(path.startswith(file) for file in files)}

    for _ in range(CASES):
        old = new.edit_tree(new.empty_tree, edits(6))
        changes = edits(2)
        tree = new.edit_tree(old, changes)
        expected = new.differences(old, tree)
        assert new.edited(old, changes, tree) == expected, changes
        compared += bool(expected)
    assert compared > CASES // 2
