"""What counts as ignored, compared with git itself."""

import subprocess
from pathlib import Path

import pytest

from engine.repo.git.ignores import decide, parse

PATHS = [
    "a.o", "src/a.o", "build/x", "src/build/x", "foo", "foo/bar", "a/foo/b", "doc/x.txt", "doc/y/x.txt", "a/b/c/d",
    "x y", "#hash", "!bang", "abc", "adc", "a-c", "lib/keep.o", "deep/er/most/file", "tail ",
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "*.o\n!keep.o\n", "build/\n", "/foo\n", "foo/*\n!foo/bar\n", "doc/*.txt\n", "doc/**/*.txt\n", "**/foo/b\n",
        "a/**/d\n", "\\#hash\n\\!bang\n", "a[b-c]c\n", "a[!b]c\n", "a?c\n", "*\n!abc\n", "deep/**\n", "tail\\ \n",
        "x y  \n", "# comment\n\n", "/**/x.txt\n", "src/\n!src/a.o\n", "a*c\n", "[\n", "most/\n", "er/most\n",
    ],
)  # fmt: skip
def test_the_same_files_are_ignored_as_by_git(text: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(text)
    told = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(PATHS), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    rules = parse(text.encode())

    def ignored(path: str) -> bool:
        names = tuple(path.split("/"))
        for depth in range(1, len(names)):
            if decide(rules, names[:depth], True):
                return True
        return bool(decide(rules, names, False))

    assert [path for path in PATHS if ignored(path)] == [path for path in told.stdout.split("\0") if path]


def test_a_hostile_pattern_comes_to_an_end() -> None:
    rules = parse(b"*a" * 200 + b"b\n" + b"**/a/" * 100 + b"b\n")
    assert decide(rules, tuple(["a" * 250] * 100), False) is None
