"""Events are the same however a stream is cut, and whatever stands between them that carries nothing."""

import itertools
import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import ModelError
from engine.models.adapters.error_mapping import retry_after
from engine.models.adapters.sse import DONE, EventParser, ServerEvent
from engine.models.adapters.wire_format import Json
from tests.engine.models.dialects import DIALECTS, TWO_CALLS, Dialect

NOISE = (
    b": OPENROUTER PROCESSING",
    b":",
    b"id: 7",
    b"retry: 100",
    b"data:",
    b"data",
    b"data: ",
    b"data: : keepalive",
    b"data: still here",
    b"data: null",
    b"half of something",
    b"[INFO] waiting",
    b"<!-- proxy -->",
    b"\xff\xfe",
)
"""Lines that carry nothing, wherever they stand between lines of events."""
PINGS = (b"event: ping\ndata: {}", b"event: ping\ndata: nothing yet", b'data: {"type": "ping"}', b"event: ping")


def parsed(*chunks: bytes) -> list[ServerEvent]:
    parser = EventParser()
    found = [event for chunk in chunks for event in parser.feed(chunk)]
    return [*found, *parser.close()]


def said(chunks: list[bytes]) -> list[tuple[bool, Json]]:
    """The events without their names, which their types repeat."""
    return [(event.name == DONE, event.data) for event in parsed(*chunks)]


def cut(text: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(text), *(place for place in cuts if place < len(text))})
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(seed=st.integers(0, 2**32))
def test_any_cut_of_a_stream_with_noise_between_its_lines_gives_the_same_events(dialect: Dialect, seed: int) -> None:
    chance = Random(seed)
    answer = dialect.answer("grüß ", "\u2028☀", " {[x]}", calls=TWO_CALLS)
    expected = said(answer)
    lines: list[bytes] = chance.choice([[], [b"\xef\xbb\xbf"]])
    blank = chance.choice([[b""], [b"", b"", b""], []])
    for event in answer:
        lines += [*chance.choices([*NOISE, *PINGS], k=chance.randrange(3)), *blank]
        for line in event.splitlines()[:-1]:
            lines += [line, *chance.choices(NOISE, k=chance.randrange(2))]
        lines += blank
    newline = chance.choice([b"\n", b"\r\n", b"\r"])
    text = newline.join(newline.join(line.split(b"\n")) for line in lines)
    text = text.replace(b"data: {", chance.choice([b"data: {", b"data:{", b"data:   {", b"data: data: {"]))
    assert len(expected) >= 5
    cuts = [chance.randrange(len(text)) for _ in range(chance.randrange(30))]
    assert said(cut(text, cuts)) == expected
    assert said([text[n : n + 1] for n in range(len(text))]) == expected


@given(st.binary(max_size=600) | st.text('{}[]":,dat1 \n\r', max_size=80).map(str.encode))
def test_any_bytes_give_events_or_the_same_error_wherever_they_are_cut(junk: bytes) -> None:
    def outcome(chunks: list[bytes]) -> object:
        try:
            return parsed(*chunks)
        except ModelError as error:
            return error.message

    assert outcome([junk[n : n + 1] for n in range(len(junk))]) == outcome([junk])


def test_lines_of_one_event_are_joined_and_two_events_without_an_empty_line_are_not() -> None:
    assert parsed(b'data: {"a":\ndata: 1}\n\n') == [ServerEvent("", {"a": 1})]
    assert parsed(b'event: x\ndata: {"a": {}\ndata: }\ndata: {"b": 2}\n') == [
        ServerEvent("x", {"a": {}}),
        ServerEvent("", {"b": 2}),
    ]


def test_an_event_is_complete_at_the_end_of_the_stream_exactly_if_its_json_is() -> None:
    assert parsed(b'event: a\ndata: {"b": 1}') == [ServerEvent("a", {"b": 1})]
    with pytest.raises(ModelError, match=r'it ended inside an event: \{"b": 1'):
        parsed(b'event: a\ndata: {"b": 1')


@pytest.mark.parametrize("indent", [None, 2])
def test_json_that_is_no_event_stream_is_read(indent: int | None) -> None:
    body = {"object": "chat", "choices": [{"message": {"content": "{\n}"}}, {}]}
    text = json.dumps(body, indent=indent).encode()
    assert parsed(text) == parsed(text + b"\n\n") == [ServerEvent("", body)]
    assert parsed(b"[" + text + b",\n" + text + b"]") == [ServerEvent("", body)] * 2
    assert parsed(b'{"a": 1}\n{"a": 2}\n') == [ServerEvent("", {"a": 1}), ServerEvent("", {"a": 2})]
    assert parsed(b'data: {"a": 1}\n\n' + text) == [ServerEvent("", {"a": 1}), ServerEvent("", body)]


def test_what_json_does_not_allow_but_servers_send_is_read() -> None:
    assert parsed(b'data: {"a": "\xc3"}\n\n') == [ServerEvent("", {"a": "�"})], "half a character"
    assert parsed(b'data: {"a": "\t"}\n\n') == [ServerEvent("", {"a": "\t"})]
    assert parsed(b'data: {"a": 1}{"a": 2}\n\n') == [ServerEvent("", {"a": 1}), ServerEvent("", {"a": 2})]
    with pytest.raises(ModelError):
        parsed(b'data: {"a": "\\ud800"}\n\n')


def test_an_error_quotes_what_is_broken_without_the_key() -> None:
    parser = EventParser("sk-secret-0123456789")
    with pytest.raises(ModelError, match="an event is not JSON") as caught:
        list(parser.feed(b'data: {"sk-secret-0123456789": ' + b"x" * 10_000 + b"\n\n"))
    assert "sk-secret" not in caught.value.message
    assert len(caught.value.message) < 300


def test_retry_after_may_be_a_date() -> None:
    noon = 1_767_225_600_000_000  # 2026-01-01 00:00 UTC
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, noon) == 30
    assert retry_after({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, noon) == 0
    for nonsense in ("", "soon", "-5", "nan", "inf", "Thu, 99 Foo"):
        assert retry_after({"retry-after": nonsense}, noon) is None
