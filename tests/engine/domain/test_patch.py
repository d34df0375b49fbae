"""Parsing patches: those that git writes, and those that hostile files lead to."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.os_text import path_bytes
from engine.domain.patch import FileDiff, FileKind, Patch, parse_patch
from tests.engine.repo.user_repo import UserRepo


@pytest.fixture
def repo(tmp_path: Path) -> UserRepo:
    return UserRepo.make(tmp_path / "repo", {"start": b"s\n"})


def patch_of(repo: UserRepo, before: dict[str, bytes | str | None], after: dict[str, bytes | str | None]) -> Patch:
    repo.commit(before)
    repo.commit(after)
    return parse_patch(repo.git("diff-tree", "-r", "-p", "-M", "HEAD^", "HEAD") + "\n")


def only(patch: Patch) -> FileDiff:
    (file,) = patch.files
    return file


def test_an_edited_file_has_hunks_with_line_ranges(repo: UserRepo) -> None:
    lines = [b"%d\n" % at for at in range(1, 41)]
    edited = [b"one\n", *lines[1:30], b"30a\n", b"30b\n", *lines[31:]]
    file = only(patch := patch_of(repo, {"f": b"".join(lines)}, {"f": b"".join(edited)}))
    assert (file.kind, file.path, file.added, file.removed) == (FileKind.MODIFIED, "f", 3, 2)
    assert [(hunk.old_start, hunk.old_count, hunk.new_start, hunk.new_count) for hunk in file.hunks] == [
        (1, 4, 1, 4),
        (28, 7, 28, 8),
    ]
    first = file.hunks[0]
    assert patch.lines[first.first : first.end] == ("-1", "+one", " 2", " 3", " 4")


def test_added_deleted_and_renamed_files_and_changed_modes_are_recognised(repo: UserRepo) -> None:
    body = b"".join(b"%d\n" % at for at in range(20))
    repo.commit({"gone": b"g\n", "old name": body, "script": b"s\n"})
    repo.write({"gone": None, "old name": None, "new name": body + b"more\n", "fresh": b"f\n"})
    (repo.root / "script").chmod(0o755)
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "all")
    patch = parse_patch(repo.git("diff-tree", "-r", "-p", "-M", "HEAD^", "HEAD"))
    told = {file.path: (file.kind, file.old_path, file.new_path) for file in patch.files}
    assert told == {
        "fresh": (FileKind.ADDED, "", "fresh"),
        "gone": (FileKind.DELETED, "gone", ""),
        "new name": (FileKind.RENAMED, "old name", "new name"),
        "script": (FileKind.MODE, "script", "script"),
    }
    assert (patch.added, patch.removed) == (2, 1)


def test_binary_files_and_empty_files_are_recognised(repo: UserRepo) -> None:
    patch = patch_of(repo, {"b": b"\0\1"}, {"b": b"\0\2", "empty": b""})
    assert [(file.path, file.kind, file.binary) for file in patch.files] == [
        ("b", FileKind.MODIFIED, True),
        ("empty", FileKind.ADDED, False),
    ]


def test_a_patch_inside_a_file_is_content(repo: UserRepo) -> None:
    inner = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n-- \n"
    file = only(patch_of(repo, {"p": inner + b"tail\n"}, {"p": b"".join(reversed(inner.splitlines(True)))}))
    assert (file.path, file.added, file.removed) == ("p", 6, 7)


def test_missing_newlines_at_the_end_and_carriage_returns_are_kept(repo: UserRepo) -> None:
    patch = patch_of(repo, {"f": b"a\r\nb"}, {"f": b"a\nb\x0cc\x85d"})
    file = only(patch)
    assert (file.added, file.removed, file.hunks[0].whole) == (2, 2, True)
    assert file.hunks[0].end == len(patch.lines)
    assert "-a\r" in patch.lines


@pytest.mark.parametrize(
    "name", ["with space", 'quo"te', "back\\slash", "tab\there", "new\nline", "ü", "a b/c b/d", "\x1b[1m", "x b/x"]
)
def test_unusual_file_names_are_read_exactly(repo: UserRepo, name: str) -> None:
    shown = only(patch_of(repo, {}, {name: b"x\n"})).path
    assert path_bytes(shown) == name.encode()
    repo.git("update-index", "--chmod=+x", name)
    repo.git("commit", "-q", "-m", "mode")
    file = only(parse_patch(repo.git("diff-tree", "-r", "-p", "HEAD^", "HEAD")))
    assert (file.path, file.old_path, file.kind) == (shown, shown, FileKind.MODE)


def test_a_truncated_patch_is_marked() -> None:
    file = only(parse_patch("diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n"))
    assert (file.removed, file.hunks[0].whole) == (1, False)


def test_text_before_the_first_file_is_kept_as_lines() -> None:
    patch = parse_patch(
        "commit 123\n\n    text\n\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n--- a/g\n+++ b/g\n@@ -0,0 +1 @@\n+x\n"
    )
    assert [(file.path, file.first) for file in patch.files] == [("f", 4), ("g", 9)]
    assert (patch.added, patch.removed) == (2, 1)


def test_empty_text_is_an_empty_patch() -> None:
    assert parse_patch("") == Patch((), (), 0, 0)


pieces = st.sampled_from(
    [
        "diff --git ",
        "a/x b/x",
        '"a/\\',
        '" "b/',
        "\n",
        "\n\n",
        "--- a/x\n",
        "+++ b/x\n",
        "@@ -1,2 +1,3 @@",
        "@@ -",
        "+",
        "-",
        " ",
        "\\",
        "\r",
        "rename from x",
        "GIT binary patch",
        "/dev/null",
        "999999999999999999",
        "\ud800",
        "index 1..2 3",
    ]
)


@given(st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=30).map("".join))
def test_no_text_raises_and_every_line_belongs_to_at_most_one_file(text: str) -> None:
    patch = parse_patch(text)
    end = 0
    for file in patch.files:
        assert end <= file.first < file.end <= len(patch.lines)
        end = file.end
        at = file.first
        for hunk in file.hunks:
            assert at < hunk.first <= hunk.end <= file.end
            at = hunk.end


def test_a_huge_patch_is_parsed_completely() -> None:
    patch = parse_patch("diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -0,0 +1,300000 @@\n" + "+--- x\n" * 300_000)
    assert (patch.added, len(patch.files)) == (300_000, 1)
    many = parse_patch("diff --git a/f b/f\nnew file mode 100644\n" * 50_000)
    assert len(many.files) == 50_000
