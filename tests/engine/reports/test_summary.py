"""The summary of a run, and its events as lines of JSON."""

import msgspec

from engine.domain import events as e
from engine.domain.conversation import Message, Opaque, StopReason, Text, ToolCall
from engine.domain.types import (
    Agent,
    AgentId,
    AgentPath,
    CallId,
    Check,
    CommitId,
    ModelName,
    Role,
    RunId,
    RunState,
    Usage,
)
from engine.reports.json_lines import event_line, export_lines
from engine.reports.summary import summarise
from engine.state.fold import fold
from engine.state.snapshot import Snapshot

SECOND = 1_000_000


def snapshot(*bodies: tuple[e.Body, AgentId | None]) -> Snapshot:
    folded = Snapshot()
    for seq, (body, agent) in enumerate(bodies, start=1):
        fold(folded, e.Event(seq=seq, at=seq * SECOND, epoch=1, body=body, agent=agent))
    return folded


CREATED = e.RunCreated(RunId("r"), "/repo", "main", CommitId("b" * 40), "make test", {}, "{}", "0.1.0")
ROOT = Agent(AgentId("a1"), AgentPath("root"), None, Role.PLANNER, ModelName("openai:m"), "root")
TURN = e.TurnTaken(
    ModelName("openai:m"),
    "hello",
    (),
    Message("assistant", (Text("hi"),)),
    StopReason.END,
    Usage(10, 4, 2, None),
    "p",
    0.1,
)


def test_the_summary_of_a_new_run_has_nulls_for_unknown_values() -> None:
    epoch = e.EpochStarted(1, "full", "overlay", not_guaranteed=("a lack",), granted=("network",), tools=("/opt/x",))
    run = snapshot((CREATED, None), (epoch, None))
    summary = msgspec.to_builtins(summarise(run, 12 * SECOND, "/runs/journal.db"))
    assert (summary["state"], summary["exit_status"]) == ("running", None)
    assert (summary["base"], summary["trunk"], summary["green"]) == ("b" * 40, "b" * 40, None)
    assert (summary["wall_s"], summary["landed_per_hour"], summary["error_rate"]) == (10.0, 0.0, None)
    assert summary["usd"] == 0.0
    assert summary["db"] == "/runs/journal.db"
    assert summary["sandbox_level"] == "full"
    assert (summary["sandbox_not_guaranteed"], summary["sandbox_granted"]) == (("a lack",), ("network",))
    assert summary["sandbox_tools"] == ("/opt/x",)


def test_the_summary_counts_tokens_usd_agents_and_checks() -> None:
    check = Check(0, CommitId("c"), passed=False, exit=1, output="", wall_s=1.0)
    run = snapshot(
        (CREATED, None),
        (e.EpochStarted(1, "full", "overlay"), None),
        (e.AgentSpawned(ROOT), None),
        (TURN, ROOT.id),
        (e.CheckFinished(check), None),
        (e.RunStateChanged(RunState.FINISHED, "over", 1), None),
    )
    summary = summarise(run, 100 * SECOND, "/j")
    assert (summary.agents["planners"], summary.agents["workers"], summary.agents["total"]) == (1, 0, 1)
    assert msgspec.to_builtins(summary.tokens) == {"input": 10, "cached": 4, "output": 2}
    assert summary.usd is None  # a price was unknown
    assert (summary.check["failed"], summary.error_rate, summary.exit_status) == (1, 1.0, 1)
    assert summary.wall_s == 4.0  # up to its end, not up to now


def test_the_line_of_an_event_has_the_columns_of_the_journal() -> None:
    line = msgspec.json.decode(event_line(e.Event(7, 8, 2, e.Warned("care"), AgentId("a"))))
    assert line == {
        **{"seq": 7, "at": 8, "epoch": 2, "kind": "warned", "agent": "a", "task": None, "cause": None},
        "body": {"text": "care"},
    }


def test_a_turn_is_exported_as_an_event_and_its_messages() -> None:
    message = Message(
        "assistant",
        (
            Opaque("anthropic", msgspec.Raw(b'{"signature":"s"}')),
            Text("half a pair: \ud83d"),
            ToolCall(CallId("c"), "shell", "{"),
        ),
    )
    turn = msgspec.structs.replace(TURN, message=message)
    event, told, said = (msgspec.json.decode(line) for line in export_lines(e.Event(1, 2, 1, turn, AgentId("a"))))
    assert event["body"]["message"]["blocks"][0]["data"] == {"signature": "s"}
    assert (told["role"], told["text"]) == ("user", "hello")
    assert said["text"] == r"half a pair: \ud83d"
    assert (said["role"], said["calls"]) == ("assistant", [{"id": "c", "tool": "shell", "arguments": "{"}])
