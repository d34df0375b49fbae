"""Server-sent events are parsed from any chunks, and only complete ones are returned."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from engine.models.adapters.error_mapping import retry_after
from engine.models.adapters.sse import EventParser, ServerEvent

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["", "ping", "message_start"]), st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))
    ),
    max_size=8,
)


@given(EVENTS, st.sampled_from(["\n", "\r\n"]), st.lists(st.integers(0, 400), max_size=30))
def test_the_chunks_of_a_stream_do_not_matter(events: list[tuple[str, str]], newline: str, cuts: list[int]) -> None:
    text = "".join(
        (f"event: {name}{newline}" if name else "") + f": note{newline}data: {data}{newline}{newline}"
        for name, data in events
    ).encode()
    parser = EventParser()
    found: list[ServerEvent] = []
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for start, end in itertools.pairwise(edges):
        found += parser.feed(text[start:end])
    assert found == [ServerEvent(name, data.encode()) for name, data in events]


@given(st.binary(max_size=600))
def test_any_bytes_are_parsed_without_an_error(junk: bytes) -> None:
    whole = EventParser().feed(junk)
    parser = EventParser()
    assert [event for n in range(len(junk)) for event in parser.feed(junk[n : n + 1])] == whole


def test_an_event_without_its_empty_line_is_dropped() -> None:
    parser = EventParser()
    assert parser.feed(b"event: a\ndata: 1\n") == []
    assert parser.feed(b"data: 2\n\n") == [ServerEvent("a", b"1\n2")]


def test_retry_after_may_be_a_date() -> None:
    noon = 1_767_225_600_000_000  # 2026-01-01 00:00 UTC
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, noon) == 30
    assert retry_after({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, noon) == 0
    for nonsense in ("", "soon", "-5", "nan", "inf", "Thu, 99 Foo"):
        assert retry_after({"retry-after": nonsense}, noon) is None
