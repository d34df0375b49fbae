"""Landing merges as `git merge` does in a checkout: the same conflicts, the same files."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.domain.types import CommitId, LandingState, RunId
from engine.ports.protocols import LandResult
from engine.repo.landing.trunk import GitTrunk
from engine.repo.source import inspect_repo
from tests.engine.repo.user_repo import ENV, UserRepo, trunk_reading_from, trunk_with_unlanded

PATHS = ["a", "b.u", "d/x", "d/y", "d/e/w", "f/z", "d", "name with ü"]
Entry = tuple[str, bytes]
Tree = dict[str, Entry]

LINES = [f"line {number} of some text\n".encode() for number in range(9)]
ATTRIBUTES = [
    b"*.u merge=union\n",
    b"a binary\n",
    b"d/* -merge\n",
    b"",
    b"[attr]ours -merge\na ours\nd/x merge=no-such-driver conflict-marker-size=12\n",
]


def lines_with(edits: list[tuple[int, int]]) -> bytes:
    lines = list(LINES)
    for at, what in edits:
        lines[at] = b"" if what == 0 else f"edited {what}\n".encode()
    return b"".join(lines)


texts = st.tuples(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), max_size=2).map(lines_with), st.integers(0, 5)
).map(lambda text: text[0].replace(b"\n", b"\r\n") if text[1] == 0 else text[0])
# Few lines, many of them equal: diff algorithms disagree on such texts.
repetitive = st.lists(st.sampled_from([b"{\n", b"}\n", b"\n", b"x\n", b"y\n"]), max_size=12).map(b"".join)
entries = st.one_of(
    st.tuples(st.sampled_from(["100644", "100644", "100755"]), texts),
    st.tuples(st.just("120000"), st.sampled_from([b"a", b"d/x"])),
    st.tuples(st.just("100644"), st.binary(max_size=3).map(lambda tail: b"\0\1" * 40 + tail)),
)
trees = st.dictionaries(st.sampled_from(PATHS), entries, max_size=6)
operations = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(PATHS), entries),
    st.tuples(st.just("text"), st.integers(0, 9), texts),
    st.tuples(st.just("mode"), st.integers(0, 9), st.none()),
    st.tuples(st.just("delete"), st.integers(0, 9), st.none()),
    st.tuples(st.just("rename"), st.integers(0, 9), st.sampled_from([*PATHS, "new", "g/new"])),
    st.tuples(st.just("folder"), st.sampled_from(["d", "f", "d/e"]), st.sampled_from(["h", "f", "h/i"])),
    st.tuples(st.just("attributes"), st.sampled_from(["", "d/"]), st.sampled_from(ATTRIBUTES)),
)


def applied(tree: Tree, done: list[tuple[str, object, object]]) -> Tree:
    tree = dict(tree)
    for what, where, how in done:
        names = sorted(tree)
        name = names[where % len(names)] if isinstance(where, int) and names else None
        if what == "put":
            tree[where] = how  # type: ignore[index,assignment]
        elif what == "attributes":
            tree[f"{where}.gitattributes"] = ("100644", how)  # type: ignore[assignment]
        elif what == "folder":
            for old in [old for old in names if old.startswith(f"{where}/")]:
                tree[f"{how}/{old.removeprefix(f'{where}/')}"] = tree.pop(old)
        elif name is not None and not name.endswith(".gitattributes"):
            if what == "delete":
                del tree[name]
            elif what == "rename":
                tree[str(how)] = tree.pop(name)
            elif what == "mode" and tree[name][0] != "120000":
                tree[name] = ("100755" if tree[name][0] == "100644" else "100644", tree[name][1])
            elif what == "text":
                tree[name] = (tree[name][0] if tree[name][0] != "120000" else "100644", how)  # type: ignore[assignment]
    return consistent(tree)


def consistent(tree: Tree) -> Tree:
    """Remove files whose path is a folder of another file."""
    return {path: entry for path, entry in tree.items() if not any(other.startswith(f"{path}/") for other in tree)}


class Oracle:
    """The user's repository with a trunk on it, where `git merge` in the work tree tells what a landing should do."""

    def __init__(self, folder: Path) -> None:
        self.repo = UserRepo.make(folder / "repo", {"start": b"start\n"})
        for setting in ("merge.directoryRenames=true", "gc.auto=0", "merge.conflictStyle=merge"):
            self.repo.git("config", *setting.split("="))
        self.trunk = asyncio.run(self._make(folder))
        # The repository must also see what landed.
        borrowed = self.repo.root / ".git" / "objects" / "info" / "alternates"
        borrowed.write_text(f"{self.trunk.git_dir / 'objects'}\n{self.trunk.git_dir / 'unlanded'}\n")

    async def _make(self, folder: Path) -> GitTrunk:
        trunk = await GitTrunk.create(folder, await inspect_repo(self.repo.root), RunId("r-1"))
        trunk_reading_from(self.repo, trunk.git_dir)
        return trunk

    def commits(self, base: Tree, *others: Tree) -> list[str]:
        """Make the base, which is `refs/made/1`, and commits on it; returns the ids of those."""
        stream = b""
        for mark, tree in enumerate([base, *others], 1):
            stream += b"commit refs/made/%d\nmark :%d\ncommitter P <p@x> 1 +0000\ndata 1\n%d\n" % (mark, mark, mark)
            stream += (b"from :1\n" if mark > 1 else b"") + b"deleteall\n"
            for path, (mode, data) in sorted(tree.items()):
                stream += b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), path.encode(), len(data), data)
        subprocess.run(
            ["git", "fast-import", "--quiet", "--force"], input=stream, cwd=self.repo.root, env=ENV, check=True
        )
        return [self.repo.git("rev-parse", f"refs/made/{mark}") for mark in range(2, 2 + len(others))]

    def merge(self, ours: str, theirs: str) -> tuple[bool, str, set[str], dict[str, Entry]]:
        """Whether `git merge` is clean, its tree, the conflicted paths, and the files in the work tree."""
        git = self.repo.git
        git("checkout", "-q", "-f", "--detach", ours)
        git("clean", "-ffdxq")
        git("branch", "-q", "-f", "yours", theirs)
        # Landings never run a custom merge driver; this repo has none of that name, so git merge doesn't either.
        status = self.repo.status("merge", "-q", "--no-ff", "--no-edit", "yours")
        assert status in (0, 1)
        unmerged = {line.partition("\t")[2] for line in git("ls-files", "-u", "-z").split("\0") if line}
        files = self._files()
        if status == 1:
            git("reset", "-q", "--hard")  # --abort fails when a symlink replaces a folder
            return False, "", {path.replace("~HEAD", "~trunk") for path in unmerged}, files
        return True, git("rev-parse", "HEAD^{tree}"), set(), files

    def _files(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for folder, folders, names in os.walk(self.repo.root):
            folders[:] = [name for name in folders if name != ".git"]
            for name in [*names, *(name for name in folders if (Path(folder) / name).is_symlink())]:
                path = Path(folder) / name
                shown = str(path.relative_to(self.repo.root)).replace("~HEAD", "~trunk")
                if path.is_symlink():
                    found[shown] = ("120000", os.readlink(path).encode())
                else:
                    data = path.read_bytes().replace(b"<<<<<<< HEAD", b"<<<<<<< trunk")
                    found[shown] = ("100755" if path.stat().st_mode & 0o100 else "100644", data)
        return found

    def land(self, ours: str, theirs: str) -> LandResult:
        """Land `theirs` on a trunk that another process moved to `ours`."""
        trunk_with_unlanded(self.trunk.git_dir).git("update-ref", "refs/heads/trunk", ours)
        return asyncio.run(self.trunk.land(CommitId(theirs), "landed\n"))

    def land_together(self, start: str, changes: list[str]) -> list[LandResult]:
        """Land all changes at once on a trunk that another process moved to `start`."""
        trunk_with_unlanded(self.trunk.git_dir).git("update-ref", "refs/heads/trunk", start)

        async def land() -> list[LandResult]:
            return await asyncio.gather(*(self.trunk.land(CommitId(change), "landed\n") for change in changes))

        return asyncio.run(land())

    def tree(self, commit: str) -> dict[str, Entry]:
        copy = trunk_with_unlanded(self.trunk.git_dir)
        found: dict[str, Entry] = {}
        for line in copy.git("ls-tree", "-r", "-z", commit).split("\0"):
            if line:
                meta, _, path = line.partition("\t")
                mode, _, blob = meta.split(" ")
                data = subprocess.run(
                    ["git", "cat-file", "blob", blob], cwd=copy.root, env=copy.env, capture_output=True, check=True
                ).stdout
                found[path] = (mode, data)
        return found


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return Oracle(tmp_path_factory.mktemp("oracle"))


TEXT: Entry = ("100644", lines_with([]))
EDITED: Entry = ("100644", lines_with([(1, 1)]))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(trees, st.lists(operations, min_size=1, max_size=3), st.lists(operations, min_size=1, max_size=3))
@example({"d/x": TEXT}, [("folder", "d", "h")], [("put", "d/y", EDITED)])  # a new file follows its renamed folder
@example({"d/x": TEXT, "d/y": EDITED}, [("rename", 0, "h/x"), ("rename", 0, "f/y")], [("put", "d/new", EDITED)])
@example(
    {"b.u": TEXT}, [("attributes", "", ATTRIBUTES[0]), ("text", 1, EDITED[1])], [("text", 0, lines_with([(1, 2)]))]
)
@example({"a": TEXT}, [("put", "d", EDITED)], [("put", "d/x", TEXT)])  # a file and a folder of the same name
@example({"a": TEXT}, [("rename", 0, "new")], [("rename", 0, "b.u")])  # renamed differently on both sides
@example({"a": TEXT}, [("put", "new", EDITED)], [("put", "new", ("120000", b"a"))])  # distinct types
@example({"a": TEXT}, [("mode", 0, None)], [("text", 0, lines_with([(2, 2)]))])
def test_a_landing_merges_as_git_merge_does(
    oracle: Oracle,
    base: Tree,
    ours_done: list[tuple[str, object, object]],
    theirs_done: list[tuple[str, object, object]],
) -> None:
    base = consistent(base)
    ours, theirs = oracle.commits(base, applied(base, ours_done), applied(base, theirs_done))
    clean, tree, conflicts, files = oracle.merge(ours, theirs)
    result = oracle.land(ours, theirs)
    assert result.base == ours
    if not clean:
        assert result.state is LandingState.CONFLICTED
        assert conflicts <= set(result.conflicts)
        assert result.merged
        assert oracle.tree(result.merged) == files
        return
    trunk = trunk_with_unlanded(oracle.trunk.git_dir)
    tip = asyncio.run(oracle.trunk.tip())
    assert trunk.git("rev-parse", f"{tip}^{{tree}}") == tree
    if tip == ours:
        assert result.state is LandingState.EMPTY
    else:
        assert (result.state, result.commit) == (LandingState.MERGED, tip)
        assert trunk.git("rev-parse", f"{tip}^@") == ours


plain = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.integers(0, 9), st.one_of(texts, repetitive)),
        st.tuples(st.just("text"), st.integers(0, 9), texts),
        operations,
    ),
    min_size=1,
    max_size=2,
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(trees, st.lists(plain, min_size=2, max_size=5), repetitive)
@example(  # all change one file: each is merged with the result of the one before
    {"a": TEXT, "d/x": TEXT}, [[("text", 0, lines_with([(line, 1)]))] for line in (0, 2, 4, 6, 8)], b""
)
@example(  # the attributes land with the first change and apply to the others
    {"b.u": TEXT, "d/x": TEXT},
    [[("attributes", "", ATTRIBUTES[0])], [("text", 0, EDITED[1])], [("text", 0, lines_with([(1, 2)]))]],
    b"",
)
@example(  # one change renames a folder while others change, add and remove files in it
    {"d/x": TEXT, "d/y": EDITED},
    [[("folder", "d", "h")], [("text", 0, EDITED[1])], [("put", "d/new", TEXT)], [("delete", 1, None)]],
    b"",
)
def test_each_landing_of_a_group_merges_as_git_merge_does(
    oracle: Oracle, base: Tree, done: list[list[tuple[str, object, object]]], text: bytes
) -> None:
    base = consistent({**base, "r": ("100644", text)})
    changes = oracle.commits(base, *(applied(base, each) for each in done))
    start = UserRepo(oracle.repo.root).git("rev-parse", "refs/made/1")
    results = oracle.land_together(start, changes)
    landed = [result.commit for result in results if result.commit]
    trunk = trunk_with_unlanded(oracle.trunk.git_dir)
    assert sorted(landed) == sorted(trunk.git("rev-list", f"{start}..refs/heads/trunk").split())
    for change, result in zip(changes, results, strict=True):
        clean, tree, conflicts, files = oracle.merge(result.base, change)
        assert clean == (result.state is not LandingState.CONFLICTED)
        if not clean:
            assert conflicts <= set(result.conflicts)
            assert result.merged
            assert oracle.tree(result.merged) == files
        elif result.commit is None:
            assert trunk.git("rev-parse", f"{result.base}^{{tree}}") == tree
        else:
            assert trunk.git("rev-parse", f"{result.commit}^{{tree}}", f"{result.commit}^@").split() == [
                tree,
                result.base,
            ]
