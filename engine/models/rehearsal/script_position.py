"""Finds the rehearsal's position in its script: which script a conversation follows and what has happened in it.

Everything is read from the request, so it survives restarts and, through a line in the summary, compaction.
"""

import re
from collections.abc import Iterable
from itertools import dropwhile, takewhile

import msgspec
from msgspec import Struct

from engine.domain.conversation import Request, Text, ToolAnswer, ToolCall

HEADING = re.compile(r"^# (?:(Intent) \(version (\d+)\)|(Slice|Task|Conflict|Repair): (.+))$", re.M)
_MESSAGE = re.compile(
    r"^# (Handoff: .+|Intent \(version \d+\)|Message from the user|Message from your planner \(.+\)|Reminder|Nudge"
    r"|Compaction|Check|Held|Notice|Your task has changed)$",
    re.M,
)
_POSITION = re.compile(r"^Position: (\{.*\})$", re.M)
_SECTION = re.compile(r"^## (Summary|Notes|Concerns|Deviations|Findings|Feedback)$", re.M)


class Call(Struct, frozen=True):
    """A tool call as a value. `raw`, if set, is sent instead of the arguments' JSON."""

    tool: str
    arguments: dict[str, object]
    raw: str = ""


def scripted_call(values: dict[str, object]) -> Call:
    """A call as a playbook words it: its `tool` among the arguments."""
    return Call(str(values.get("tool", "")), {name: value for name, value in values.items() if name != "tool"})


class CallResult(Struct, frozen=True):
    """A past call and its answer. `call` is None if its arguments are not a JSON object."""

    tool: str
    call: Call | None
    answer: str
    error: bool

    @property
    def lost(self) -> bool:
        """Whether a restart interrupted the call, so that its outcome is unknown."""
        return self.error and self.answer.startswith("interrupted")


class Exchange(Struct, frozen=True):
    """One turn of the model, and the text that it received next."""

    said: str
    done: tuple[CallResult, ...]
    told: str


class Report(Struct, frozen=True):
    """A handoff as a planner receives it; `sections` by their lower-case names."""

    title: str
    status: str
    sections: dict[str, str]


class Position(Struct, frozen=True):
    """The position that a summary records: steps or moves made, a worker's open conflict, and for a planner what it
    spawned, the handoffs it received (status by title), the intent changes it knows, and whether it has handed off.
    """

    steps: int = 0
    conflict: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    heard: dict[str, str] = {}
    intents: int = 0
    over: bool = False


class ScriptContext(Struct, frozen=True):
    """A parsed request. `kind` is intent, slice, task, conflict, repair or empty; `first` is all text before the
    first turn.
    """

    kind: str
    title: str
    first: str
    kept: Position
    exchanges: tuple[Exchange, ...]

    @property
    def since_summary(self) -> str:
        """The text between the summary and the first turn after it; empty without a summary."""
        found = list(_POSITION.finditer(self.first))
        return self.first[found[-1].end() :] if found else ""

    @property
    def last(self) -> Exchange | None:
        return self.exchanges[-1] if self.exchanges else None

    @property
    def told(self) -> str:
        """The newest text, which no turn has answered yet."""
        return self.exchanges[-1].told if self.exchanges else self.first


def read_context(request: Request) -> ScriptContext:
    first: list[str] = []
    exchanges: list[Exchange] = []
    said, calls = "", list[ToolCall]()
    answers: dict[str, ToolAnswer] = {}
    told: list[str] = []
    begun = False

    def finish() -> None:
        if begun:
            exchanges.append(Exchange(said, tuple(_done(call, answers) for call in calls), "\n\n".join(told)))

    for message in request.messages:
        if message.role == "assistant":
            finish()
            begun, said, calls, told = True, message.text, list(message.calls), []
            answers = {}
            continue
        for block in message.blocks:
            if isinstance(block, ToolAnswer):
                answers[block.id] = block
            elif isinstance(block, Text):
                (told if begun else first).append(block.text)
    finish()
    text = "\n\n".join(first)
    heading = HEADING.search(text)
    kind, title = "", ""
    if heading:
        kind, title = (heading[1] or heading[3]).lower(), (heading[2] or heading[4]).strip()
    return ScriptContext(kind, title, text, _position(text), tuple(exchanges))


def messages_in(text: str) -> list[tuple[str, str]]:
    """The messages in a text, as heading (without `# `) and body."""
    return _parts(_MESSAGE, text)


def reports_in(text: str) -> list[Report]:
    reports = []
    for heading, body in messages_in(text):
        if heading.startswith("Handoff: "):
            status = re.search(r"^status: (\w+)$", body, re.M)
            sections = {name.lower(): text for name, text in _parts(_SECTION, body)}
            reports.append(Report(heading[9:].strip(), status[1] if status else "", sections))
    return reports


def exit_of(done: CallResult) -> int | None:
    """The exit status in a shell answer; None if the command was killed or did not run."""
    match = re.match(r"exit (-?\d+) ", done.answer)
    return int(match[1]) if match else None


def paths_in(text: str) -> list[str]:
    """The first list in a text."""
    lines = dropwhile(lambda line: not line.startswith("- "), text.split("\n"))
    return [line[2:].strip() for line in takewhile(lambda line: line.startswith("- "), lines)]


def file_text(pieces: Iterable[str]) -> tuple[str, int]:
    """A file's text from the answers of `read_file`, and the line to continue from (0: the text is complete)."""
    lines: list[str] = []
    more = 0
    for piece in pieces:
        more = 0
        for line in piece.split("\n"):
            number, tab, content = line.partition("\t")
            if tab and number.isdigit():
                lines.append(content)
            elif cut := re.match(r"\(cut: .* start=(\d+)\)$", line):
                more = int(cut[1])
    return "\n".join(lines) + "\n" if lines else "", more


def _done(call: ToolCall, answers: dict[str, ToolAnswer]) -> CallResult:
    answer = answers.get(call.id)
    try:
        arguments = msgspec.json.decode(call.arguments, type=dict[str, object])
        made = Call(call.tool, arguments)
    except msgspec.MsgspecError:
        made = None
    return CallResult(call.tool, made, answer.text if answer else "", answer.error if answer else False)


def _position(text: str) -> Position:
    found = _POSITION.findall(text)
    try:
        return msgspec.json.decode(found[-1], type=Position) if found else Position()
    except msgspec.MsgspecError:
        return Position()


def _parts(heading: re.Pattern[str], text: str) -> list[tuple[str, str]]:
    """The parts of a text that begin with a heading, as heading and body."""
    found = list(heading.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    return [(match[1], text[match.end() : end].strip()) for match, end in zip(found, ends, strict=False)]
