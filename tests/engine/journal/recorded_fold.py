"""Records a run that reaches every line of the fold, with checkpoints: `python -m tests.engine.journal.recorded_fold`.

Run it when the fold's meaning has changed and `checkpoints.MEANING` was raised: it replaces the recordings of the older
meaning. Run it too when a kind of event or a line of the fold is new: it adds a recording, and keeps those that show
that the old events still mean the same.
"""

import asyncio
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import zstandard

from engine.domain import events as e
from engine.domain import types as t
from engine.domain.environment import Environment, Interpreter
from engine.domain.handoff_facts import Finding, SuiteRun
from engine.domain.notes import Note, NoteKind
from engine.domain.spending import RUN, Mark, of_task
from engine.journal import writer
from engine.journal.checkpoints import MEANING
from engine.journal.writer import SqliteJournal
from engine.state.fold import fold
from engine.state.fold.agents import INDEX_LOCKED, KNOWN_FAILURES
from engine.state.fold.retirement import KEPT as KEPT_ENDED
from engine.state.fold.retirement import OWN
from engine.state.snapshot import OVERTAKING, Snapshot
from tests.engine.journal.stories import Story

RECORDED = Path(__file__).parent / "recorded"
LENGTH = 2_500
EVERY = 700
"""Events between two checkpoints of a recording."""
KEPT = {"events", "blobs", "checkpoints"}
"""The tables that a recording is about."""


class WholeStory(Story):
    """A story with the events that a random one leaves out."""

    def tell_the_rest(self) -> None:
        self._of_the_run()
        self._of_trunk()
        self._of_notes()
        self._of_tests()
        self._of_claims()
        self._of_findings()
        self._of_subplanners()
        for number in range(OVERTAKING + 5):
            self._landed(number)
        for number in range(KNOWN_FAILURES + 1):
            self.tell(e.FailureNoted(f"failure {number}"), self._root.id)
        self._of_the_retired()

    def _of_the_run(self) -> None:
        self.tell(e.BudgetMarked(RUN, Mark.NEAR, "80% of 10 USD", "10 USD"))
        self.tell(e.EpochStarted(7, "strict", "clone", "no settings"), epoch=self.snapshot.epoch + 1)
        self.tell(e.EpochStarted(8, "strict", "clone", '{"repo":{"check":"make"}}'), epoch=self.snapshot.epoch + 1)

    def _of_trunk(self) -> None:
        trunk = self.snapshot.trunk
        check = t.Check(self.at, trunk, True, 0, "passed", 3.5, clean=True, command="make test")
        self.tell(e.BaseSurveyed(t.BaseSurvey(check)))
        self.tell(e.EnvironmentSurveyed(Environment("c", (Interpreter("python3", "3.12"),), ("python",), ("uv",))))
        self.tell(e.CheckFinished(check))
        self.tell(e.GreenMoved(trunk))
        self.tell(e.CheckFinished(check))
        self.tell(e.GreenMoved(None))
        self.tell(e.HotFilesTold({"src/a.py": 3}), self._root.id)

    def _of_notes(self) -> None:
        root, first = self._root.id, len(self.snapshot.notes) + 1
        for number in range(first, first + 3):
            self.tell(e.NoteMade(Note(number, self.at, root, NoteKind.QUESTION, "which?", awaited=True)), root)
        self.tell(e.NoteAnswered(first, "this one"), root)
        self.tell(e.NoteAnswered(first, taken_back=True), root)
        self.tell(e.NoteAnswered(first + 1, "that one"), root)
        self.tell(e.AnswersOverdue((first + 2,), "it took too long"), root)
        source = t.MessageSource.ANSWER
        message = t.InboxMessage(t.MessageId(self._id("m")), self.at, root, source, "that one", notes=(first + 1,))
        self.tell(e.MessageQueued(message), root)

    def _of_tests(self) -> None:
        root = self._root.id
        ran = SuiteRun("pytest", True, "3 passed", 1.0)
        for tests in (ran, SuiteRun("git stash; pytest", False, "1 failed", 1.0, covers=False), True, False, None):
            answer = f"fatal: {INDEX_LOCKED}" if tests is None else "exit 0"
            call = e.ToolFinished(t.CallId("x"), "shell", t.ToolCallState.OK, answer, ("src/a.py",), 1.0, tests=tests)
            self.tell(call, root)
        self.tell(e.WorkspaceUpdated(self.snapshot.base, self.snapshot.trunk), root)
        self.tell(e.ToolFinished(t.CallId("y"), "status", t.ToolCallState.OK, "level"), root)
        self.tell(e.ModelCallRetried(self._root.model, "lost", 0.0, t.Usage(5, 0, 5, 0.1), lost=True), root)

    def _working(self) -> tuple[t.TaskId, t.AgentId]:
        task = t.Task(t.TaskId(self._id("t")), t.TaskSpec("part", "do", "src/**", ""), self._root.id, 1)
        self.tell(e.TaskQueued(task), self._root.id, task.id)
        worker = self._spawn(task.id, t.Role.WORKER)
        self.tell(e.TaskStarted(worker, 1), worker, task.id)
        return task.id, worker

    def _of_claims(self) -> None:
        """Tasks meet in a conflict, wait, get precedence and lose it; one is cancelled while it lands."""
        told = t.HandoffText(t.HandoffStatus.DONE, "done")
        for ending in range(4):
            task, worker = self._working()
            self.tell(e.ToolFinished(t.CallId("z"), "shell", t.ToolCallState.OK, "exit 0", tests=True), worker)
            self.tell(e.BudgetMarked(of_task(task), Mark.REACHED, "1 USD"))
            self.tell(e.LandingWaits({"src/a.py": t.AgentPath("root/other")}), worker, task)
            landing = t.LandingId(self._id("l"))
            self.tell(e.LandingStarted(landing, self._commit(), told), worker, task)
            conflict = t.LandingState.CONFLICTED
            paths = ("src/a.py",)
            done = t.Landing(landing, self.at, task, worker, conflict, self.snapshot.trunk, None, paths, paths)
            self.tell(e.LandingFinished(done), worker, task)
            self.tell(e.PrecedenceGiven(paths, self.at + 60_000_000, self._commit(), ending == 0), worker, task)
            if ending == 1:
                self.tell(e.PrecedenceEnded(), worker, task)
            elif ending == 2:
                self.tell(e.TaskUnwanted("no longer needed", 1), worker, task)
                self.tell(e.TaskEnded(t.TaskState.CANCELLED, "cancelled", None, 1), worker, task)
            elif ending == 3:
                self.tell(e.TaskEnded(t.TaskState.FAILED, "no more tries", None), worker, task)
                self.tell(e.AgentStateChanged(t.AgentState.FAILED), worker, task)

    def _of_findings(self) -> None:
        task, worker = self._working()
        found = (Finding("- `make test` needs a port.", True, True), Finding("x" * 300, False, True), Finding("no"))
        text = t.HandoffText(t.HandoffStatus.PARTIAL, "half", findings=found)
        for to in (self._root.id, self._root.id, None):
            handoff = t.Handoff(t.HandoffId(self._id("h")), self.at, task, worker, to, text)
            self.tell(e.HandedOff(handoff), worker, task)

    def _of_subplanners(self) -> None:
        """A subplanner asks, hands off and is asked again; another is cancelled, and gets a message too late."""
        for state in (t.AgentState.DONE, t.AgentState.CANCELLED):
            planner = self._spawn(None, t.Role.PLANNER)
            number = len(self.snapshot.notes) + 1
            self.tell(e.NoteMade(Note(number, self.at, planner, NoteKind.QUESTION, "how?")), planner)
            for workers in (2, None):
                self.tell(e.SubtreeLimited(workers), planner)
            self.tell(e.AgentStateChanged(state), planner)
            for by in ("planner", "person"):
                self.tell(e.Rescoped("again", "src/**", by), planner)
            source = t.MessageSource.STEER
            late = t.InboxMessage(t.MessageId(self._id("m")), self.at, planner, source, "too late")
            self.tell(e.MessageQueued(late), planner)

    def _of_the_retired(self) -> None:
        """So many tasks end that older ones leave the snapshot, unless somebody needs them."""
        if self._root.state is t.AgentState.DONE:
            self.tell(e.AgentStateChanged(t.AgentState.THINKING), self._root.id)
        planner = self._spawn(None, t.Role.PLANNER)
        spec = t.TaskSpec("part", "do", "src/**", "")

        def cancelled(of: t.AgentId, kind: t.TaskKind = t.TaskKind.WORK) -> t.TaskId:
            task = t.Task(t.TaskId(self._id("t")), spec, of, 1, kind, queued_at=self.at)
            self.tell(e.TaskQueued(task), of, task.id)
            self.tell(e.TaskEnded(t.TaskState.CANCELLED, "", None, 1), None, task.id)
            return task.id

        later = t.Task(t.TaskId(self._id("t")), spec, planner, 1, replaces=cancelled(planner))
        self.tell(e.TaskQueued(later), planner, later.id)
        cancelled(planner, t.TaskKind.FIXUP)
        for number in range(3):
            id, worker = self._working()
            concerns = "It may break." if number == 1 else ""
            self.tell(e.HandedOff(self._handed_off(worker, self._root.id, id, concerns)), worker, id)
            self.tell(e.TaskEnded(t.TaskState.FAILED, "no more tries", None), worker, id)
            self.tell(e.AgentStateChanged(t.AgentState.FAILED), worker, id)
        for number in range(OWN + 5):
            below = self._spawn(None, t.Role.PLANNER)
            note = Note(len(self.snapshot.notes) + 1, self.at, below, NoteKind.ASSUMPTION, "so")
            if number == 1:
                cancelled(below)
            if number == 0:
                self.tell(e.NoteMade(note), below)
            self.tell(e.HandedOff(self._handed_off(below, self._root.id)), below)
            self.tell(e.AgentStateChanged(t.AgentState.DONE), below)
        for _ in range(OWN + 1):
            cancelled(planner)
            cancelled(self._root.id)
            self.tell(e.HandedOff(self._handed_off(self._root.id, None)), self._root.id)
        self.tell(e.HandoffResolved(t.HandoffId("h-left"), True), self._root.id)
        for hour in range(2):
            self.snapshot.at += hour * t.HOUR
            for _ in range(KEPT_ENDED):
                cancelled(planner)
        self.tell(e.AgentStateChanged(t.AgentState.CANCELLED), planner)
        for _ in range(OWN):
            cancelled(self._root.id)

    def _handed_off(
        self, agent: t.AgentId, to: t.AgentId | None, task: t.TaskId | None = None, concerns: str = ""
    ) -> t.Handoff:
        text = t.HandoffText(t.HandoffStatus.DONE, "done", concerns=concerns)
        return t.Handoff(t.HandoffId(self._id("h")), self.at, task, agent, to, text)

    def _landed(self, number: int) -> None:
        """A landing that follows the tip; every fifth is recorded before the one that it follows."""
        first, second = self._commit(), self._commit()
        pairs = [(self.snapshot.trunk, first), (first, second)]
        for base, commit in reversed(pairs) if number % 5 == 0 else pairs:
            landing = t.LandingId(self._id("l"))
            task, agent = t.TaskId("t-gone"), self._root.id
            done = t.Landing(landing, self.at, task, agent, t.LandingState.MERGED, base, commit, (f"f{number}",))
            self.tell(e.LandingFinished(done), agent)


def whole_story() -> WholeStory:
    told = WholeStory(22, text=12)
    told.go_on(LENGTH)
    told.tell_the_rest()
    return told


async def record(path: Path) -> Snapshot:
    """Write the story with its checkpoints; returns its last state."""
    told, snapshot = whole_story(), Snapshot()
    with patch.object(writer, "EVERY", EVERY):
        journal = await SqliteJournal.open(path)
        for event in told.events:
            fold(snapshot, event)
            journal.append([event])
            journal.checkpoint(snapshot)
            if event.seq % 10 == 0:
                await journal.durable(event.seq)
        await journal.close()
    return snapshot


def recordings() -> list[Path]:
    """Those that show that this program's fold means what its checkpoints' number says."""
    return sorted(RECORDED.glob(f"fold-{MEANING}-*.db.zst"))


def unpacked(recording: Path, path: Path) -> Path:
    """Write the recorded journal to `path`."""
    path.write_bytes(zstandard.ZstdDecompressor().decompress(recording.read_bytes()))
    return path


def add() -> Path:
    """Record this program's fold beside the recordings of the same meaning, and remove those of others."""
    RECORDED.mkdir(exist_ok=True)
    kept = recordings()
    for other in set(RECORDED.glob("fold-*.db.zst")) - set(kept):
        other.unlink()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        asyncio.run(record(path))
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode = DELETE").fetchall()
            for table in {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")} - KEPT:
                db.execute(f"DELETE FROM {table}")
            db.commit()
            db.execute("VACUUM")
        made = RECORDED / f"fold-{MEANING}-{len(kept) + 1}.db.zst"
        made.write_bytes(zstandard.ZstdCompressor(level=19).compress(path.read_bytes()))
    return made


if __name__ == "__main__":
    sys.stdout.write(f"{add()}\n")
