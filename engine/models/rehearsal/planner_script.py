"""Decides a rehearsed planner's next turn: scripted moves, and reactions to handoffs, changes and refusals."""

import msgspec
from msgspec import Struct

from engine.domain.types import HandoffStatus
from engine.models.rehearsal.playbook import IntentChange, Move, PlannerScript, Playbook, Words
from engine.models.rehearsal.script_position import (
    Call,
    Exchange,
    Position,
    Report,
    ScriptContext,
    messages_in,
    reports_in,
    scripted_call,
)
from engine.models.rehearsal.worker_script import Line, hand_off, was_made

_LOG = Call("shell", {"command": "git log --oneline -8"})
_AT_ONCE = 30
"""Tasks per call of spawn_tasks."""
_ASKED = ("title", "goal", "scope", "acceptance", "priority")
_NOTABLE = ("deviations", "findings", "concerns", "feedback")


class PlannerProgress(Struct):
    """A planner's progress. `over`: it has handed off; `woken`: its turns since then, from the first news on; `fresh`:
    notable handoffs received since the scratchpad was last rewritten.
    """

    script: PlannerScript
    made: int
    asked: list[str]
    heard: dict[str, str]
    intents: int
    over: bool
    woken: list[Exchange] = []
    news: bool = False
    fresh: list[Report] = []
    changed: bool = False
    scratchpad: str = ""
    digest: list[str] = []


def planner_line(playbook: Playbook, conversation: ScriptContext) -> Line:
    """The next turn of the root planner or a subplanner."""
    script = _find_planner(playbook, conversation)
    if script is None:
        return hand_off(
            Words(HandoffStatus.FAILED, f"The playbook has no slice `{conversation.title}`."),
            "I have no plan for this.",
        )
    known = _progress(playbook, script, conversation)
    return _react(playbook, known) or _move(playbook, known, conversation) or _close(playbook, known, conversation)


def planner_position(playbook: Playbook, conversation: ScriptContext) -> Position:
    """The position that a planner records in its summary."""
    script = _find_planner(playbook, conversation)
    if script is None:
        return Position()
    known = _progress(playbook, script, conversation)
    return Position(known.made, (), tuple(known.asked), known.heard, known.intents, known.over)


def _find_planner(playbook: Playbook, conversation: ScriptContext) -> PlannerScript | None:
    title = "root" if conversation.kind == "intent" else conversation.title
    return next((planner for planner in playbook.planner if planner.title == title), None)


def _progress(playbook: Playbook, script: PlannerScript, conversation: ScriptContext) -> PlannerProgress:
    kept = conversation.kept
    known = PlannerProgress(script, kept.steps, list(kept.asked), dict(kept.heard), kept.intents, kept.over)
    _hear(known, conversation.since_summary)
    for exchange in conversation.exchanges:
        if known.made < len(script.move) and was_made(_move_calls(playbook, script.move[known.made]), exchange):
            known.made += 1
        if known.over and known.news:
            known.woken.append(exchange)
        for done in exchange.done:
            if done.call is None or done.lost:
                continue
            if done.tool == "rewrite_scratchpad":
                known.scratchpad, known.fresh, known.changed = str(done.call.arguments.get("text", "")), [], False
            elif done.tool == "submit_handoff" and not done.error:
                known.over, known.woken, known.news = True, [], False
            elif done.tool in ("spawn_tasks", "spawn_subplanner"):
                known.asked += _titles(done.call) if not done.error else []
        _hear(known, exchange.told)
    return known


def _hear(known: PlannerProgress, text: str) -> None:
    for report in reports_in(text):
        known.heard[report.title] = report.status
        known.news = True
        notable = [f"- {report.title}: {report.sections[name]}" for name in _NOTABLE if report.sections.get(name)]
        if notable or report.status != "done":
            known.fresh.append(report)
            known.digest += notable or [f"- {report.title}: {report.status}"]
    for heading, _ in messages_in(text):
        if heading.startswith(("Intent", "Message from your planner")):
            known.intents += 1
            known.changed = known.news = True
        elif heading == "Message from the user":
            known.news = True


def _react(playbook: Playbook, known: PlannerProgress) -> Line | None:
    """Follow a changed intent, note findings; None if there is nothing to react to."""
    change = playbook.on_intent[: known.intents] if known.script.title == "root" else ()
    for one in change:
        if wanted := [name for name in one.spawn if name not in known.asked]:
            told = tuple(_pass_on(title, one) for title in one.tell if title in known.asked)
            others = map(scripted_call, one.call)
            return Line("The intent has changed; these tasks follow it.", (*_spawn(playbook, wanted), *told, *others))
    if known.changed:
        note = change[-1].scratchpad if change and change[-1].scratchpad else ""
        text = _notes(
            known, note or f"The intent has changed ({known.intents + 1} versions so far); the plan follows it."
        )
        return Line("I note the new intent.", (Call("rewrite_scratchpad", {"text": text}),))
    if known.fresh:
        titles = ", ".join(report.title for report in known.fresh)
        return Line(
            f"Worth keeping from {titles}.",
            (Call("rewrite_scratchpad", {"text": _notes(known, "From handoffs:")}),),
        )
    return None


def _pass_on(title: str, change: IntentChange) -> Call:
    message = change.scratchpad or "The intent has changed; continue with what still serves it."
    return Call("rescope_subplanner", {"subplanner": title, "message": message})


def _notes(known: PlannerProgress, heading: str) -> str:
    plan = next((move.scratchpad for move in reversed(known.script.move[: known.made]) if move.scratchpad), "")
    state = f"{len(known.heard)} of {len(set(known.asked))} handed in."
    return "\n".join(part for part in (plan.strip(), state, heading, *known.digest[-12:]) if part)


def _move(playbook: Playbook, known: PlannerProgress, conversation: ScriptContext) -> Line | None:
    """The next scripted move, or a wait for what it needs; None once all moves are made."""
    if known.made >= len(known.script.move) or known.over:
        return None
    if (refused := _refused_slice(playbook, known, conversation)) is not None:
        return refused
    move = known.script.move[known.made]
    needed = known.asked if "*" in move.wait_for else move.wait_for
    vain = any(done.tool == "wait" and done.error for done in conversation.last.done) if conversation.last else False
    if any(title not in known.heard for title in needed) and not vain:
        return Line("The next move needs outstanding work.", (Call("wait", {}),))
    return Line(move.say or _says(move), _move_calls(playbook, move))


def _refused_slice(playbook: Playbook, known: PlannerProgress, conversation: ScriptContext) -> Line | None:
    """Spawn a slice's tasks directly if its subplanner was refused (too deep, too many agents)."""
    last = conversation.last
    for done in last.done if last else ():
        if done.tool == "spawn_subplanner" and done.error and done.call is not None and not done.lost:
            titles = [title for title in _tasks_below(playbook, _titles(done.call)[0]) if title not in known.asked]
            if titles:
                return Line("I plan that slice myself.", _spawn(playbook, titles))
    return None


def _tasks_below(playbook: Playbook, title: str) -> list[str]:
    for planner in playbook.planner:
        if planner.title == title:
            below = [name for move in planner.move for inner in move.slice for name in _tasks_below(playbook, inner)]
            return [*below, *(name for move in planner.move for name in move.spawn)]
    return []


def _close(playbook: Playbook, known: PlannerProgress, conversation: ScriptContext) -> Line:
    """Wait for outstanding work, then hand off; after being woken, look at the news first."""
    calls = [done for exchange in known.woken for done in exchange.done if done.call is not None]
    if known.over and known.news:
        if not any(done.tool == "shell" for done in calls):
            return Line("I was done, but this is new. I look at trunk's current state.", (_LOG,))
        if not any(done.tool == "rewrite_scratchpad" for done in calls):
            text = _notes(known, "Woken after the handoff; I have read what arrived since.")
            return Line("I update my notes.", (Call("rewrite_scratchpad", {"text": text}),))
    last = conversation.last
    refused = [done for done in last.done if done.error and not done.lost] if last else []
    if any(done.tool == "submit_handoff" for done in refused):
        return Line("Some work is outstanding; I wait for it.", (Call("wait", {}),))
    out = [title for title in known.asked if title not in known.heard]
    woken_by = [heading for heading, _ in messages_in(last.told)] if last else []
    waited = last is not None and any(done.tool == "wait" for done in last.done)
    stirred = waited and not any(
        heading in ("Check", "Notice", "Reminder") or heading.startswith("Handoff: ") for heading in woken_by
    )
    if out and not stirred:
        return Line(f"{len(out)} outstanding.", (Call("wait", {}),))
    return hand_off(_words(known), "All work is in; I hand off.")


def _words(known: PlannerProgress) -> Words:
    """The playbook's handoff; `partial` if a task failed."""
    failed = [title for title, status in known.heard.items() if status == "failed"]
    words = known.script.handoff
    landed = sum(status in ("done", "partial") for status in known.heard.values())
    summary = words.summary or f"{landed} of {len(set(known.asked))} parts are in."
    if not failed:
        return msgspec.structs.replace(words, summary=summary)
    concerns = "\n".join(part for part in (words.concerns, f"failed: {', '.join(failed)}") if part)
    return msgspec.structs.replace(words, status=HandoffStatus.PARTIAL, summary=summary, concerns=concerns)


def _move_calls(playbook: Playbook, move: Move) -> tuple[Call, ...]:
    calls = [Call("read_file", {"path": path}) for path in move.read]
    if move.shell:
        calls.append(Call("shell", {"command": move.shell}))
    if move.scratchpad:
        calls.append(Call("rewrite_scratchpad", {"text": move.scratchpad}))
    calls += map(scripted_call, move.call)
    for title in move.slice:
        planner = next(one for one in playbook.planner if one.title == title)
        arguments: dict[str, object] = {"title": title, "goal": planner.goal or title}
        if planner.scope:
            arguments["scope"] = planner.scope
        calls.append(Call("spawn_subplanner", arguments))
    return (*calls, *_spawn(playbook, list(move.spawn)))


def _spawn(playbook: Playbook, titles: list[str]) -> tuple[Call, ...]:
    tasks = [
        {name: value for name in _ASKED if (value := getattr(task, name))}
        | ({"after": list(task.after)} if task.after else {})
        for title in titles
        if (task := playbook.tasks_by_title.get(title)) is not None
    ]
    chunks = [tasks[start : start + _AT_ONCE] for start in range(0, len(tasks), _AT_ONCE)]
    return tuple(Call("spawn_tasks", {"tasks": chunk}) for chunk in chunks)


def _titles(call: Call) -> list[str]:
    if call.tool == "spawn_subplanner":
        return [str(call.arguments.get("title", ""))]
    tasks = call.arguments.get("tasks")
    return [str(task.get("title", "")) for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []


def _says(move: Move) -> str:
    if move.slice:
        return f"Each of these slices gets a subplanner: {', '.join(move.slice)}."
    if move.spawn:
        count = len(move.spawn)
        return f"Time for {count} task{'' if count == 1 else 's'}."
    return "I look around before I plan."
