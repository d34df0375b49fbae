"""Long texts are shortened at line ends, and what is missing is said once."""

import pytest

from engine.domain.answer_text import LINE, MOST, room, short_line, shortened


def lines(count: int, width: int = 99) -> str:
    return "".join(f"{number:0{width}}\n" for number in range(count))


def test_a_text_a_little_over_the_limit_is_shown_whole() -> None:
    text = lines(room(MOST) // 100)
    assert len(text) > MOST * 1.1
    assert shortened(text).told("f") == text


@pytest.mark.parametrize("missing", [0, 5_000])
def test_a_long_text_is_cut_at_line_ends_and_says_once_how_much_is_left_out_and_where_it_is(missing: int) -> None:
    text = lines(1_000)
    half = len(text) // 2 + 50
    head, tail = (text[:half], text[half + missing :]) if missing else (text, "")
    told = shortened(head, tail, missing).told(".swarm/output-1.txt")
    assert len(told) <= MOST + 200
    known = set(text.splitlines())
    [note] = [line for line in told.splitlines() if line not in known]
    left_out = len(text) - (len(told) - len(note) - 1)
    assert note == f"[... {left_out} bytes left out; all of it is in .swarm/output-1.txt ...]"
    assert told.startswith(text[:500])
    assert told.endswith(text[-500:])


def test_one_long_line_leaves_room_for_the_others() -> None:
    text = lines(20) + "x" * 1_000_000 + "\n" + lines(20)
    told = shortened(text).told("f")
    assert told.startswith(lines(20))
    assert lines(20) + "[long lines are shortened; all of it is in f]\n" in told
    assert "[... 998001 characters ...]" in told
    assert len(told) < 7_000


def test_a_line_that_fills_all_that_was_kept_still_shows_its_ends() -> None:
    told = shortened("a" * 60_000, "b" * 60_000, 1_000_000).told("f")
    assert told == "a" * LINE + "\n[... 1116000 bytes left out; all of it is in f ...]\n" + "b" * LINE


def test_a_line_a_little_too_long_is_not_shortened() -> None:
    line = "x" * (LINE + LINE // 5)
    assert short_line(line) == line
    assert "[... 401 characters ...]" in short_line(line + "x")


@pytest.mark.parametrize("most", [1, 100, 3_000])
def test_no_line_is_shown_twice(most: int) -> None:
    for count in range(1, 12):
        told = shortened(lines(count, 1_000), most=most).told("f").splitlines()
        assert len(told) == len(set(told))
