"""Runs the tool calls of one turn and records their answers."""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from engine.agents.conversation_log import HAND_OFF
from engine.agents.nudges import Nudges
from engine.agents.tool_context import AgentToolContext
from engine.agents.transcript import Transcript
from engine.domain import events as e
from engine.domain.bounds import unstorable
from engine.domain.conversation import ToolCall
from engine.domain.errors import AttemptFailed, BudgetSpent, SwarmError
from engine.domain.handoff_facts import SuiteRun
from engine.domain.masking import marks_in
from engine.domain.os_text import utf8_text
from engine.domain.types import ToolCallState
from engine.policy.tool_call_reading import arguments_meant, tool_meant
from engine.ports.protocols import WorkspaceError, WorkspaceLost
from engine.tools.tool import Answer, Tool, refused

MAX_ERROR = 1_000
"""Characters of an error: it may repeat what the model sent."""
MAX_TARGET = 300

log = logging.getLogger("swarm")


class ToolCalls:
    """One agent's tool calls. `malformed`: what is wrong with each invalid call of the last turn. `interrupted`:
    whether the agent was told that a call was interrupted."""

    def __init__(self, transcript: Transcript, context: AgentToolContext, nudges: Nudges) -> None:
        self.malformed: list[str] = []
        self.interrupted = False
        self._transcript = transcript
        self._prompts = transcript.host.prompts
        self._tools = transcript.host.toolbox.tools
        self._context = context
        self._nudges = nudges

    def meant(self, name: str, arguments: str) -> tuple[str, str]:
        """The tool and the arguments of a call, if they can only mean one thing; else what the model wrote."""
        name = tool_meant(name, self._transcript.prompt.front.tools)
        tool = self._tools.get(name)
        return name, arguments if tool is None else arguments_meant(arguments, tool.arguments)

    async def run(self, calls: tuple[ToolCall, ...], *, resumed: bool = False) -> list[Answer]:
        """Run the calls: reads in parallel, all others one by one, and tools marked `last` after the rest.

        Once the agent has handed off, no further call runs. `resumed`: the calls may have started in a process that
        has died. Those that did, and may have changed something, do not run again.
        """
        started = set(self._transcript.conversation.started) if resumed else set()
        self.malformed.clear()
        answers: list[Answer] = []
        reads: list[ToolCall] = []

        async def flush() -> None:
            """Run the reads in parallel, and wait for all of them before an error of one is raised."""
            ended = await asyncio.gather(*(self._call(call) for call in reads), return_exceptions=True)
            reads.clear()
            for each in ended:
                if isinstance(each, BaseException):
                    raise each
                answers.append(each)

        for call in sorted(calls, key=self._is_last):
            tool = self._tools.get(call.tool)
            if any(answer.ends for answer in answers):
                self.answer(call, refused("not run: you have already handed off"))
            elif tool is not None and not tool.writes and not tool.last:
                reads.append(call)
            else:
                await flush()
                if call.id in started and tool is not None and tool.writes and not (tool.atomic or tool.repeatable):
                    self.interrupted = True
                    interrupted = refused(self._prompts["interrupted"].render())
                    self.answer(call, interrupted, state=ToolCallState.INTERRUPTED)
                elif call.tool == HAND_OFF and (unseen := _failed(answers)):
                    self.answer(call, refused(f"not handed off: in this same turn {unseen}. Look at that first"))
                else:
                    answers.append(await self._call(call))
        await flush()
        return answers

    def answer(
        self,
        call: ToolCall,
        answer: Answer,
        *,
        state: ToolCallState | None = None,
        wall_s: float = 0.0,
        cause: int | None = None,
    ) -> None:
        """Record the answer to a call, atomically with the events that the call causes."""
        if state is None:
            state = ToolCallState.ERROR if answer.error else ToolCallState.OK
        finished = e.ToolFinished(
            call=call.id,
            tool=call.tool,
            state=state,
            answer=utf8_text(answer.text),
            paths=answer.paths,
            wall_s=wall_s,
            gate_wait_s=answer.gate_wait_s,
            build=answer.build,
            tests=answer.tests,
        )
        self._transcript.record(finished, *answer.drafts, cause=cause)

    async def _call(self, call: ToolCall) -> Answer:
        parsed = self._parse(call)
        if isinstance(parsed, Answer):
            self.answer(call, parsed)
            self.malformed.append(parsed.text)
            return parsed
        tool, arguments = parsed
        target = utf8_text(tool.target(arguments)[:MAX_TARGET])
        cause = self._transcript.record(e.ToolStarted(call.id, tool.name, call.arguments, tool.writes, target))
        clock = self._transcript.host.clock
        if tool.writes and not tool.atomic:  # what it changes outlives this process, so its start must, too
            await self._transcript.host.durable(cause)
        started = clock.monotonic()
        try:
            answer = self._masked_key(tool, arguments) or await tool.call(self._context, arguments)
            if number := unstorable(answer.drafts):
                answer = refused(f"not done: {number} is too large a number")
        except WorkspaceError as error:
            answer = refused(str(error))
        except (AttemptFailed, BudgetSpent, OSError, SwarmError, WorkspaceLost):
            raise
        except Exception as error:  # the run goes on: the agent can try in another way
            log.exception("the tool %s failed", tool.name)
            answer = refused(f"the tool failed on these arguments: {type(error).__name__}: {error}"[:MAX_ERROR])
        self.answer(call, answer, wall_s=clock.monotonic() - started, cause=cause)
        if answer.hopeless:
            raise AttemptFailed(answer.hopeless)
        if not answer.ends and not answer.sleeps:
            self._nudges.call_answered(call, answer.text, writes=tool.writes)
        return answer

    def _parse(self, call: ToolCall) -> tuple[Tool, msgspec.Struct] | Answer:
        names = self._transcript.prompt.front.tools
        if call.tool not in names:
            return refused(f"there is no tool {call.tool[:80]!r}; your tools: {', '.join(names)}")
        tool = self._tools[call.tool]
        try:
            return tool, msgspec.json.decode(call.arguments.strip() or "{}", type=tool.arguments)
        except (msgspec.DecodeError, RecursionError) as error:
            return refused(f"invalid arguments for {call.tool}: {error}"[:MAX_ERROR])

    def _masked_key(self, tool: Tool, arguments: msgspec.Struct) -> Answer | None:
        """A refusal, if the call would write the mask of a key into the workspace where the key belongs."""
        if not tool.writes or tool.atomic or not (marks := marks_in(arguments)):
            return None
        return refused(self._prompts["masked"].render(mark=marks[0]))

    def _is_last(self, call: ToolCall) -> bool:
        tool = self._tools.get(call.tool)
        return tool is not None and tool.last


def _failed(answers: Sequence[Answer]) -> str:
    """What went wrong in calls whose answers the agent has not seen yet; empty if nothing did."""
    for answer in answers:
        if isinstance(answer.tests, SuiteRun) and answer.tests.passed is False:
            return f"a test run ended with: {answer.tests.ended}"
        if answer.error:
            return f"a call failed: {answer.text.partition(chr(10))[0][:MAX_TARGET]}"
    return ""
