"""A run as OpenTelemetry spans: complete, nested, with the names of the GenAI conventions."""

import io
from pathlib import Path
from typing import Any

from msgspec import json

from engine.domain import events as e
from engine.journal.writer import SqliteJournal
from engine.reports.export import export_otel
from engine.reports.otel import Spans
from tests.bench.week import Week
from tests.engine.journal.stories import story


def spans_of(events: list[e.Event]) -> list[dict[str, Any]]:
    spans = Spans()
    lines = [line for event in events for line in spans.take(event)] + list(spans.rest())
    return [span_in(line) for line in lines]


def span_in(line: bytes) -> dict[str, Any]:
    [resource] = json.decode(line)["resourceSpans"]
    [scope] = resource["scopeSpans"]
    [span] = scope["spans"]
    span["attributes"] = {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}
    return dict(span)


def week(batches: int) -> list[e.Event]:
    made = Week(workers=3).batches()
    return [event for _ in range(batches) for event in next(made)]


def test_every_turn_tool_call_and_agent_is_a_span_below_its_parent() -> None:
    events = week(2_000)
    spans = spans_of(events)
    kinds = [span["attributes"]["gen_ai.operation.name"] for span in spans]
    bodies = [type(event.body) for event in events]
    assert kinds.count("chat") == bodies.count(e.TurnTaken)
    assert kinds.count("execute_tool") == bodies.count(e.ToolFinished)
    assert kinds.count("invoke_agent") == bodies.count(e.AgentSpawned)
    by_id = {span["spanId"]: span for span in spans}
    assert len(by_id) == len(spans)
    assert len({span["traceId"] for span in spans}) == 1
    roots = [span for span in spans if "parentSpanId" not in span]
    assert [span["name"] for span in roots] == ["swarm run"]
    for span in spans:
        assert (len(span["traceId"]), len(span["spanId"])) == (32, 16)
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        if span not in roots:
            above = by_id[span["parentSpanId"]]
            assert above["attributes"]["gen_ai.operation.name"] in ("invoke_agent", "invoke_workflow")
    chat = next(span for span in spans if span["attributes"]["gen_ai.operation.name"] == "chat")
    assert chat["name"] == "chat week"
    assert chat["attributes"]["gen_ai.usage.input_tokens"] == "20000"
    assert chat["attributes"]["gen_ai.usage.cache_read.input_tokens"] == "18000"
    tool = next(span for span in spans if span["name"] == "execute_tool shell")
    assert int(tool["startTimeUnixNano"]) < int(tool["endTimeUnixNano"])
    noted = [note["name"] for span in spans for note in span["events"]]
    assert noted.count("swarm.handoff") == bodies.count(e.HandedOff)
    assert noted.count("swarm.landing") == bodies.count(e.LandingFinished)


def test_any_run_can_be_exported_even_with_hostile_text() -> None:
    told = story(3, 600)
    told.tell(e.ModelCallRetried(told.snapshot.models["planner"], "\ud800 \x1b[0m", 1.0), told.snapshot.root)
    assert spans_of(told.events)


async def test_spans_are_exported_from_a_journal(tmp_path: Path) -> None:
    events = week(50)
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    journal.append(events)
    await journal.close()
    out = io.BytesIO()
    assert await export_otel(tmp_path / "journal.db", out) == events[-1].seq
    assert [span_in(line) for line in out.getvalue().splitlines()] == spans_of(events)
