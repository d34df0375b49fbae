"""Events survive a round trip through the journal, with large and hostile strings."""

import math
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw, json

from engine.domain import events as e
from engine.domain.conversation import Message, Opaque, StopReason, Text
from engine.domain.resource_use import Sample
from engine.domain.types import ModelName, Usage
from engine.journal.blobs import LIMIT, BlobMissing, Shelf, unpack
from engine.journal.body_codec import decode_body, encode_body
from engine.journal.writer import SqliteJournal
from tests.engine.journal.bodies import HOSTILE, KINDS, numbered, strategy

SLOW = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def there_and_back(body: e.Body) -> tuple[e.Body, bytes]:
    shelf = Shelf()
    _, text = encode_body(body, shelf)
    blobs = {blob.hash: unpack(blob.hash, blob.codec, blob.size, blob.data) for blob in shelf.take()}
    return decode_body(text, blobs), text


def turn(*blocks: Text | Opaque) -> e.TurnTaken:
    return e.TurnTaken(ModelName("a:b"), None, (), Message("assistant", blocks), StopReason.END, Usage(), "p@1", 1.0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_event_survives_a_round_trip(kind: type) -> None:
    @SLOW
    @given(strategy(kind))
    def check(body: e.Body) -> None:
        back, text = there_and_back(body)
        assert back == body
        text.decode()  # SQLite stores UTF-8
        json.decode(text)  # and it is JSON

    check()


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_strings_survive_a_round_trip(text: str) -> None:
    for body in (e.Warned(text), turn(Text(text), Opaque(text, Raw(b'{"a": 1}')))):
        assert there_and_back(body)[0] == body


def test_only_strings_over_the_limit_move_to_blobs() -> None:
    assert b"x" * LIMIT in there_and_back(e.Warned("x" * LIMIT))[1]
    text = there_and_back(e.Warned("x" * (LIMIT + 1)))[1]
    assert len(text) < 100
    assert json.decode(text)["text"].startswith("blob:")


def test_a_providers_raw_json_keeps_every_byte() -> None:
    for data in (b' {"a" : 1}', b'{"a":"\\ud800"}', b'{"a":"' + b"s" * 9000 + b'"}', b'"json:x"', b'["\\u00e9"]'):
        back, _ = there_and_back(turn(Text("\ud800"), Opaque("anthropic", Raw(data))))
        assert isinstance(back, e.TurnTaken)
        block = back.message.blocks[1]
        assert isinstance(block, Opaque)
        assert bytes(block.data) == data


def test_nan_and_infinity_become_zero_and_the_event_stays_readable() -> None:
    back, _ = there_and_back(e.Sampled(Sample(memory=5, cpu=math.nan, disk_read=math.inf)))
    assert back == e.Sampled(Sample(memory=5, cpu=0.0, disk_read=0.0))


def test_a_blob_that_does_not_match_its_hash_is_rejected() -> None:
    shelf = Shelf()
    shelf.put(b"a" * 5000)
    [blob] = shelf.take()
    with pytest.raises(BlobMissing):
        unpack(blob.hash, "raw", 3, b"abc")
    with pytest.raises(BlobMissing):
        unpack(blob.hash, "zstd", 3, b"abc")
    with pytest.raises(BlobMissing):
        decode_body(encode_body(e.Warned("a" * 5000), Shelf())[1], {})


async def test_a_file_of_generated_events_survives_a_round_trip(tmp_path: Path) -> None:
    @settings(deadline=None, max_examples=5, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of([strategy(kind) for kind in KINDS]), min_size=20, max_size=40))
    def collect(bodies: list[e.Body]) -> None:
        collected.append(bodies)

    collected: list[list[e.Body]] = []
    collect()
    for bodies in collected:
        events = numbered(bodies)
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            journal = await SqliteJournal.open(Path(folder) / "journal.db")
            journal.append(events)
            await journal.durable(len(events))
            assert [event async for event in journal.events()] == events
            await journal.close()


async def test_bodies_are_readable_with_plain_sql(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append(numbered([e.Warned("short"), e.Warned("\ud800 odd"), e.Warned("y" * 5000), e.Warned("y" * 5000)]))
    await journal.close()
    db = sqlite3.connect(tmp_path / "journal.db")
    texts = [row[0] for row in db.execute("SELECT json_extract(body, '$.text') FROM events ORDER BY seq")]
    assert texts[:2] == ["short", "\ufffd odd"]
    assert texts[2] == texts[3]
    assert texts[2].endswith(":5000")
    [[hash, codec, size]] = db.execute("SELECT hash, codec, size FROM blobs").fetchall()
    assert texts[2] == f"blob:{hash}:{size}"
    assert codec == "zstd"
    db.close()
