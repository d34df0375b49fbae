"""The agent loop, one for every role: ask the model, act on its tool calls, observe what came of it, repeat."""

from collections.abc import Callable

from engine.agents.commit_ids import told_in_copy
from engine.agents.compaction import Compaction
from engine.agents.conversation_log import Conversation
from engine.agents.nudges import Nudges
from engine.agents.tool_calls import ToolCalls
from engine.agents.tool_context import AgentToolContext
from engine.agents.transcript import Transcript
from engine.domain import events as e
from engine.domain.conversation import Block, Message, StopReason, Text, ToolCall, Turn
from engine.domain.errors import AttemptFailed, MessagesArrived, ModelError, ModelErrorKind
from engine.domain.os_text import utf8_text
from engine.domain.types import AgentState, CallId
from engine.runtime.host import Host
from engine.runtime.prompts import Prompt
from engine.tools.tool import refused

TOOL_NAME = 100
"""The most characters of a tool's name; models may invent names of any length."""


class Loop:
    """One agent's loop. `system` is the role's prompt, filled in; `opening` returns the first message.

    `run` returns when the agent has handed off. It raises AttemptFailed when the agent should not continue, ModelError
    when the model cannot be reached, WorkspaceLost when the sandbox was killed. Another `run` continues the
    conversation.
    """

    def __init__(
        self,
        host: Host,
        context: AgentToolContext,
        prompt: Prompt,
        system: str,
        opening: Callable[[], str],
        max_steps: int,
        conversation: Conversation | None = None,
    ) -> None:
        self.host = host
        self.context = context
        self.conversation = conversation or Conversation()
        if not self.conversation.turns and self.conversation.opening is None:
            self.conversation.opening = opening()
        context.sent_back = self.conversation.sent_back
        self._transcript = Transcript(host, context.agent.id, prompt, system, self.conversation)
        self._compaction = Compaction(self._transcript, opening)
        self._nudges = Nudges(self._transcript, max_steps)
        self._tools = ToolCalls(self._transcript, context, self._nudges)

    async def run(self, *, restarted: bool = False) -> None:
        """`restarted`: the conversation is that of an earlier process, in a workspace that lacks its processes."""
        self._transcript.continues = restarted
        if restarted:
            await self.host.pauses.safe_point(self.context.agent.id)
        if self.conversation.interrupted and await self._act(self.conversation.unanswered, resumed=True):
            return
        if restarted and self.conversation.used_shell and not self._tools.interrupted:
            self._transcript.remind("restarted")
        if self.context.agent.state is AgentState.WAITING:
            await self._sleep()
        while True:
            await self.host.pauses.safe_point(self.context.agent.id)
            if await self._act(await self._ask()):
                return

    # --- ask -------------------------------------------------------------------------------------------------

    async def _ask(self) -> tuple[ToolCall, ...]:
        """Ask for the model's next turn and record it, compacting the conversation if it is too long.

        Returns its calls as the model made them: in the record, keys are masked.
        """
        self._nudges.step()
        if self._compaction.is_due:
            await self._compaction.compact()
        self._transcript.record(e.AgentStateChanged(AgentState.THINKING))
        try:
            return await self._turn()
        except ModelError as error:
            if error.kind is not ModelErrorKind.CONTEXT_LENGTH or self.conversation.compacted_last:
                raise
            await self._compaction.compact(summarise=True)
            return await self._turn()

    async def _turn(self) -> tuple[ToolCall, ...]:
        """Make one model call and record it. Returns its tool calls."""
        while True:
            inbox = self._compaction.inbox
            given = self._transcript.given(inbox)
            seen = self._transcript.landings_seen
            given = await told_in_copy(self.context, given, inbox)
            request = self._transcript.request(given, self._compaction.max_output)
            started = self.host.clock.monotonic()
            try:
                turn = self._sanitised(await self.host.calls.ask(self.context.agent.id, request))
                break
            except MessagesArrived:
                if self._compaction.is_due and not self.conversation.compacted_last:
                    await self._compaction.compact()
        if inbox:
            self._nudges.messages_read()
        self._transcript.reminders_given()
        self._transcript.record(
            e.TurnTaken(
                model=self.context.agent.model,
                given=given,
                consumed=tuple(message.id for message in inbox),
                message=turn.message,
                stop=turn.stop,
                usage=turn.usage,
                prompt=self._transcript.prompt.label,
                wall_s=self.host.clock.monotonic() - started,
                intent=max((message.intent for message in inbox), default=0),
                landings_seen=seen,
            )
        )
        return turn.message.calls

    def _sanitised(self, turn: Turn) -> Turn:
        """The turn with new call ids that are unique in the run, only text that can be encoded, and calls as meant."""
        blocks: list[Block] = []
        for block in turn.message.blocks:
            if isinstance(block, ToolCall):
                tool, arguments = self._tools.meant(utf8_text(block.tool)[:TOOL_NAME], utf8_text(block.arguments))
                block = ToolCall(CallId(self.host.ids.new("c")), tool, arguments)
            elif isinstance(block, Text):
                block = Text(utf8_text(block.text))
            blocks.append(block)
        return Turn(Message("assistant", tuple(blocks)), turn.stop, turn.usage)

    # --- act -------------------------------------------------------------------------------------------------

    async def _act(self, calls: tuple[ToolCall, ...], *, resumed: bool = False) -> bool:
        """Run calls of the last turn, those that lack an answer. Returns whether the agent has handed off.

        `resumed`: the calls may have been started by a process that has died.
        """
        message, stop = self.conversation.messages[-1], self.conversation.stop
        if stop is StopReason.REFUSAL:
            raise AttemptFailed("the model refused to continue")
        if stop is StopReason.LENGTH:  # a cut-off call may not be what the model meant
            for call in calls:
                self._tools.answer(call, refused("not run: your answer was cut off at its length limit"))
        else:
            answers = await self._tools.run(calls, resumed=resumed)
            if any(answer.ends for answer in answers):
                return True
            if any(answer.sleeps for answer in answers):
                await self._sleep()
        self._nudges.observe(message, stop, self._tools.malformed)
        return False

    async def _sleep(self) -> None:
        """Wait for a message, without a workspace, and continue on the newest trunk."""
        agent = self.context.agent
        if agent.state is not AgentState.WAITING:  # the `wait` tool records it itself
            self._transcript.record(e.AgentStateChanged(AgentState.WAITING, "for a message"))
        if not self.host.snapshot.inboxes.get(agent.id):
            await self.context.close()
        await self.host.wake_ups.message_for(agent.id)
        await self.context.follow(await self.host.trunk.tip())
        self._nudges.start_over()
