"""Decides a rehearsed worker's next turn: steps, conflicts, failing tests, repairs and misbehaviour."""

import re
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from engine.domain.types import HandoffStatus
from engine.models.rehearsal.playbook import Playbook, Step, TaskScript, Words
from engine.models.rehearsal.script_position import (
    Call,
    CallResult,
    Exchange,
    Position,
    ScriptContext,
    exit_of,
    file_text,
    paths_in,
    scripted_call,
)

_MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")


class Line(Struct, frozen=True):
    """What an agent says and does in one turn. `crash` makes the provider reject the call."""

    text: str
    calls: tuple[Call, ...] = ()
    crash: str = ""


def worker_line(playbook: Playbook, conversation: ScriptContext) -> Line:
    """The next turn of a worker, a resolver or a fixup worker."""
    if (colliding := _conflict(conversation)) is not None:
        since, paths = colliding
        return _resolve(playbook, conversation, since, paths)
    if conversation.kind == "repair":
        return _repair(playbook, conversation)
    script = playbook.tasks_by_title.get(conversation.title)
    if script is None:
        return _no_script(conversation)
    made, unsure = _progress(script.step, conversation)
    again = "## Earlier attempt" in conversation.first
    if script.misbehave and made == min(script.at, len(script.step)) and not again:
        line = _misbehave(script, conversation)
        if line is not None:
            return line
    if (trouble := _trouble(script.step, made, conversation)) is not None:
        return trouble
    if unsure:
        path = script.step[made].edit
        return Line(f"Was {path} changed? I look before I edit it again.", (Call("read_file", {"path": path}),))
    if made < len(script.step):
        return _take(script.step[made])
    return hand_off(_filled(script.handoff, f"{script.title}: done, with its tests."))


def worker_position(playbook: Playbook, conversation: ScriptContext) -> Position:
    """The position that a worker records in its summary."""
    colliding = _conflict(conversation)
    paths = tuple(colliding[1]) if colliding and conversation.kind != "conflict" else ()
    if conversation.kind == "repair":
        return Position(steps_made(_repair_steps(playbook, conversation), conversation), conflict=paths)
    script = playbook.tasks_by_title.get(conversation.title)
    return Position(steps_made(script.step, conversation) if script else 0, conflict=paths)


def step_calls(step: Step) -> tuple[Call, ...]:
    if step.read:
        return tuple(Call("read_file", {"path": path}) for path in step.read)
    if step.search:
        return (Call("search", {"pattern": step.search}),)
    if step.write:
        return (Call("write_file", {"path": step.write, "content": step.content or ""}),)
    if step.edit:
        return (Call("edit_file", {"path": step.edit, "edits": [{"old": step.old, "new": step.new}]}),)
    if step.shell:
        return (Call("shell", {"command": step.shell}),)
    if step.call:
        return (scripted_call(step.call),)
    return (Call("rewrite_scratchpad", {"text": step.scratchpad}),)


def steps_made(steps: Sequence[Step], conversation: ScriptContext) -> int:
    """How many of the steps were made, in order; other turns between them are ignored."""
    return _progress(steps, conversation)[0]


def _progress(steps: Sequence[Step], conversation: ScriptContext) -> tuple[int, bool]:
    """How many of the steps were made, and whether the next one is an edit that a restart interrupted: it may have been
    made, and making it twice would repeat its lines.
    """
    made, unsure = conversation.kept.steps, False
    for exchange in conversation.exchanges:
        if made == len(steps):
            break
        step = steps[made]
        if was_made(step_calls(step), exchange) or (unsure and _shows_edit(step, exchange)):
            made, unsure = made + 1, False
        elif step.edit and step_calls(step)[0] in [done.call for done in exchange.done]:
            unsure = any(done.lost for done in exchange.done)
        elif unsure and _was_read(step, exchange):
            unsure = False
    return made, unsure


def _was_read(step: Step, exchange: Exchange) -> bool:
    return was_made((Call("read_file", {"path": step.edit}),), exchange)


def _shows_edit(step: Step, exchange: Exchange) -> bool:
    """Whether the turn read the file of an edit step, and the edit is in it."""
    return _was_read(step, exchange) and step.new in file_text([exchange.done[0].answer])[0]


def was_made(calls: tuple[Call, ...], exchange: Exchange) -> bool:
    """Whether the turn made exactly these calls and no restart interrupted them."""
    lost = any(done.lost for done in exchange.done)
    return bool(calls) and calls == tuple(done.call for done in exchange.done) and not lost


def hand_off(words: Words, say: str = "") -> Line:
    arguments: dict[str, object] = {name: text for name, text in msgspec.structs.asdict(words).items() if text}
    return Line(say or "Done; handing off.", (Call("submit_handoff", arguments),))


def failed(summary: str, concerns: str = "") -> Line:
    return hand_off(Words(HandoffStatus.FAILED, summary, concerns=concerns))


def merge_lines(text: str) -> str:
    """Resolve the conflict markers in a file: keep trunk's lines, followed by lines that only the other side has."""
    kept: list[str] = []
    sides: dict[str, list[str]] = {}
    side = ""
    for line in text.splitlines():
        marker = line[:7] if line[:7] in _MARKERS and line[7:8] in ("", " ") else ""
        if marker == "<<<<<<<":
            side, sides = "trunk", {"trunk": [], "base": [], "yours": []}
        elif side and marker == "|||||||":
            side = "base"
        elif side and marker == "=======":
            side = "yours"
        elif side and marker == ">>>>>>>":
            kept += sides["trunk"] + [yours for yours in sides["yours"] if yours not in sides["trunk"]]
            side = ""
        elif side:
            sides[side].append(line)
        else:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _take(step: Step) -> Line:
    return Line(step.say or _says(step), step_calls(step))


def _says(step: Step) -> str:
    if step.read:
        return f"First I read {', '.join(step.read)}."
    if step.search:
        return "Let me see what there is."
    if step.write:
        return f"Now I write {step.write}."
    if step.edit:
        return f"I edit {step.edit}."
    if step.shell:
        return f"I run `{step.shell}`."
    if step.call:
        return f"I call {step.call['tool']}."
    return "I note my progress."


def _trouble(steps: Sequence[Step], made: int, conversation: ScriptContext) -> Line | None:
    """The reaction to a failed command that the script did not expect."""
    last = conversation.last
    if not made or last is None or not last.done or not steps[made - 1].shell or steps[made - 1].breaks:
        return None
    done = last.done[0]
    if done.call is None or done.tool != "shell" or done.call.arguments.get("command") != steps[made - 1].shell:
        return None
    if done.error or exit_of(done) == 0:
        return None
    tried = sum(one.call == done.call for exchange in conversation.exchanges[-2:] for one in exchange.done)
    if exit_of(done) is None and tried < 2:
        return Line("It was killed. I retry, in case the machine was busy.", (done.call,))
    return failed(f"`{done.call.arguments['command']}` does not pass.", done.answer[-1500:])


def _misbehave(script: TaskScript, conversation: ScriptContext) -> Line | None:
    if script.misbehave == "crash":
        return Line("", crash="rehearsed crash")
    if script.misbehave == "loop":
        return Line("I look at the files again.", (Call("shell", {"command": "ls"}),))
    if script.misbehave == "idle":
        nudged = any("# Nudge" in exchange.told for exchange in conversation.exchanges)
        return None if nudged else Line("I think about the next step.")
    tools = [done.tool for exchange in conversation.exchanges for done in exchange.done]
    if "open_file" not in tools:
        return Line("I open the file.", (Call("open_file", {"file": "AGENTS.md"}),))
    if not any(done.call is None for exchange in conversation.exchanges for done in exchange.done):
        return Line("I read it with read_file.", (Call("read_file", {}, raw='{"path": "AGENTS.md'),))
    return None


def _no_script(conversation: ScriptContext) -> Line:
    if conversation.kind == "conflict":
        return failed("There is no conflict to resolve in what I was given.")
    return failed(
        f"The playbook has no task `{conversation.title}`.",
        "The rehearsal only plays what its playbook holds; a real model would have done this.",
    )


def _conflict(conversation: ScriptContext) -> tuple[list[Exchange], list[str]] | None:
    """The newest conflict's paths and the turns since; None if no conflict is open."""
    for index in range(len(conversation.exchanges) - 1, -1, -1):
        for done in conversation.exchanges[index].done:
            if done.tool == "submit_handoff" and done.answer.startswith("conflict:"):
                return list(conversation.exchanges[index + 1 :]), paths_in(done.answer)
    if conversation.kept.conflict:
        return list(conversation.exchanges), list(conversation.kept.conflict)
    if conversation.kind == "conflict":
        return list(conversation.exchanges), paths_in(conversation.first)
    return None


def _resolve(playbook: Playbook, conversation: ScriptContext, since: list[Exchange], paths: list[str]) -> Line:
    script = playbook.tasks_by_title.get(conversation.title)
    done = [one for exchange in since for one in exchange.done if one.call is not None and not one.lost]
    reads: list[Call] = []
    writes: list[Call] = []
    for path in paths:
        pieces = [one for one in done if one.tool == "read_file" and _path(one) == path]
        text, more = file_text(one.answer for one in pieces if not one.error)
        if not pieces:
            reads.append(Call("read_file", {"path": path}))
        elif more:
            reads.append(Call("read_file", {"path": path, "start": more}))
        elif "<<<<<<<" in text and not any(one.tool == "write_file" and _path(one) == path for one in done):
            writes.append(Call("write_file", {"path": path, "content": merge_lines(text)}))
    if reads:
        return Line("Trunk has moved. I look at both sides of the conflict.", tuple(reads))
    if writes:
        return Line("I keep what both sides need.", tuple(writes))
    test = _test_of(script) or playbook.test
    runs = [one for one in done if one.tool == "shell"]
    if test and (not runs or (exit_of(runs[-1]) is None and len(runs) < 2)):
        return Line("I run the tests on the merged files.", (Call("shell", {"command": test}),))
    if runs and exit_of(runs[-1]) != 0:
        return failed("The merged files do not pass the tests.", runs[-1].answer[-1500:])
    words = script.handoff if script else Words()
    merged = f"{conversation.title}: done; both sides of the conflict in {', '.join(paths)} are kept."
    return hand_off(_filled(words, merged), "The merged files pass; I submit again.")


def _test_of(script: TaskScript | None) -> str:
    commands = [step.shell for step in script.step if step.shell] if script else []
    return commands[-1] if commands else ""


def _repair_steps(playbook: Playbook, conversation: ScriptContext) -> tuple[Step, ...]:
    """Run the check, then the steps of the matching repair, then the check again."""
    check = Step(shell=playbook.test, say="First I reproduce the failure.")
    output = "\n".join(_outputs_of(one for exchange in conversation.exchanges[:3] for one in exchange.done))
    for repair in playbook.repair:
        if re.search(repair.when, output or conversation.first):
            return (check, *repair.step, Step(shell=playbook.test, say="I run the whole check again."))
    return (check,)


def _repair(playbook: Playbook, conversation: ScriptContext) -> Line:
    steps = _repair_steps(playbook, conversation)
    made = steps_made(steps, conversation)
    if not made:
        return _take(steps[0])
    runs = [
        one
        for exchange in conversation.exchanges
        for one in exchange.done
        if one.call == Call("shell", {"command": playbook.test})
    ]
    if made in (1, len(steps)) and runs and exit_of(runs[-1]) == 0:
        found = next((one for one in playbook.repair if re.search(one.when, "\n".join(_outputs_of(runs)))), None)
        words = found.handoff if found and made == len(steps) else Words()
        fallback = "The check passes again." if made == len(steps) > 1 else "The check passes here; nothing to repair."
        return hand_off(_filled(words, fallback))
    if made < len(steps):
        return _take(steps[made])
    output = runs[-1].answer[-1500:] if runs else ""
    return failed("The check still fails, and the playbook knows no other repair.", output)


def _outputs_of(done: Iterable[CallResult]) -> list[str]:
    return [one.answer for one in done if one.tool == "shell" and one.answer.startswith("exit ")]


def _filled(words: Words, summary: str) -> Words:
    return words if words.summary else msgspec.structs.replace(words, summary=summary)


def _path(done: CallResult) -> str:
    return str(done.call.arguments.get("path", "")) if done.call else ""
