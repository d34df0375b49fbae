"""Text for the terminal is harmless, and keeps its columns."""

import pytest
from rich.cells import cell_len

from tui.format.text import Span, clean, cut, fit, one_line, width_of, wrap

HOSTILE = {
    "csi": "a\x1b[2Jb",
    "csi with c1": "a\x9b31mb",
    "title": "a\x1b]0;owned\x07b",
    "clipboard": "a\x1b]52;c;ZXZpbA==\x1b\\b",
    "c1 osc": "a\x9d0;owned\x9cb",
    "unfinished osc": "a\x1b]0;never ends",
    "dcs": "a\x1bP$q\x1b\\b",
    "bell and backspace": "a\x07\x08b",
    "carriage return": "good\rbad",
    "null and delete": "a\x00\x7fb",
    "override": "a\u202egnp.exe\u202cb",
    "isolate": "a\u2066b\u2069",
    "line separator": "a\u2028b",
    "tag characters": "a\U000e0041b",
    "lone surrogate": "a\udc80b",
    "next line": "a\x85b",
}
FORBIDDEN = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))} - {"\n"}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_nothing_is_left_that_a_terminal_could_execute(text: str) -> None:
    cleaned = clean(text)
    assert not FORBIDDEN & set(cleaned)
    assert not any("\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069" for char in cleaned)
    assert cleaned.startswith(("a", "good"))
    cleaned.encode("utf-8")


def test_an_unterminated_sequence_does_not_swallow_the_next_line() -> None:
    assert clean("a\x1b]0;never ends\nnext line").endswith("\nnext line")


def test_markup_stays_what_it_is() -> None:
    assert clean("[/x] [bold]y[/] $z") == "[/x] [bold]y[/] $z"


def test_tabs_become_columns_and_newlines_stay() -> None:
    assert clean("a\tb\nc") == "a   b\nc"


@pytest.mark.parametrize(
    "text", ["plain", "日本語のテキスト", "👩‍👩‍👧‍👦 family", "🇩🇪 flag", "e\u0301 combining", "👍🏽 tone", "❤️ heart"]
)
def test_any_text_fits_its_cells_exactly(text: str) -> None:
    for cells in range(1, 14):
        assert cell_len(fit(clean(text), cells)) == cells


def test_a_line_is_cut_at_its_cells() -> None:
    line = (Span("日本", "a"), Span("語 and more", "b"))
    assert width_of(cut(line, 6)) <= 6
    assert cut(line, 100) == line


def test_wrapped_lines_keep_words_and_stay_within_their_cells() -> None:
    text = "one two three " * 10 + "x" * 50 + "\n    indented code that is long enough to wrap around"
    lines = list(wrap(text, 20))
    assert all(width_of(line) <= 20 for line in lines)
    assert "".join(span.text for line in lines for span in line).replace(" ", "") == text.replace(" ", "").replace(
        "\n", ""
    )


def test_an_empty_paragraph_is_an_empty_line() -> None:
    assert len(list(wrap("a\n\nb", 20))) == 3


def test_one_line_has_no_breaks() -> None:
    assert one_line("  a\n\n b\tc ") == "a b c"
