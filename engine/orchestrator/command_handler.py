"""Turns a person's commands into events, or refuses them with a hint."""

import difflib

from engine.agents.cancellation import cancelled
from engine.agents.changes import intent_changed, slice_changed_by_user
from engine.agents.directions import directed
from engine.agents.notes import as_answered, intent_without
from engine.domain import commands as c
from engine.domain import events as e
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.events import Draft
from engine.domain.notes import Note
from engine.domain.os_text import utf8_text
from engine.domain.types import Agent, AgentPath, HandoffId, Intent, MessageSource, Role, RunState
from engine.orchestrator.answers import answered
from engine.policy.scope import scope_fault
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder


def drafts_for(run: RunRecorder, command: c.Command) -> tuple[Draft, ...]:
    """The events that carry out a command, to be recorded as one batch. Raises SwarmError if it cannot be done.

    `Stop` has no events: it ends this process's work, which the swarm does itself.
    """
    snapshot = run.snapshot
    match command:
        case c.SubmitIntent(text=text, author=author):
            return _new_intent(run, text, author)
        case c.Pause(path=None, freeze=freeze):
            running = snapshot.state is RunState.RUNNING  # otherwise it is paused, or about to be
            held = [Draft(e.RunStateChanged(RunState.PAUSING, "paused by a person"))] if running else []
            frozen = [Draft(e.SubtreePaused(freeze=True), snapshot.root)] if freeze and snapshot.root else []
            return (*held, *frozen)
        case c.Resume(path=None):
            let_go = [Draft(e.SubtreeResumed(), agent.id) for agent in snapshot.agents.values() if agent.paused]
            paused = snapshot.state in (RunState.PAUSING, RunState.PAUSED)
            return (*([Draft(e.RunStateChanged(RunState.RUNNING))] if paused else []), *let_go)
        case c.Pause(path=path, freeze=freeze):
            return (Draft(e.SubtreePaused(freeze=freeze), _at(run, path).id),)
        case c.Resume(path=path):
            return (Draft(e.SubtreeResumed(), _at(run, path).id),)
        case c.Steer(path=path, text=text, taken_back=taken_back):
            return directed(run, _alive(_at(run, path)), _filled(text), taken_back=taken_back)
        case c.Cancel(path=path, reason=reason):
            if not (drafts := cancelled(run, _at(run, path), reason)):
                raise _refused(f"{path} has ended", "there is nothing to cancel")
            return drafts
        case c.SetWorkers(workers=workers, path=path):
            if workers is not None and workers < 0:
                raise _refused("the number of workers cannot be negative", "give a number from 0")
            planner = _planner(run, path, "a limit on workers") if path is not None else None
            if planner is not None and planner.parent is not None:
                return (Draft(e.SubtreeLimited(workers), planner.id),)
            if workers is None:
                raise _refused("the whole run needs a limit on workers", "give a number from 0")
            return (Draft(e.WorkersLimited(workers, "person")),)
        case c.SetPriority(path=path, priority=priority):
            return (Draft(e.PriorityChanged(priority), _planner(run, path, "a priority").id),)
        case c.SetModel(model=model, path=path, role=role):
            if path is None:
                return (Draft(e.ModelChanged(model, role)),)
            agents = snapshot.subtree(_at(run, path).id)
            return tuple(Draft(e.ModelChanged(model), agent.id) for agent in agents if not agent.gone)
        case c.Rescope(path=path, goal=goal, scope=scope):
            agent = _alive(_at(run, path))
            if agent.role is not Role.PLANNER or agent.parent is None:
                raise _refused(
                    f"{path} is not a subplanner", "the root planner's scope is the intent: edit that instead"
                )
            if scope != agent.scope and (fault := scope_fault(scope)):
                raise _refused(f"no scope: '{scope[:200]}'", fault)
            scope = scope or agent.scope
            text = slice_changed_by_user(run, agent, _filled(goal), scope)
            return (
                Draft(e.Rescoped(goal, scope, "person"), agent.id),
                message_to(run, agent.id, MessageSource.STEER, text),
            )
        case c.Resolve(handoff=handoff, resolved=resolved):
            return _resolved(run, handoff, resolved)
        case c.AnswerNote(note=number, text=text, taken_back=taken_back):
            return _answer_taken_back(run, number) if taken_back else _answer(run, number, text)
        case _:
            return ()


def _answer(run: RunRecorder, number: int, text: str) -> tuple[Draft, ...]:
    note = _note(run, number)
    if not note.open:
        raise _refused(f"note {number} is answered already", f"to say more: steer {_path(run, note)}")
    if run.snapshot.agents[note.agent].gone and text:
        raise _refused(f"{_path(run, note)} has ended", "nobody can act on the answer: steer the planner above it")
    return answered(run, note, utf8_text(text).strip())


def _answer_taken_back(run: RunRecorder, number: int) -> tuple[Draft, ...]:
    """The note is open again. A planner that has got the answer is told to disregard it."""
    note, intent = _note(run, number), run.snapshot.intent
    if note.open:
        raise _refused(f"note {number} has no answer", "there is nothing to take back")
    reopened = Draft(e.NoteAnswered(number, taken_back=True), note.agent)
    if not note.delivered:
        return (reopened,)
    if note.intent and intent is not None and (text := intent_without(intent.text, note)) != intent.text:
        return (reopened, *_new_intent(run, text, "person"))
    said = run.prompts["steer_taken_back"].render(text=as_answered(note))
    return (reopened, message_to(run, note.agent, MessageSource.STEER, said))


def _note(run: RunRecorder, number: int) -> Note:
    note = run.snapshot.notes.get(number)
    if note is None:
        raise SwarmError(ErrorKind.NOT_FOUND, f"there is no note {number}", "`swarm-tui report RUN` lists the notes")
    if note.to_agent is not None:
        planner = run.snapshot.agents[note.to_agent].path
        raise _refused(f"note {number} is a question to {planner}", f"to help it decide: steer {planner}")
    return note


def _path(run: RunRecorder, note: Note) -> AgentPath:
    return run.snapshot.agents[note.agent].path


def _resolved(run: RunRecorder, handoff: HandoffId, resolved: bool) -> tuple[Draft, ...]:
    known = run.snapshot.handoffs.get(handoff)
    if known is None:
        hint = "the screen shows a handoff's id in its heading, and `swarm-tui export` lists them"
        gone = ", or it is too old to be marked" if run.snapshot.retired else ""
        raise SwarmError(ErrorKind.NOT_FOUND, f"there is no handoff {handoff}{gone}", hint)
    if (handoff in run.snapshot.resolved) is resolved:
        return ()
    return (Draft(e.HandoffResolved(handoff, resolved), known.agent, known.task),)


def _new_intent(run: RunRecorder, text: str, author: str) -> tuple[Draft, ...]:
    snapshot = run.snapshot
    root = snapshot.root
    old = snapshot.intent
    if old is not None and old.text == text:
        raise _refused("the intent is unchanged", "change it, then submit it again")
    version = old.version + 1 if old else 1
    draft = Draft(e.IntentVersioned(Intent(version, run.clock.now(), author, _filled(text))))
    if root is None or old is None:
        return (draft,)
    message = intent_changed(run, root, old, text)
    return draft, message_to(run, root, MessageSource.INTENT, message, intent=version)


def _at(run: RunRecorder, path: AgentPath | None) -> Agent:
    """The agent at a path. Raises SwarmError (not found) with the most similar path."""
    snapshot = run.snapshot
    id = snapshot.paths.get(path) if path else None
    if id is None:
        near = difflib.get_close_matches(path or "", list(snapshot.paths), 1, 0.3)
        hint = f"did you mean {near[0]}?" if near else "write the full path as in the agent tree, such as root/w-3"
        gone = ", or it ended long ago" if snapshot.retired else ""
        raise SwarmError(ErrorKind.NOT_FOUND, f"there is no agent {path}{gone}", hint)
    return snapshot.agents[id]


def _planner(run: RunRecorder, path: AgentPath, what: str) -> Agent:
    agent = _at(run, path)
    if agent.role is not Role.PLANNER:
        raise _refused(f"{path} is not a planner", f"{what} belongs to a planner's subtree: give the path of a planner")
    return agent


def _alive(agent: Agent) -> Agent:
    if agent.gone or (agent.ended and agent.role is not Role.PLANNER):
        raise _refused(f"{agent.path} has ended", "only a planner can get messages after it is done")
    return agent


def _filled(text: str) -> str:
    if not text.strip():
        raise _refused("the text is empty", "write what should be done")
    return utf8_text(text)


def _refused(message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.USAGE, message, hint)
