"""A session in which every text from outside the program is hostile."""

from engine.domain import events as e
from engine.domain.notes import Note, NoteKind
from engine.domain.types import (
    AgentState,
    CallId,
    Check,
    CommitId,
    HandoffStatus,
    HandoffText,
    Intent,
    Role,
    RunState,
)
from engine.journal.rows import CallRow, Followed, MessageRow, TaskRow
from tests.tui.fake_session import FakeSession
from tests.tui.swarms import begin, hand_off, spawn, task
from tui.sessions.session import LiveAgent

EVIL = (
    "[/x][bold]\x1b]0;OWNED\x07\x1b]52;c;T1dORUQ=\x1b\\\x9b2J\x1b[2J\x9d0;OWNED\x9c\x1bP1$r\x1b\\"
    "\u202e\u2066\u200d\u200b\x00\x08\r👩\u200d💻日本\udce9\ud800"
)


NAME = EVIL + "\nsecond\x85line\u2028third"


HUGE = EVIL * 500


def hostile_session() -> FakeSession:
    """A swarm in which every text from outside the program is hostile."""
    session = FakeSession()
    root = begin(session)
    session.record(e.IntentVersioned(Intent(2, session.at, EVIL, EVIL)))
    planner = spawn(session, f"root/p{EVIL}", root, Role.PLANNER, EVIL)
    note = Note(1, session.at, planner, NoteKind.QUESTION, NAME, (EVIL, "no"), awaited=True)
    session.record(e.NoteMade(note), agent=planner)
    id = task(session, planner, EVIL, EVIL)
    worker = spawn(session, f"root/p{EVIL}/w-1", planner, Role.WORKER, EVIL, task=id)
    session.record(e.TaskStarted(worker, 1), agent=worker, task=id)
    session.record(e.AgentStateChanged(AgentState.ACTING, EVIL), agent=worker)
    session.record(e.ScratchpadRewritten(1, EVIL), agent=worker)
    session.record(e.Warned(EVIL))
    session.record(e.WorkersLimited(3, EVIL, EVIL))
    text = HandoffText(HandoffStatus.FAILED, NAME, EVIL, EVIL, EVIL, HUGE, EVIL)
    hand_off(session, worker, id, text, None)
    session.record(e.ScratchpadRewritten(2, NAME + HUGE), agent=worker)
    session.record(e.SubtreePaused(EVIL), agent=planner)
    session.record(e.ToolStarted(CallId("c"), EVIL, EVIL, True, NAME), agent=worker, task=id)
    session.record(e.CheckFinished(Check(session.at, CommitId(EVIL), False, 1, EVIL, 1.0)))
    head = f"diff --git a/{EVIL} b/{EVIL}\n--- a/{EVIL}\n+++ b/{EVIL}\n@@ -1,2 +1,2 @@ {EVIL}\n"
    session.patches[worker] = f"{head}-{EVIL}\n+{EVIL}1\n-{HUGE}\n+{HUGE}2\n"
    session.live[worker] = LiveAgent(EVIL * 20, True, NAME, EVIL * 20, True, 0, EVIL)
    calls = (CallRow(EVIL, EVIL, EVIL), CallRow("d", NAME, '{"command": "\\u001b[2J"}'))
    answer = MessageRow(2, 4, session.at, worker, "assistant", NAME, EVIL, 9, True, state=EVIL, calls=calls)
    session.said[worker] = [
        MessageRow(1, 3, session.at, worker, "user", NAME, EVIL, 9, True),
        answer,
        MessageRow(3, 5, session.at, worker, "tool", EVIL, NAME, 9, False, EVIL, None, "error"),
    ]
    session.whole[3] = HUGE
    handoff = next(iter(session.run.handoffs))
    session.led_to[handoff] = Followed(answer, (TaskRow(id, NAME, "queued"),))
    session.record(e.RunStateChanged(RunState.PAUSED, EVIL))
    return session
