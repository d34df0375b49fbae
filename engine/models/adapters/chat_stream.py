"""Reads an answer of Chat Completions: its text, its tool calls however a server numbers them, and its usage."""

from collections.abc import Callable

import msgspec

from engine.domain.conversation import Block, Request, StopReason, Text, ToolCall, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.types import Usage
from engine.models.adapters import kept_fields
from engine.models.adapters import wire_format as wire
from engine.models.adapters.error_mapping import cut_short
from engine.models.adapters.exchange import Reader
from engine.models.adapters.kept_fields import Pieces
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import Endpoint

_STOPS = {
    "length": StopReason.LENGTH,
    "model_length": StopReason.LENGTH,
    "max_tokens": StopReason.LENGTH,
    "content_filter": StopReason.REFUSAL,
}
"""All other reasons are an ordinary end: whether an answer stops for tools is told by its calls."""
_BROKEN = frozenset({"error", "abort", "insufficient_system_resource"})
"""Reasons with which servers end an answer that is not whole."""
_MAX_CALLS = 512


class _Call:
    """A tool call while it arrives."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments = ""
        self.fields = Pieces(kept_fields.CALL)
        self.function_fields = Pieces(kept_fields.FUNCTION)

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON object."""
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode(self.arguments), dict)
        except (msgspec.DecodeError, RecursionError):
            return False

    @property
    def kept(self) -> Json:
        function = self.function_fields.fields()
        own_id = {"id": self.id} if self.name and self.name in self.id else {}  # Kimi's models count on it
        return self.fields.fields() | own_id | ({"function": function} if function else {})


class ChatReader(Reader):
    def __init__(
        self, endpoint: Endpoint, request: Request, on_text: Callable[[str], None], on_output: Callable[[int], None]
    ) -> None:
        super().__init__(endpoint, request, on_text, on_output)
        self._tools = {tool.name for tool in request.tools}
        self._text: list[str] = []
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        """The newest call of each index."""
        self._fields = Pieces(kept_fields.MESSAGE)
        self._stop = ""
        self._answered = False
        """Whether an answer has begun, be it an empty one."""
        self._answer_id = ""
        self._usage: Json = {}

    def take(self, name: str, event: Json) -> None:
        if name == "[DONE]":
            self.finished = True
            self.complete = self.complete or self._answered
            return
        if "message" in event and "choices" not in event:
            event = _from_ollama(event)
        self._count(event.get("usage"))
        self._answer_id = self._answer_id or str(event.get("id", ""))[:200]
        for choice in wire.json_objects(event.get("choices")):
            if choice.get("index", 0) in (0, None):
                self._choose(choice)

    def turn(self) -> Turn:
        if self._stop in _BROKEN:
            raise cut_short(f"its finish reason is {self._stop}")
        stop = _STOPS.get(self._stop, StopReason.END)
        text = "".join(self._text)
        kept = [call.kept for call in self._calls]
        blocks: list[Block] = [
            *kept_fields.kept(self.endpoint.name, self._request.model, self._fields.fields(), kept),
            *([Text(text)] if text.strip() else []),
        ]
        for call in self._calls:
            arguments = call.arguments or ("" if stop is StopReason.LENGTH else "{}")
            blocks.append(ToolCall(self._ids.take(call.id, self._answer_id), call.name, arguments))
        details = wire.json_object(self._usage.get("prompt_tokens_details"))
        prompt, total = wire.count(self._usage.get("prompt_tokens")), wire.count(self._usage.get("total_tokens"))
        output = wire.count(self._usage.get("completion_tokens"))
        if prompt and total:  # some services (Gemini, xAI) count reasoning tokens only in the total
            output = max(output or 0, total - prompt)
        read, written = details.get("cached_tokens"), details.get("cache_write_tokens")
        return self._turn_of(blocks, stop, (prompt, read, written, output))

    def spent(self) -> Usage:
        """The usage of an answer that broke off, estimated: the server reports counts only at the end."""
        heard = "".join((*self._text, *(call.arguments for call in self._calls)))
        return wire.cut_usage(self._request, heard) if self.begun else Usage()

    def _count(self, usage: object) -> None:
        """Add counts. Some servers send them in several frames, some repeat the frame with zeros at the end."""
        self._usage |= {name: value for name, value in wire.json_object(usage).items() if value}

    def _choose(self, choice: Json) -> None:
        delta = wire.json_object(choice.get("delta"))
        if not delta and not self._text and not self._calls:  # a whole answer instead of pieces
            delta = wire.json_object(choice.get("message"))
        self._answered = True
        self._count(choice.get("usage"))
        for key in ("content", "refusal"):
            for text in _texts(delta.get(key)):
                self._text.append(text)
                self._hear(text)
                self._say(text)
        for key in ("reasoning_content", "reasoning"):
            self._hear(delta.get(key))
        self._fields.add(delta)
        calls = delta.get("tool_calls")
        for piece in wire.json_objects(calls if isinstance(calls, list) else [calls]):
            self._extend(piece)
        if not calls and (function := wire.json_object(delta.get("function_call"))):  # what calls were before 2024
            self._extend({"function": function})
        self._stop = wire.text_of(choice.get("finish_reason")) or self._stop
        self.complete = bool(self._stop)  # only the usage may follow

    def _extend(self, piece: Json) -> None:
        function = wire.json_object(piece.get("function"))
        given, name = wire.text_of(piece.get("id")), wire.text_of(function.get("name"))
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):  # some servers send an object
            arguments = msgspec.json.encode(arguments).decode()
        call = self._call(piece.get("index"), given, name, arguments)
        if call.arguments and given and given == call.id and arguments == call.arguments:
            return  # the whole call once more
        call.id = call.id or given
        call.name = self._named(call, name) if name else call.name
        call.arguments += arguments
        self._hear(arguments)
        call.fields.add(piece)
        call.function_fields.add(function)

    def _named(self, call: _Call, name: str) -> str:
        """The call's name with a further piece: some servers repeat it, some send all so far, some send fragments."""
        whole = call.name + name
        if name.startswith(call.name) and (whole not in self._tools or call.name in self._tools):
            return name
        return whole

    def _call(self, index: object, given: str, name: str, arguments: str) -> _Call:
        """The call that a piece belongs to, or a new one."""
        known = next((call for call in self._calls if given and call.id == given), None)
        last = known or (self._calls[-1] if self._calls else None)
        if isinstance(index, int):
            last = self._at.get(index) or (None if name or (given and not known) else last)
        if last is None or self._begins(last, given, name, arguments):
            if len(self._calls) >= _MAX_CALLS:
                raise ModelError(ModelErrorKind.RETRYABLE, f"more than {_MAX_CALLS} tool calls in one answer")
            last = _Call()
            self._calls.append(last)
        if isinstance(index, int):
            self._at[index] = last
        return last

    def _begins(self, call: _Call, given: str, name: str, arguments: str) -> bool:
        """Whether a piece begins another call although it has this call's index or id, or none."""
        if not name:
            return False
        if given and call.id and given != call.id:  # some servers make up an id for each piece
            return not call.arguments or call.is_whole or name != call.name or arguments.startswith("{")
        if name != call.name:  # another name, or a fragment of this one
            return bool(call.arguments) or {name, call.name} <= self._tools
        return bool(arguments) and call.is_whole and not (given and arguments == call.arguments)


def _from_ollama(line: Json) -> Json:
    """A line of Ollama's own protocol, as a chunk."""
    reason = line.get("done_reason") or ("stop" if line.get("done") else None)
    usage = {"prompt_tokens": line.get("prompt_eval_count"), "completion_tokens": line.get("eval_count")}
    return {"choices": [{"delta": line["message"], "finish_reason": reason}], "usage": usage}


def _texts(content: object) -> list[str]:
    """The pieces of text in a content, which some servers send as a list of parts."""
    if isinstance(content, str):
        return [content]
    return [wire.text_of(part.get("text")) for part in wire.json_objects(content)]
