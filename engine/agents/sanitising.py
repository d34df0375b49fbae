"""Makes a model's turn safe to record and its tool calls safe to run."""

import msgspec

from engine.domain.conversation import Block, Message, Text, ToolCall, Turn
from engine.domain.masking import marks_in
from engine.domain.types import CallId
from engine.domain.utf8 import clean
from engine.ports.protocols import Ids
from engine.runtime.prompts import Prompts
from engine.tools.tool import Answer, Tool, refused

TOOL_NAME = 100
"""The most characters of a tool's name; models may invent names of any length."""


def sanitised(turn: Turn, ids: Ids) -> Turn:
    """The turn with new call ids that are unique in the run, and only with text that can be encoded."""
    blocks: list[Block] = []
    for block in turn.message.blocks:
        if isinstance(block, ToolCall):
            block = ToolCall(CallId(ids.new("c")), clean(block.tool)[:TOOL_NAME], clean(block.arguments))
        elif isinstance(block, Text):
            block = Text(clean(block.text))
        blocks.append(block)
    return Turn(Message("assistant", tuple(blocks)), turn.stop, turn.usage)


def masked_key(prompts: Prompts, tool: Tool, arguments: msgspec.Struct) -> Answer | None:
    """A refusal, if the call would write the mask of a key into the workspace where the key belongs."""
    if not tool.writes or tool.atomic or not (marks := marks_in(arguments)):
        return None
    return refused(prompts["masked"].render(mark=marks[0]))
