"""What commands print about a hostile journal holds nothing that a terminal executes or that nobody sees."""

import asyncio
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from engine.domain.events import Event
from engine.domain.json_text import json_line, log_text
from engine.journal.writer import SqliteJournal
from engine.runs.folder import RunFolder
from engine.state.fold import fold
from engine.state.snapshot import Snapshot
from tests.engine.journal.stories import story
from tests.tui.command_line import Person
from tui.format.text import clean

SPOOFS = (
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\ufff9",
    "\U000e0001",
    "\U000e0041",
    "\udc80",
)
EVIL = "\x1b]0;OWNED\x07\x9b2J\x9d0;X\x9c" + "".join(SPOOFS)
WORD = EVIL.replace("\0", "").replace("\udc80", "")
"""As an argument of a program, which holds no NUL."""
KEPT = {"kind", "state", "settings", "run", "level", "part", "mark"}
"""Fields that are read as names of the program's own."""
PROSE = {"text", "goal", "answer", "reason", "summary", "detail", "arguments"}
RUN = "20300101-000000-evil"


def spoiled(value: Any, field: str = "") -> Any:
    """The value with EVIL after every text in it that comes from outside."""
    if isinstance(value, Struct):
        return replace(value, **{name: spoiled(getattr(value, name), name) for name in value.__struct_fields__})
    if isinstance(value, tuple):
        return tuple(spoiled(each, field) for each in value)
    if isinstance(value, dict):
        return {spoiled(key): spoiled(each, field) for key, each in value.items()}
    if type(value) is not str or not value or field in KEPT:
        return value
    return value + (EVIL if field in PROSE else EVIL.replace("\udc80", ""))


def hostile_events() -> list[Event]:
    snapshot, events = Snapshot(), []
    for event in story(7, 400).events:
        events.append(spoiled(event))
        fold(snapshot, events[-1])
    return events


def unsafe(text: str) -> set[str]:
    """The characters of a printed text that a terminal executes, or that nobody sees."""
    hidden = {char for char in set(text) if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return {f"U+{ord(char):04X}" for char in hidden - {"\n"}}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person(tmp_path)
    folder = RunFolder(person.state / "repo-00000000" / RUN)
    folder.path.mkdir(parents=True)

    async def write() -> None:
        journal = await SqliteJournal.open(folder.journal)
        events = hostile_events()
        journal.append(events)
        await journal.durable(events[-1].seq)
        await journal.close()

    asyncio.run(write())
    return person


@pytest.mark.parametrize(
    "words",
    [
        ("runs",),
        ("runs", "--json"),
        ("report", RUN),
        ("report", RUN, "--json"),
        ("export", RUN),
        ("export", RUN, "--format", "otel"),
        ("replay", RUN, "--headless"),
        ("replay", RUN, "--headless", "--until", WORD),
        ("send", RUN, WORD),
        ("report", WORD),
        (f"--{WORD}",),
        ("run", "--intent", WORD),
        ("doctor", WORD),
        ("lint-intent", WORD),
        ("init", WORD),
        ("help", WORD),
        ("attach", WORD),
        ("demo", WORD),
        ("archive", RUN, "--before", WORD),
    ],
    ids=lambda words: " ".join(word if word.isprintable() else "EVIL" for word in words),
)
def test_a_command_prints_hostile_text_as_text(person: Person, words: tuple[str, ...]) -> None:
    answer = person.swarm(*words)
    assert unsafe(answer.out) == set()
    assert unsafe(answer.err) == set()
    assert answer.out or answer.err


@pytest.mark.parametrize("char", SPOOFS, ids=lambda char: f"U+{ord(char):04X}")
def test_json_and_text_show_what_they_escape(char: str) -> None:
    printed = json_line({f"a{char}b": [f"c{char}d"]}).decode()
    assert unsafe(printed) == set()
    same = r"\x80" if char == "\udc80" else char
    assert json.loads(printed) == {f"a{same}b": [f"c{same}d"]}
    assert unsafe(clean(f"a{char}b")) == set()
    assert unsafe(log_text(f"a{char}b")) <= {"U+0009"}
    assert char in "\n" or clean(f"a{char}b") != "ab"
