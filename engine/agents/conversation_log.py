"""An agent's conversation with its model, built from the agent's events."""

import msgspec

from engine.domain import events as e
from engine.domain.conversation import Block, Message, StopReason, Text, ToolAnswer, ToolCall
from engine.domain.types import AgentState, CallId, ModelName

DROPPED = "(this answer was dropped to save context; call the tool again if you still need it)"
HAND_OFF = "submit_handoff"
CHARACTERS_PER_TOKEN = 4
"""A rough average for English and code, used only until the provider reports the next count."""


class Conversation:
    """The messages that the agent's model gets, in order. Built from the same events in a live run and on resume.

    `opening` is set while the conversation has not begun, or begins again: the next turn's `given` starts with it.
    `stop` is why the last turn ended, None if none did. `started` are its calls that a tool was started for, `steps`
    the turns since the agent began or last waited, `silent` the turns in a row without a call that could run.
    `sent_back` has the arguments of its handoffs since then that were not accepted. `used_shell`: whether something may
    still run in its workspace.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answers: dict[CallId, ToolAnswer] = {}
        self.opening: str | None = None
        self.turns = 0
        self.stop: StopReason | None = None
        self.started: set[CallId] = set()
        self.sent_back: list[str] = []
        self._handing_off: dict[CallId, str] = {}
        self.steps = 0
        self.silent = 0
        self.used_shell = False
        self.compacted_last = False
        self._fresh_characters = 0
        self._counted: tuple[ModelName, int] | None = None
        self._size = self._sized = 0
        """The size in bytes of the messages measured so far, and how many they are."""

    @property
    def unanswered(self) -> tuple[ToolCall, ...]:
        """The last turn's calls without an answer."""
        if not self.messages or self.messages[-1].role != "assistant":
            return ()
        return tuple(call for call in self.messages[-1].calls if call.id not in self.answers)

    @property
    def interrupted(self) -> bool:
        """Whether nothing has been said to the agent since its last turn: it made no call, or some lack an answer."""
        last = self.messages[-1] if self.messages else None
        return last is not None and last.role == "assistant" and not (last.calls and not self.unanswered)

    def asking(self, given: str | None) -> tuple[Message, ...]:
        """The messages of the next request: the conversation, the answers to its last calls, and what is given."""
        return (*self.messages, self._user(given)) if self.answers or given else tuple(self.messages)

    def fresh_tokens(self, given: str | None) -> int:
        """An estimate of the tokens that the next request adds to those of the last one."""
        return (self._fresh_characters + len(given or "")) // CHARACTERS_PER_TOKEN

    @property
    def size(self) -> int:
        """The size of the messages as JSON in bytes, with what their models added. Encodes only new messages."""
        self._size += sum(len(msgspec.json.encode(message)) + 1 for message in self.messages[self._sized :])
        self._sized = len(self.messages)
        return self._size

    def counted(self, model: ModelName) -> int:
        """Tokens that this model's provider has counted for the messages, up to its last answer; 0 if it has not."""
        return self._counted[1] if self._counted is not None and self._counted[0] == model else 0

    def apply(self, event: e.Event) -> None:
        """Add what an event of this agent says."""
        body = event.body
        if isinstance(body, e.TurnTaken):
            self.messages = [*self.asking(body.given), body.message]
            self.answers = {}
            self.opening = None
            self.turns += 1
            self.steps += 1
            self.stop = body.stop
            self.started.clear()
            self.silent = 0 if body.message.calls and body.stop is not StopReason.LENGTH else self.silent + 1
            self._counted = body.model, body.usage.input + body.usage.output
            self.compacted_last = False
            self._fresh_characters = 0
        elif isinstance(body, e.AgentStateChanged):
            if body.state in (AgentState.WAITING, AgentState.DONE):
                self.start_over()
        elif isinstance(body, e.ToolStarted):
            self.started.add(body.call)
            self.used_shell |= body.tool == "shell"
            if body.tool == HAND_OFF:
                self._handing_off[body.call] = body.arguments
        elif isinstance(body, e.ToolFinished):
            error = body.state.value != "ok"
            if (report := self._handing_off.pop(body.call, None)) is not None and error:
                self.sent_back.append(report)
            self.answers[body.call] = ToolAnswer(body.call, body.answer, error)
            self._fresh_characters += len(body.answer)
        elif isinstance(body, e.AnswersDropped):
            self._drop_answers(body.kept)
            self._size = self._sized = 0
        elif isinstance(body, e.ContextCompacted):
            self.messages = []
            self.answers = {}
            self._size = self._sized = 0
            self._counted = None
            self.opening = body.opening
            self.compacted_last = True
            self._fresh_characters = len(body.opening)

    def start_over(self) -> None:
        """The agent goes on after it has waited, or handed off."""
        self.steps, self.used_shell = 0, False
        self.sent_back.clear()

    def droppable(self, kept: int) -> int:
        """Characters that dropping all answers but the last `kept` would save."""
        return sum(len(answer.text) - len(DROPPED) for answer in self._old_answers(kept))

    def _old_answers(self, kept: int) -> list[ToolAnswer]:
        """All answers but the last `kept`, without those that are too short to be worth dropping."""
        answers = [block for message in self.messages for block in message.blocks if isinstance(block, ToolAnswer)]
        return [answer for answer in answers[: max(0, len(answers) - kept)] if len(answer.text) > len(DROPPED)]

    def _drop_answers(self, kept: int) -> None:
        dropped = {answer.id: ToolAnswer(answer.id, DROPPED, answer.error) for answer in self._old_answers(kept)}

        def shown(block: Block) -> Block:
            return dropped.get(block.id, block) if isinstance(block, ToolAnswer) else block

        self.messages = [Message(message.role, tuple(map(shown, message.blocks))) for message in self.messages]

    def _user(self, given: str | None) -> Message:
        calls = self.messages[-1].calls if self.messages else ()
        blocks: list[Block] = [self.answers[call.id] for call in calls if call.id in self.answers]
        if given:
            blocks.append(Text(given))
        return Message("user", tuple(blocks))
