"""The agent loop, one for every role: build the context, ask the model, run its tool calls, append, repeat."""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Callable

import msgspec

from engine.agents.conversation_log import Conversation, joined, outstanding, pinned, readable
from engine.agents.desk import AgentDesk
from engine.agents.host import AttemptFailed, BudgetSpent, Host
from engine.agents.prompts import Prompt
from engine.domain import events as e
from engine.domain.conversation import Block, Message, Request, StopReason, Text, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.events import Draft
from engine.domain.masking import marks_in
from engine.domain.types import AgentId, AgentState, CallId, MessageId, Pathology, ToolCallState, Usage
from engine.domain.utf8 import clean
from engine.policy.pathologies import found
from engine.ports.protocols import WorkspaceError
from engine.tools.tool import Answer, Tool, refused

NUDGES = 3
"""Turns without a tool call that are nudged; the next one fails the attempt."""
MALFORMED = 3
"""Turns in a row of which no call makes sense that fail the attempt."""
REPEATS_NUDGED = 3
REPEATS_FAILED = 6
"""How often the same call may get the same answer."""
FULL = 0.85
"""Share of the model's window at which the context is compacted."""
ANSWERS_KEPT = 6
"""The newest tool answers, which compaction leaves whole."""
MAX_OUTPUT = 16_000
"""Tokens of one answer, where the window has room for them."""
MARGIN = 0.02
"""Share of the window by which estimates may be wrong."""
ALIGNED = 6_000
"""Characters of what was asked that a reminder repeats."""
INBOX = 0.25
"""Share of the window that messages may take in one turn."""
SUMMARY_TRIES = 2
SUMMARY_MOST = 16_000
"""Characters of a summary that are kept."""
WORTH_DROPPING = 0.15
"""Share of the window that dropping old answers must free to be enough by itself."""


class Loop:
    """One agent's loop. `opening` makes the pinned first message, `system` is the role prompt filled in.

    `run` returns when the agent has handed off. It raises AttemptFailed when going on is of no use, ModelError when
    the model cannot be reached, WorkspaceLost when the copy died. A later `run` goes on with the same conversation.
    """

    def __init__(
        self,
        host: Host,
        desk: AgentDesk,
        prompt: Prompt,
        system: str,
        opening: Callable[[], str],
        max_steps: int,
        conversation: Conversation | None = None,
    ) -> None:
        self.host = host
        self.desk = desk
        self.agent: AgentId = desk.agent.id
        self.prompt = prompt
        self.system = system
        self.opening = opening
        self.max_steps = max_steps
        self.conversation = conversation or Conversation()
        self.specs = host.toolbox.specs(prompt.front.tools)
        self._asides: list[str] = []
        self._steps = 0
        self._silent = 0
        self._malformed = 0
        self._odd: list[str] = []
        self._repeats: Counter[bytes] = Counter()
        if not self.conversation.turns and self.conversation.opening is None:
            self.conversation.opening = opening()

    async def run(self) -> None:
        self._steps = 0
        if await self._act(self.conversation.unanswered, resumed=True):
            return
        if self.desk.agent.state is AgentState.WAITING:
            await self._sleep()
        while True:
            await self.host.safe_point(self.agent)
            turn = await self._ask()
            calls = turn.message.calls
            if turn.stop is StopReason.REFUSAL:
                raise AttemptFailed("the model refused to continue")
            if turn.stop is StopReason.LENGTH:
                self._aside("nudge_cut")
                for call in calls:
                    self._answer(call, refused("not run: your answer was cut off at its length limit"))
            elif calls:
                self._silent = 0
                self._odd.clear()
                if await self._act(calls):
                    return
                self._count_malformed(len(calls))
                continue
            self._silent += 1
            if self._silent > NUDGES:
                raise AttemptFailed(f"{self._silent} turns in a row called no tool")
            if turn.stop is not StopReason.LENGTH:
                self._aside("nudge_no_call")

    def _count_malformed(self, calls: int) -> None:
        """A turn counts once, however many calls it made: the model had not heard yet that they make no sense."""
        self._malformed = self._malformed + 1 if len(self._odd) == calls else 0
        if self._malformed >= MALFORMED:
            raise AttemptFailed(f"{self._malformed} turns in a row of malformed tool calls: {self._odd[-1]}")

    # --- ask -------------------------------------------------------------------------------------------------

    async def _ask(self) -> Turn:
        self._steps += 1
        if self._steps > self.max_steps:
            self._never_merges(f"{self.max_steps} steps without a handoff", limit=True)
            raise AttemptFailed(f"no handoff within {self.max_steps} steps")
        self._remind(self.conversation.turns + 1)
        left = min(self.host.settings.budget.grace_steps, self.max_steps // 10)
        if self.desk.agent.task is not None and self.max_steps - self._steps == left - 1:
            self._never_merges(f"{self._steps} of {self.max_steps} steps without a handoff")
            self._aside("hand_off_now", limit=f"{self.max_steps} steps per attempt", steps=left)
        if self._too_full():
            await self._compact()
        self._record(e.AgentStateChanged(AgentState.THINKING))
        try:
            return await self._turn()
        except ModelError as error:
            if error.kind is not ModelErrorKind.CONTEXT_LENGTH or self.conversation.compacted_last:
                raise
        await self._compact(summarise=True)
        return await self._turn()

    def _remind(self, turn: int) -> None:
        """Ask the agent to step back now and then, and show it more rarely what all of it is for."""
        front = self.prompt.front
        if front.align_every and turn % front.align_every == 0:
            me, intent = self.desk.agent, self.host.snapshot.intent
            whole = me.parent is None and intent is not None
            self._aside("align", steps=turn, asked=(intent.text if whole and intent else me.goal).strip()[:ALIGNED])
        elif front.reflect_every and turn % front.reflect_every == 0:
            self._aside("reflect", steps=turn)

    def _never_merges(self, detail: str, limit: bool = False) -> None:
        """An agent with a task holds on to its work."""
        if self.desk.agent.task is not None:
            finding = found(self.host.snapshot, self.agent, Pathology.NEVER_MERGES, detail, limit=limit)
            self.host.record(finding.draft)

    async def _turn(self) -> Turn:
        inbox = readable(self.host.snapshot.inboxes.get(self.agent, ()), self._inbox_characters())
        parts = [self.conversation.opening or "", joined(inbox), *self._asides]
        given = self.host.mask.text(clean("\n\n".join(part for part in parts if part))) or None
        started = self.host.clock.monotonic()
        turn = self._own(await self.host.ask(self.agent, self._request(self.conversation.asking(given))))
        if inbox:
            self._repeats.clear()
        self._asides.clear()
        self._record(
            e.TurnTaken(
                model=self.desk.agent.model,
                given=given,
                consumed=tuple(MessageId(message.id) for message in inbox),
                message=turn.message,
                stop=turn.stop,
                usage=turn.usage,
                prompt=self.prompt.label,
                wall_s=self.host.clock.monotonic() - started,
                intent=max((message.intent for message in inbox), default=0),
            )
        )
        return turn

    def _request(self, messages: tuple[Message, ...], summary: bool = False) -> Request:
        model = self.desk.agent.model.partition(":")[2]
        most = self._most_output() // (2 if summary else 1)
        return Request(model, self.system, messages, self.specs, most, str(self.agent))

    def _own(self, turn: Turn) -> Turn:
        """The turn with ids of our own, unique in the run, and with text that any encoder takes."""
        blocks: list[Block] = []
        for block in turn.message.blocks:
            if isinstance(block, ToolCall):
                block = ToolCall(CallId(self.host.ids.new("c")), clean(block.tool)[:100], clean(block.arguments))
            elif isinstance(block, Text):
                block = Text(clean(block.text))
            blocks.append(block)
        return Turn(Message("assistant", tuple(blocks)), turn.stop, turn.usage)

    def _aside(self, name: str, **values: object) -> None:
        """Say something to the agent with its next turn."""
        self._asides.append(self.host.prompts[name].render(**values))

    # --- compaction ------------------------------------------------------------------------------------------

    def _too_full(self) -> bool:
        inbox = readable(self.host.snapshot.inboxes.get(self.agent, ()), self._inbox_characters())
        coming = sum(len(message.text) for message in inbox) // 4 + self.conversation.fresh_tokens(None)
        known = self.desk.agent.tokens_in_context
        window = self.host.models.window(self.desk.agent.model)
        return known + coming > min(FULL * window, (1 - MARGIN) * window - self._most_output())

    def _most_output(self) -> int:
        """Tokens that one answer may take: a small window leaves less."""
        return min(MAX_OUTPUT, self.host.models.window(self.desk.agent.model) // 4)

    def _inbox_characters(self) -> int:
        """How much of its inbox an agent reads at once; the rest waits for its next turn."""
        return int(INBOX * 4 * self.host.models.window(self.desk.agent.model))

    async def _compact(self, summarise: bool = False) -> None:
        if self.conversation.compacted_last:
            raise AttemptFailed("what the context has to keep does not fit into the model's window")
        window = self.host.models.window(self.desk.agent.model)
        if not summarise and self.conversation.droppable(ANSWERS_KEPT) / 4 > WORTH_DROPPING * window:
            self._record(e.AnswersDropped(ANSWERS_KEPT))
            return
        summary, usage = await self._summary()
        snapshot = self.host.snapshot
        opening = pinned(
            self.opening(),
            snapshot.scratchpads.get(self.agent),
            outstanding(snapshot, self.agent),
            summary,
        )
        self._record(e.ContextCompacted(clean(opening), usage))

    async def _summary(self) -> tuple[str, Usage]:
        """The agent's summary of itself, and what it cost; where it gives none, the end of what it said so far."""
        usage = Usage()
        asking = self.host.prompts["compact"].render()
        for _ in range(SUMMARY_TRIES):
            try:
                turn = await self.host.ask(self.agent, self._request(self.conversation.asking(asking), summary=True))
            except (ModelError, BudgetSpent) as error:
                if usage.input:
                    break  # what was spent goes on record, with the summary that there is
                if not isinstance(error, ModelError) or error.kind is not ModelErrorKind.CONTEXT_LENGTH:
                    raise
                self._record(e.AnswersDropped(0))
                continue
            usage += turn.usage
            if text := turn.message.text.strip():
                return text[:SUMMARY_MOST], usage
        said = [message.text for message in self.conversation.messages if message.role == "assistant"]
        return "\n\n".join(text for text in said if text)[-SUMMARY_MOST:], usage

    # --- act -------------------------------------------------------------------------------------------------

    async def _act(self, calls: tuple[ToolCall, ...], resumed: bool = False) -> bool:
        """Run the calls, reads together, all others one by one; True when the agent has handed off."""
        answers: list[Answer] = []
        reads: list[ToolCall] = []
        last: list[ToolCall] = []

        async def flush() -> None:
            """All of them come to their end before one that failed ends the attempt."""
            ended = await asyncio.gather(*(self._call(call) for call in reads), return_exceptions=True)
            reads.clear()
            for each in ended:
                if isinstance(each, BaseException):
                    raise each
                answers.append(each)

        for call in calls:
            if any(answer.ends for answer in answers):
                self._answer(call, refused("not run: you have already handed off"))
                continue
            tool = self.host.toolbox.tools.get(call.tool)
            if tool is not None and tool.last:
                last.append(call)
                continue
            if tool is not None and not tool.writes:
                reads.append(call)
                continue
            await flush()
            if resumed and tool is not None and not tool.atomic:
                interrupted = refused(self.host.prompts["interrupted"].render())
                self._answer(call, interrupted, state=ToolCallState.INTERRUPTED)
            else:
                answers.append(await self._call(call))
        await flush()
        for call in last:
            if any(answer.ends for answer in answers):
                self._answer(call, refused("not run: you have already handed off"))
            else:
                answers.append(await self._call(call))
        if any(answer.ends for answer in answers):
            return True
        if any(answer.sleeps for answer in answers):
            await self._sleep()
        return False

    async def _sleep(self) -> None:
        """Wait for a message, at no cost, and wake up to the newest trunk."""
        if self.desk.agent.state is not AgentState.WAITING:  # `wait` has said so already
            self._record(e.AgentStateChanged(AgentState.WAITING, "for a message"))
        if not self.host.snapshot.inboxes.get(self.agent):
            await self.desk.close()
        await self.host.message_for(self.agent)
        await self.desk.follow(await self.host.trunk.tip())
        self._steps = 0

    async def _call(self, call: ToolCall) -> Answer:
        parsed = self._parse(call)
        if isinstance(parsed, Answer):
            self._answer(call, parsed)
            self._odd.append(parsed.text)
            return parsed
        tool, arguments = parsed
        target = clean(tool.target(arguments))
        cause = self._record(e.ToolStarted(call.id, tool.name, call.arguments, tool.writes, target))
        started = self.host.clock.monotonic()
        try:
            answer = self._unwritable(tool, arguments) or await tool.call(self.desk, arguments)
        except WorkspaceError as error:
            answer = refused(str(error))
        self._answer(call, answer, wall_s=self.host.clock.monotonic() - started, cause=cause)
        if answer.hopeless:
            raise AttemptFailed(answer.hopeless)
        if not answer.ends and not answer.sleeps:
            self._watch_for_repeats(call, answer)
        return answer

    def _unwritable(self, tool: Tool, arguments: msgspec.Struct) -> Answer | None:
        """A refusal where the mark of a masked key would be written into the copy in place of the key."""
        if not tool.writes or tool.atomic or not (marks := marks_in(arguments)):
            return None
        return refused(self.host.prompts["masked"].render(mark=marks[0]))

    def _parse(self, call: ToolCall) -> tuple[Tool, msgspec.Struct] | Answer:
        names = self.prompt.front.tools
        if call.tool not in names:
            return refused(f"there is no tool {call.tool!r}; your tools: {', '.join(names)}")
        tool = self.host.toolbox.tools[call.tool]
        try:
            return tool, msgspec.json.decode(call.arguments.strip() or "{}", type=tool.arguments)
        except (msgspec.DecodeError, RecursionError) as error:
            return refused(f"invalid arguments for {call.tool}: {error}")

    def _answer(
        self,
        call: ToolCall,
        answer: Answer,
        *,
        state: ToolCallState | None = None,
        wall_s: float = 0.0,
        cause: int | None = None,
    ) -> None:
        """Record the answer and, atomically with it, what the call changed."""
        if state is None:
            state = ToolCallState.ERROR if answer.error else ToolCallState.OK
        finished = e.ToolFinished(
            call=call.id,
            tool=call.tool,
            state=state,
            answer=clean(answer.text),
            paths=answer.paths,
            wall_s=wall_s,
            gate_wait_s=answer.gate_wait_s,
            build=answer.build,
        )
        self._record(finished, *answer.drafts, cause=cause)

    def _watch_for_repeats(self, call: ToolCall, answer: Answer) -> None:
        outcome = re.sub(r"\A(.*) after [\d.]+ s", r"\1", answer.text)
        key = hashlib.sha256("\0".join((call.tool, call.arguments, outcome)).encode()).digest()
        if self.host.toolbox.tools[call.tool].writes and not self._repeats[key]:
            self._repeats.clear()  # something new was done, after which an old question may be asked again
        self._repeats[key] += 1
        times = self._repeats[key]
        if times >= REPEATS_FAILED:
            raise AttemptFailed(f"the same call to {call.tool} returned the same answer {times} times")
        if times >= REPEATS_NUDGED:
            self._aside("nudge_repeat", tool=call.tool, times=times)

    def _record(self, body: e.Body, *drafts: Draft, cause: int | None = None) -> int:
        """Record an event of this agent (and drafts with it), and fold it into the conversation."""
        task = self.desk.agent.task
        body = self.host.mask.value(body)
        seq = self.host.record(Draft(body, self.agent, task), *drafts, cause=cause)
        self.conversation.apply(e.Event(seq, 0, 0, body, self.agent))
        return seq
