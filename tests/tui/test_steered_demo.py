"""The demo, steered while it runs, by keys in a real terminal and by `send`: the journal tells what each word set off.

Every step waits for what the journal says, and what must not end meanwhile is held: the order of things is the same on
a fast machine and on a slow one.
"""

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.engine.real_runs import git
from tests.tui.owners import Owner, until
from tests.tui.tmux import TMUX, Tmux, in_tmux
from tui.bridge import RunListing, list_runs

pytestmark = pytest.mark.timeout(900)
"""More than all waits together may take on a busy machine: then the failed wait says what the screen showed."""

STARTED = "demo markdown --speed 0.3 --workers 8 --check ''"
QUICK = "rehearsal:markdown?speed=0"
HELD = "root/blocks"
WISHES = ("Text alone on request.", "A version on request.")
WORD = "Mind the blank lines."


class Journal:
    """Questions to a live run's journal."""

    def __init__(self, state: Path) -> None:
        until(lambda: list_runs(state) and list_runs(state)[0].folder.journal.exists())
        self.state = state

    @property
    def run(self) -> RunListing:
        return list_runs(self.state)[0]

    def __call__(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.run.folder.journal}?mode=ro", uri=True)) as db:
            return db.execute(sql, parameters).fetchall()

    def until(self, sql: str, *parameters: object) -> tuple[Any, ...]:
        """The first row, once there is one."""
        rows: list[tuple[Any, ...]] = []
        until(lambda: rows.extend(self(sql, *parameters)[:1]) or rows)
        return rows[0]


class Hand(Protocol):
    """A person who steers."""

    def pause(self, path: str) -> None: ...
    def resume(self, path: str) -> None: ...
    def steer(self, path: str, text: str) -> None: ...
    def model(self, path: str, model: str) -> None: ...
    def intent(self, wish: str) -> None: ...
    def stop(self) -> None: ...


class Sender:
    """Steers from another terminal."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self.journal, self.file = journal, folder / "wanted.md"

    def send(self, *words: str) -> None:
        program = [sys.executable, "-m", "tui", "send", self.journal.run.run, *words]
        subprocess.run([*program, "--state-dir", str(self.journal.state)], check=True, timeout=100)

    def pause(self, path: str) -> None:
        self.send("pause", path)

    def resume(self, path: str) -> None:
        self.send("resume", path)

    def steer(self, path: str, text: str) -> None:
        self.send("steer", path, text)

    def model(self, path: str, model: str) -> None:
        self.send("model", path, model)

    def intent(self, wish: str) -> None:
        [(text,)] = self.journal("SELECT text FROM intents ORDER BY version DESC LIMIT 1")
        self.file.write_text(f"{wish}\n\n{text}")
        self.send("intent", str(self.file))

    def stop(self) -> None:
        self.send("stop")


class Typist:
    """Steers by keys, and looks before each."""

    def __init__(self, tmux: Tmux) -> None:
        self.tmux = tmux

    def clear(self, empty: str) -> None:
        """Empty a line, and see that it is: a key that is bound may take effect after the letters that follow it."""
        self.tmux.keys("C-u")
        self.tmux.shows(empty)

    def write(self, text: str) -> None:
        self.tmux("send-keys", "-l", "--", text)

    def select(self, path: str) -> None:
        """With nothing else below the same planners in view, an agent stands as many rows down as it is deep."""
        self.tmux.keys("1", "/")
        self.tmux.shows("─ filter agents ─")
        self.clear("│text  !not")
        self.write(f"under:{path}")
        self.tmux.shows(f"│under:{path} ")
        self.tmux.keys("Enter")
        self.tmux.shows(f"/under:{path[:12]}")
        self.tmux.keys("g", *("j" for _ in range(path.count("/"))))
        self.tmux.shows(f"─ {re.escape(path.replace('/', ' › '))} ─╯")

    def pause(self, path: str) -> None:
        self.select(path)
        self.tmux.keys("p")
        self.tmux.shows("pausing")

    def resume(self, path: str) -> None:
        self.select(path)
        self.tmux.shows("p resume")
        self.tmux.keys("p")

    def steer(self, path: str, text: str) -> None:
        self.select(path)
        self.tmux.keys("s")
        self.tmux.shows(f"message to {path}")
        self.write(text)
        self.tmux.keys("Enter")

    def model(self, path: str, model: str) -> None:
        self.select(path)
        self.tmux.keys("m")
        self.tmux.shows(f"model of {path} and below")
        self.clear("PROVIDER:NAME, or")
        self.write(model)
        self.tmux.shows(f"{re.escape(model)} ")
        self.tmux.keys("Enter")

    def intent(self, wish: str) -> None:
        self.tmux.keys("i")
        self.tmux.shows("─ intent ─")
        self.write(f"{wish} ")
        self.tmux.shows(re.escape(wish))
        self.tmux.keys("F2")
        self.tmux.shows("Apply this intent as version")
        self.tmux.keys("y")
        self.tmux.shows("1 agents")

    def stop(self) -> None:
        self.tmux.keys("q")
        self.tmux.shows("continues without this screen")
        self.tmux.keys("s")


def steered(journal: Journal, hand: Hand) -> str:
    """Steer the run from a subtree's pause to its resumption; the path of the worker that was told something."""
    journal.until("SELECT 1 FROM agents WHERE path LIKE ? AND role = 'worker' AND steps > 0", f"{HELD}/%")
    hand.pause(HELD)
    journal.until("SELECT 1 FROM events WHERE kind = 'subtree_paused'")
    (worker,) = journal.until(
        "SELECT path FROM agents WHERE path LIKE ? AND role = 'worker' AND state = 'paused'", f"{HELD}/%"
    )
    hand.steer(worker, WORD)
    journal.until("SELECT 1 FROM inbox WHERE source = 'steer' AND text LIKE ?", f"%{WORD}%")
    hand.intent(WISHES[0])
    journal.until("SELECT 1 FROM agents WHERE path = 'root' AND intent = 2")
    hand.model("root", QUICK)
    journal.until("SELECT 1 FROM events WHERE kind = 'model_changed'")
    hand.intent(WISHES[1])
    journal.until("SELECT 1 FROM agents WHERE path = 'root' AND intent = 3")
    siblings = (
        "SELECT count(*) AS turns FROM events e JOIN agents a ON a.id = e.agent WHERE a.path LIKE 'root/inlines%'"
    )
    turns = f"{siblings} AND e.kind = 'turn_taken' AND e.seq > (SELECT seq FROM events WHERE kind = 'subtree_paused')"
    journal.until(f"SELECT 1 FROM ({turns}) WHERE turns >= 10")
    hand.resume(HELD)
    for effect in (
        "SELECT 1 FROM tasks t JOIN agents a ON a.task = t.id WHERE a.path = ? AND t.state = 'landed'",
        "SELECT 1 FROM agents WHERE path = 'root/blocks' AND intent = 2 AND ? <> ''",
        "SELECT 1 FROM tasks WHERE title = 'version option' AND intent = 3 AND ? <> ''",
    ):
        journal.until(effect, worker)
    quick = "SELECT count(*) AS turns FROM events WHERE kind = 'turn_taken' AND body ->> 'model' = ?"
    journal.until(f"SELECT 1 FROM ({quick}) WHERE turns > 30", QUICK)
    hand.stop()
    journal.until("SELECT 1 FROM runs WHERE state = 'stopped'")
    return str(worker)


def examine(journal: Journal, worker: str) -> None:
    """Each effect, from the journal and the commits alone."""
    _versions(journal)
    _pause(journal)
    _message(journal, worker)
    _models(journal)


def _versions(journal: Journal) -> None:
    intents = journal("SELECT version, text FROM intents ORDER BY version")
    assert [version for version, _ in intents] == [1, 2, 3]
    assert all(wish in intents[2][1] for wish in WISHES)
    assert journal("SELECT title, intent FROM tasks WHERE title LIKE '% option' AND intent > 1 ORDER BY intent") == [
        ("text option", 2),
        ("version option", 3),
    ]
    versions = journal("SELECT 1 FROM tasks t JOIN agents a ON a.id = t.planner WHERE t.intent NOT BETWEEN 1 AND 3")
    assert versions == []
    told = dict(journal("SELECT path, intent FROM agents WHERE role = 'planner'"))
    assert (told["root"], told["root/blocks"], told["root/inlines"]) == (3, 2, 2), "each through the planner above it"
    carried = journal("SELECT t.id, t.intent, h.intent FROM tasks t JOIN handoffs h ON h.task = t.id")
    assert carried
    assert all(of_task == of_handoff for _, of_task, of_handoff in carried)
    [(trunk, repo, base)] = journal("SELECT trunk, repo, base FROM runs")
    trailers = "%(trailers:key=Swarm-Task,valueonly,separator=)=%(trailers:key=Swarm-Intent,valueonly,separator=)"
    log = git(Path(repo), "log", f"--format={trailers}", f"{base}..{trunk}").split()
    assert len(log) > 2
    assert set(log) == {
        f"{task}={intent}" for task, intent in journal("SELECT id, intent FROM tasks WHERE commit_oid <> ''")
    }


def _pause(journal: Journal) -> None:
    [(paused,)] = journal("SELECT seq FROM events WHERE kind = 'subtree_paused'")
    [(resumed,)] = journal("SELECT seq FROM events WHERE kind = 'subtree_resumed'")
    below = "agent IN (SELECT id FROM agents WHERE path = ? OR path LIKE ?) AND seq BETWEEN ? AND ?"
    window = (HELD, f"{HELD}/%", paused, resumed)
    begun = f"kind = 'agent_state_changed' AND body ->> 'state' = 'thinking' AND {below}"
    assert journal(f"SELECT seq FROM events WHERE {begun}", *window) == [], "no model call began"
    ended = journal(f"SELECT agent, count(*) FROM events WHERE kind = 'turn_taken' AND {below} GROUP BY 1", *window)
    assert all(count == 1 for _, count in ended), "what was under way came to its end"
    assert journal(f"SELECT seq FROM events WHERE kind = 'task_started' AND {below}", *window) == []
    others = "SELECT count(*) FROM events WHERE kind = 'turn_taken' AND seq BETWEEN ? AND ?"
    assert journal(others, paused, resumed)[0][0] > len(ended) + 10, "its siblings ran on"


def _message(journal: Journal, worker: str) -> None:
    [(message, queued, agent)] = journal(
        "SELECT i.id, e.seq, a.id FROM inbox i JOIN agents a ON a.id = i.agent JOIN events e ON e.body ->> "
        "'$.message.id' = i.id WHERE e.kind = 'message_queued' AND i.source = 'steer' AND a.path = ?",
        worker,
    )
    turn = (
        "SELECT body ->> 'given', body ->> 'consumed' FROM events WHERE kind = 'turn_taken' AND agent = ? AND seq > ?"
    )
    given, consumed = journal(f"{turn} ORDER BY seq", agent, queued)[0]
    assert f"# Message from the user\n\n{WORD}" in given, "in the very next request"
    assert message in consumed


def _models(journal: Journal) -> None:
    [(changed,)] = journal("SELECT max(seq) FROM events WHERE kind = 'model_changed'")
    calls = journal(
        "SELECT e.agent, e.seq, e.body ->> 'model', (SELECT max(b.seq) FROM events b WHERE b.agent = e.agent AND "
        "b.kind = 'agent_state_changed' AND b.body ->> 'state' = 'thinking' AND b.seq < e.seq) "
        "FROM events e WHERE e.kind = 'turn_taken' AND e.seq > ?",
        changed,
    )
    begun_after = [model for _, _, model, begun in calls if begun > changed]
    assert len(begun_after) > 10
    assert set(begun_after) == {QUICK}


def test_by_send(tmp_path: Path) -> None:
    owner = Owner(tmp_path / "state", *shlex.split(STARTED), "--headless")
    try:
        journal = Journal(owner.state)
        worker = steered(journal, Sender(journal, tmp_path))
        assert owner.process.wait(100) == 4
        examine(journal, worker)
    finally:
        owner.kill()


@pytest.mark.skipif(TMUX is None, reason="tmux is not installed")
def test_by_keys(tmp_path: Path) -> None:
    with in_tmux(tmp_path) as tmux:
        tmux.program(STARTED)
        tmux.shows("[1-9]\\d* working")
        journal = Journal(tmux.state)
        worker = steered(journal, Typist(tmux))
        examine(journal, worker)
