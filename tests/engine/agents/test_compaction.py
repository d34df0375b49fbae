"""Conversations stay within their model's window: answers are dropped, then the agent writes a summary."""

import asyncio

import msgspec

from engine.agents.conversation_log import DROPPED, Conversation
from engine.domain.conversation import Message, Opaque, Request, ToolAnswer, Turn
from engine.domain.errors import ExitStatus, ModelError, ModelErrorKind
from engine.domain.types import ModelName, TaskState, Usage
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.scripts import done, planner_of, said
from tests.engine.swarms import fresh
from tests.engine.windows import answered, check_whole, is_summary, size
from tests.simulated import call, first_line, turn

WINDOW = 50_000
BIG = f"{'x' * 1_999}\n" * 3


def run(script: simulated.models.Script, files: dict[str, bytes]) -> tuple[simulated.World, Outcome, object]:
    async def main(clock: simulated.SimulatedClock) -> tuple[simulated.World, Outcome, object]:
        w = simulated.world(clock, script, files=files)
        w.models.tokens_in_window = WINDOW
        swarm = fresh(w, environment=None)
        outcome = await asyncio.wait_for(swarm.run(), 100_000)
        return w, outcome, swarm

    return simulated.simulate(main)


def test_a_long_task_stays_within_the_window_and_keeps_its_first_message() -> None:
    plan = planner_of("long")
    reads = 0

    def script(model: ModelName, request: Request) -> Turn:
        nonlocal reads
        if first_line(request).startswith("# Intent"):
            return plan(request)
        check_whole(request)
        assert size(request) < WINDOW
        assert request.messages[0].text.startswith("# Task: long")
        if is_summary(request):
            return answered(request, text=f"I have read {reads} files; {'s' * 400}")
        reads += 1
        if reads == 1:
            return answered(request, call("rewrite_scratchpad", text="the bridge is out"))
        if reads > 90:
            assert "the bridge is out" in said(request)
            assert "## So far" in said(request)
            return done()
        thought = "t" * 2_000  # an agent's own text is never dropped, so dropping answers is not enough in the long run
        return answered(request, call("read_file", path=f"{reads % 7}.txt", start=1, end=reads), text=thought)

    files = {f"{n}.txt": f"{n}{BIG}\n".encode() * 2 for n in range(7)}
    w, outcome, swarm = run(script, files)
    assert outcome.status is ExitStatus.DONE
    assert swarm.snapshot.task_counts[TaskState.UNCHANGED] == 1
    kinds = [event.kind for event in w.journal.surviving()]
    assert kinds.count("context_compacted") >= 1
    assert kinds.count("answers_dropped") >= 1
    for asked, following in zip(w.models.asked, w.models.asked[1:], strict=False):
        assert not (is_summary(asked.request) and is_summary(following.request)), "never twice in a row"


def test_a_context_length_error_compacts_and_asks_once_more() -> None:
    plan = planner_of("long")
    refusals = 0

    def script(model: ModelName, request: Request) -> Turn | Exception:
        nonlocal refusals
        if first_line(request).startswith("# Intent"):
            return plan(request)
        check_whole(request)
        if is_summary(request):
            return turn(text="so far so good")
        if size(request) > 2_000:  # a smaller window than the provider said
            refusals += 1
            return ModelError(ModelErrorKind.CONTEXT_LENGTH, "prompt is too long")
        return done() if "so far so good" in said(request) else turn(call("read_file", path="0.txt"))

    _, outcome, swarm = run(script, {"0.txt": BIG.encode() * 2})
    assert outcome.status is ExitStatus.DONE
    assert refusals == 1
    assert swarm.snapshot.task_counts[TaskState.UNCHANGED] == 1


def test_a_server_that_counts_too_few_tokens_does_not_get_ever_longer_requests() -> None:
    plan = planner_of("long")
    longest = calls = 0

    def script(model: ModelName, request: Request) -> Turn:
        nonlocal longest, calls
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if is_summary(request):
            return turn(text="so far so good", usage=Usage(10, 0, 1))
        calls += 1
        longest = max(longest, len(msgspec.json.encode(request.messages)))
        kept = Opaque("simulated", msgspec.Raw(msgspec.json.encode("x" * 200_000)))
        called = done() if calls > 30 else turn(call("read_file", path=f"{calls}.txt"))
        message = Message("assistant", (kept, *called.message.blocks))
        return msgspec.structs.replace(called, message=message, usage=Usage(10, 0, 1))

    _, outcome, _ = run(script, {})
    assert outcome.status is ExitStatus.DONE
    assert calls == 31
    assert longest < 20 * WINDOW + 300_000


def test_a_first_message_that_does_not_fit_fails_the_attempt_cleanly() -> None:
    plan = planner_of("hopeless")

    def script(model: ModelName, request: Request) -> Turn | Exception:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if is_summary(request):
            return turn(text="nothing yet")
        return ModelError(ModelErrorKind.CONTEXT_LENGTH, "prompt is too long")

    w, outcome, swarm = run(script, {"0.txt": b"x\n"})
    assert outcome.status is ExitStatus.DONE
    assert swarm.snapshot.task_counts[TaskState.FAILED] == 1
    assert len(w.models.asked) < 20


def test_a_conversation_rebuilt_from_events_is_the_same() -> None:
    plan = planner_of("long")
    reads = 0

    def script(model: ModelName, request: Request) -> Turn:
        nonlocal reads
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if is_summary(request):
            return answered(request, text="summed up")
        reads += 1
        return done() if reads > 30 else answered(request, call("read_file", path="0.txt", start=1, end=reads))

    w, _, swarm = run(script, {"0.txt": BIG.encode() * 2})
    worker = next(agent.id for agent in swarm.snapshot.agents.values() if agent.path == "root/w-1")
    folded = Conversation()
    for event in w.journal.surviving():
        if event.agent == worker:
            folded.apply(event)
    last = [asked.request for asked in w.models.asked if asked.request.conversation == worker][-1]
    assert tuple(folded.messages[:-1]) == last.messages
    assert any(DROPPED in block.text for m in last.messages for block in m.blocks if isinstance(block, ToolAnswer)) or (
        "## So far" in last.messages[0].text
    )


def test_an_agent_that_writes_no_summary_keeps_the_end_of_what_it_said() -> None:
    plan = planner_of("mute")
    reads = summaries = 0

    def script(model: ModelName, request: Request) -> Turn:
        nonlocal reads, summaries
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if is_summary(request):
            summaries += 1
            return answered(request, call("read_file", path="0.txt"))
        if "## So far" in said(request):
            assert "the well is dry" in said(request)
            return done()
        reads += 1
        thought = "the well is dry" if reads == 9 else "t" * 8_000
        return answered(request, call("read_file", path="0.txt", end=reads), text=thought)

    _, outcome, swarm = run(script, {"0.txt": b"x\n"})
    assert outcome.status is ExitStatus.DONE
    assert summaries == 2
    assert swarm.snapshot.task_counts[TaskState.UNCHANGED] == 1


def test_the_cost_of_a_first_try_at_a_summary_is_recorded_even_if_the_second_fails() -> None:
    plan = planner_of("dear")
    summaries = 0

    def script(model: ModelName, request: Request) -> Turn | Exception:
        nonlocal summaries
        if first_line(request).startswith("# Intent"):
            return plan(request)
        if is_summary(request):
            summaries += 1
            silent = turn(call("read_file", path="0.txt"), usage=Usage(45_000, 0, 10, 1.0))
            return silent if summaries == 1 else ModelError(ModelErrorKind.BAD_REQUEST, "odd")
        if summaries:
            return done()
        return turn(call("rewrite_scratchpad", text="x"), usage=Usage(45_000, 0, 10, 0.5))

    _, outcome, swarm = run(script, {"0.txt": b"x\n"})
    assert outcome.status is ExitStatus.DONE
    assert summaries == 2
    assert swarm.snapshot.usage.usd > 1.5
    assert swarm.snapshot.task_counts[TaskState.UNCHANGED] == 1
