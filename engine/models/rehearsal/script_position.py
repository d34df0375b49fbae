"""What a conversation tells the rehearsal: which script it is in and what has been done and heard so far.

All of it is read from the request that a provider gets, so that it holds over restarts and, by a line in the
summary, over compaction.
"""

import re
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from engine.domain.conversation import Request, Text, ToolAnswer, ToolCall

HEADING = re.compile(r"^# (?:(Intent) \(version (\d+)\)|(Slice|Task|Conflict|Repair): (.+))$", re.M)
_MESSAGE = re.compile(
    r"^# (Handoff: .+|Intent \(version \d+\)|Message from the user|Message from your planner \(.+\)|Reminder|Nudge"
    r"|Compaction|Check|Notice)$",
    re.M,
)
_KEPT = re.compile(r"^Position: (\{.*\})$", re.M)
_SECTION = re.compile(r"^## (Summary|Notes|Concerns|Deviations|Findings|Feedback)$", re.M)


class Call(Struct, frozen=True):
    """A tool call as a value. `raw`, when set, is sent instead of the arguments' JSON."""

    tool: str
    arguments: dict[str, object]
    raw: str = ""


class Done(Struct, frozen=True):
    """A call that was made, and its answer. `call` is None when its arguments are no JSON object."""

    tool: str
    call: Call | None
    answer: str
    error: bool

    @property
    def lost(self) -> bool:
        """Whether a restart hid the outcome."""
        return self.error and self.answer.startswith("interrupted")


class Exchange(Struct, frozen=True):
    """One turn of the model, and the text that it was told next."""

    said: str
    done: tuple[Done, ...]
    told: str


class Report(Struct, frozen=True):
    """A handoff as a planner hears of it; `sections` by their lower-case names."""

    title: str
    status: str
    sections: dict[str, str]


class Kept(Struct, frozen=True):
    """What a summary keeps: how many steps or moves are made, a worker's open conflict, and for a planner what
    it asked for, what it heard (status by title), the intent changes it knows and whether it has handed off.
    """

    steps: int = 0
    conflict: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    heard: dict[str, str] = {}
    intents: int = 0
    over: bool = False


class Conversation(Struct, frozen=True):
    """A request, taken apart. `kind` is intent, slice, task, conflict, repair or empty; `first` all text before
    the first turn.
    """

    kind: str
    title: str
    first: str
    kept: Kept
    exchanges: tuple[Exchange, ...]

    @property
    def since_kept(self) -> str:
        """What was told between the summary and the first turn after it; empty when nothing was summed up."""
        found = list(_KEPT.finditer(self.first))
        return self.first[found[-1].end() :] if found else ""

    @property
    def last(self) -> Exchange | None:
        return self.exchanges[-1] if self.exchanges else None

    @property
    def told(self) -> str:
        """The newest text, to which no turn has answered yet."""
        return self.exchanges[-1].told if self.exchanges else self.first


def read_conversation(request: Request) -> Conversation:
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
    return Conversation(kind, title, text, _kept(text), tuple(exchanges))


def messages_in(text: str) -> list[tuple[str, str]]:
    """The messages that stand in one text: heading (without `# `) and body."""
    found = list(_MESSAGE.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [(match[1], text[match.end() : end].strip()) for match, end in zip(found, ends, strict=False)]


def reports_in(text: str) -> list[Report]:
    reports = []
    for heading, body in messages_in(text):
        if heading.startswith("Handoff: "):
            status = re.search(r"^status: (\w+)$", body, re.M)
            reports.append(Report(heading[9:].strip(), status[1] if status else "", _sections(body)))
    return reports


def first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def exit_of(done: Done) -> int | None:
    """The exit status that a shell answer names; None when the command was killed or not run."""
    match = re.match(r"exit (-?\d+) ", done.answer)
    return int(match[1]) if match else None


def paths_in(text: str) -> list[str]:
    return [line[2:].strip() for line in text.split("\n") if line.startswith("- ")]


def file_text(pieces: Iterable[str]) -> tuple[str, int]:
    """A file's text from the answers of `read_file`, and the line to go on with (0: it is whole)."""
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


def _done(call: ToolCall, answers: dict[str, ToolAnswer]) -> Done:
    answer = answers.get(call.id)
    try:
        arguments = msgspec.json.decode(call.arguments, type=dict[str, object])
        made = Call(call.tool, arguments)
    except msgspec.MsgspecError:
        made = None
    return Done(call.tool, made, answer.text if answer else "", answer.error if answer else False)


def _kept(text: str) -> Kept:
    found = _KEPT.findall(text)
    try:
        return msgspec.json.decode(found[-1], type=Kept) if found else Kept()
    except msgspec.MsgspecError:
        return Kept()


def _sections(body: str) -> dict[str, str]:
    found = list(_SECTION.finditer(body))
    ends = [match.start() for match in found[1:]] + [len(body)]
    return {match[1].lower(): body[match.end() : end].strip() for match, end in zip(found, ends, strict=False)}
