"""Additions of both sides are kept where order cannot matter; everything else stays a conflict."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.repo.landing.union_merge import UnionPaths, merge_additions

BASE = b"# Changes\n\n- first\n\n## 1.0\n\n- old\n"


def with_lines(*lines: str, at: str = "- first\n") -> bytes:
    return BASE.replace(at.encode(), at.encode() + "".join(f"{line}\n" for line in lines).encode())


@pytest.mark.parametrize(
    ("ours", "theirs", "kept"),
    [
        (["- ours"], ["- theirs"], ["- ours", "- theirs"]),
        (["- ours", "- both"], ["- both", "- theirs"], ["- ours", "- both", "- theirs"]),
        (["- same"], ["- same"], ["- same"]),
        (["- both"], ["- both", "- both", "- theirs"], ["- both", "- both", "- theirs"]),
        (["foo {", "}"], ["bar {", "}"], ["foo {", "}", "bar {", "}"]),
        (["begin", "a", "end"], ["begin", "b", "end"], ["begin", "a", "end", "begin", "b", "end"]),
        (["<C a>", "  <D/>", "</C>"], ["<C b>", "  <D/>", "</C>"],
         ["<C a>", "  <D/>", "</C>", "<C b>", "  <D/>", "</C>"]),
        (["- ours", "  goes on"], ["- theirs", "  goes on"], ["- ours", "  goes on", "- theirs", "  goes on"]),
        (["- ours", "- ours"], ["- theirs"], ["- ours", "- ours", "- theirs"]),
        (["", "### Fixed", "", "- ours"], ["", "### Fixed", "", "- theirs"],
         ["", "### Fixed", "", "- ours", "", "- theirs"]),
        (["", "A paragraph."], ["", "Another one."], ["", "A paragraph.", "", "Another one."]),
        (["### Fixed", "- ours"], ["### Fixed", "- theirs"], ["### Fixed", "- ours", "- theirs"]),
        (["### Fixed"], ["### Fixed", "- theirs"], ["### Fixed", "- theirs"]),
    ],
)  # fmt: skip
def test_what_both_sides_added_is_kept_with_trunks_lines_first(
    ours: list[str], theirs: list[str], kept: list[str]
) -> None:
    assert merge_additions(BASE, with_lines(*ours), with_lines(*theirs)) == with_lines(*kept)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (BASE.replace(b"- first\n", b"- First\n- ours\n"), with_lines("- theirs")),
        (BASE.replace(b"- old\n", b"") + b"- ours\n", with_lines("- theirs")),
        (with_lines("- theirs"), BASE.replace(b"- old\n", b"- older\n")),
        (with_lines("## 1.1", "- ours"), with_lines("- theirs")),
        (with_lines("### Added", "- ours"), with_lines("### Fixed", "- theirs")),
        (with_lines("- ours"), with_lines("  goes on")),
        (with_lines("Title", "====="), with_lines("- theirs")),
        (with_lines("- ours\0"), with_lines("- theirs")),
        (with_lines("- ours").replace(b"\n", b"\r\n"), with_lines("- theirs")),
        (with_lines("- ours\r"), with_lines("- theirs")),
        (with_lines("- " + "x" * (1 << 20)), with_lines("- theirs")),
        (b"", with_lines("- theirs")),
    ],
    ids=[
        "trunk changed a line", "trunk removed a line", "the change changes another line", "a heading", "two headings",
        "indented differently", "an underlined heading", "binary", "other line ends", "mixed line ends", "too large",
        "emptied",
    ],
)  # fmt: skip
def test_nothing_is_merged_that_could_mean_something_else(ours: bytes, theirs: bytes) -> None:
    assert merge_additions(BASE, ours, theirs) is None


def test_paragraphs_at_the_top_of_a_file_stay_apart() -> None:
    old = b"The first report.\n\nThe second.\n"
    merged = merge_additions(old, b"Mine.\nMore of it.\n\n" + old, b"Another.\n\n" + old)
    assert merged == b"Mine.\nMore of it.\n\nAnother.\n\n" + old


def test_a_list_whose_last_entry_has_no_comma_stays_a_conflict() -> None:
    assert merge_additions(b'[\n  "a"\n]\n', b'[\n  "a",\n  "b"\n]\n', b'[\n  "a",\n  "c"\n]\n') is None


def test_line_ends_are_kept() -> None:
    old, ours, theirs, merged = (
        text.replace(b"\n", b"\r\n")
        for text in (BASE, with_lines("- ours"), with_lines("- theirs"), with_lines("- ours", "- theirs"))
    )
    assert merge_additions(old, ours, theirs) == merged


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_last_line_without_an_end_stays_without_one_unless_a_side_added_it(end: bytes) -> None:
    lines = lambda *texts: end.join(text.encode() for text in texts)  # noqa: E731
    assert merge_additions(lines("a", "b"), lines("a", "b", "o"), lines("a", "b", "t")) == lines("a", "b", "o", "t")
    assert merge_additions(lines("a", "b"), lines("a", "b", "o", ""), lines("a", "b", "t")) == (
        lines("a", "b", "o", "t", "")
    )
    assert merge_additions(lines("a", "b"), lines("a", "b", "o"), lines("a", "b", "t", "")) == (
        lines("a", "b", "o", "t", "")
    )


def test_lines_added_at_several_places_are_kept_where_they_were_added() -> None:
    ours, theirs = b"o\na\nb\nx\nc\n", b"a\nb\ny\nc\nt\n"
    assert merge_additions(b"a\nb\nc\n", ours, theirs) == b"o\na\nb\nx\ny\nc\nt\n"


def test_rows_of_a_new_table_are_kept() -> None:
    assert merge_additions(b"", b"a,1\n", b"b,2\n") == b"a,1\nb,2\n"


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        (b"CHANGELOG.md", True),
        (b"docs/CHANGELOG.md", True),
        (b"data/rows.csv", True),
        (b"data/private.csv", False),
        (b"src/app.py", False),
        (b"changelog.md", False),
        (b"latin\xe9.csv", True),
    ],
)
def test_patterns_are_those_of_a_gitignore(path: bytes, inside: bool) -> None:
    assert (path in UnionPaths(["CHANGELOG.md", "*.csv", "!private.csv"])) is inside


def test_no_file_is_merged_by_union_unless_it_is_named() -> None:
    assert b"CHANGELOG.md" not in UnionPaths()


LINES = st.lists(st.sampled_from([b"a", b"b", b"", b"  c", b"# d"]), max_size=6)


def inserted(base: list[bytes], extra: list[tuple[int, bytes]]) -> bytes:
    lines = list(base)
    for at, line in extra:
        lines.insert(at % (len(lines) + 1), line)
    return b"".join(line + b"\n" for line in lines)


EXTRA = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([b"x", b"y", b"", b"  c", b"# d", b"a"])), max_size=4)


@given(LINES, EXTRA, EXTRA)
def test_no_line_of_any_side_is_lost_and_none_is_invented(
    base: list[bytes], ours: list[tuple[int, bytes]], theirs: list[tuple[int, bytes]]
) -> None:
    old, mine, yours = inserted(base, []), inserted(base, ours), inserted(base, theirs)
    merged = merge_additions(old, mine, yours)
    if merged is None:
        return
    found, known = Counter(merged.split(b"\n")), Counter(old.split(b"\n"))
    for side in (old, mine, yours):
        assert set(side.split(b"\n")) <= set(found)
    mine_counted, yours_counted = Counter(mine.split(b"\n")), Counter(yours.split(b"\n"))
    for line in found:
        assert found[line] <= mine_counted[line] + yours_counted[line] - known[line]
        assert found[line] >= max(mine_counted[line], yours_counted[line])
    if mine == old:
        assert merged == yours
    if yours == old or mine == yours:
        assert merged == mine
