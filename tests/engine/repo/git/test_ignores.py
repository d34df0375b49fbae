"""Which paths are ignored, compared with git itself."""

import subprocess
from pathlib import Path

import pytest

from engine.repo.git.ignores import match_rules, parse_rules

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
def test_git_ignores_the_same_files(text: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(text)
    by_git = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(PATHS), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    rules = parse_rules(text.encode())

    def is_ignored(path: str) -> bool:
        names = tuple(path.split("/"))
        for depth in range(1, len(names)):
            if match_rules(rules, names[:depth], True):
                return True
        return bool(match_rules(rules, names, False))

    assert [path for path in PATHS if is_ignored(path)] == [path for path in by_git.stdout.split("\0") if path]


def test_matching_a_hostile_pattern_ends() -> None:
    rules = parse_rules(b"*a" * 200 + b"b\n" + b"**/a/" * 100 + b"b\n")
    assert match_rules(rules, tuple(["a" * 250] * 100), False) is None
