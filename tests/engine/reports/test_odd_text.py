"""Every kind of event, with any text in it, can be exported, printed and shown."""

import io
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.events import Body, Event, ToolStarted, TurnTaken, Warned
from engine.domain.types import AgentId, CallId, TaskId
from engine.journal.writer import SqliteJournal
from engine.reports.export import export_jsonl, export_otel
from engine.reports.json_lines import event_line
from tests.engine.journal.bodies import HOSTILE, KINDS, strategy
from tui.format.event_lines import describe
from tui.format.text import clean


@pytest.mark.parametrize("kind", sorted({*KINDS} - {TurnTaken}, key=str), ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_every_kind_of_event_has_lines_that_can_be_printed(kind: type, data: st.DataObject) -> None:
    event = Event(1, 1_000, 1, data.draw(strategy(kind)), AgentId("a\udce9"), TaskId("t\ud800"))
    assert json.loads(event_line(event).decode())["seq"] == 1
    shown = clean(describe(event).text)
    shown.encode()
    assert not {char for char in shown.replace("\n", "") if unicodedata.category(char) in ("Cc", "Cs")}


async def test_a_journal_with_any_text_can_be_exported(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = await SqliteJournal.open(path)
    bodies: list[Body] = [Warned(text) for text in HOSTILE]
    bodies += [ToolStarted(CallId(text), text, text, True, text) for text in HOSTILE]
    journal.append([Event(n, n, 1, body, AgentId("a-1"), TaskId("t-1")) for n, body in enumerate(bodies, 1)])
    await journal.durable(len(bodies))
    await journal.close()
    for export in (export_jsonl, export_otel):
        out = io.BytesIO()
        await export(path, out)
        for line in out.getvalue().decode().splitlines():
            json.loads(line)
