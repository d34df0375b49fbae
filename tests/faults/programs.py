"""Runs the real program on a sample in its own repo, reads it event by event, kills it and examines the result."""

import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import msgspec

import sample_projects
from engine.runs.listing import RunListing, list_runs
from tests.engine.real_runs import fingerprint, git, make_repo

PROGRAM = str(Path(sys.executable).with_name("swarm-tui"))
CHECK = "python3 -m unittest -q"
KEYS = ("ANTHROPIC_", "OPENAI_", "SWARM_", "GIT_", "XDG_")
GONE_S = 20.0
"""Seconds that the kernel may take to end a killed sandbox's processes, on a busy machine."""


class Seen(msgspec.Struct):
    """One line of `--json`: the relevant fields of an event; the summary has no `kind`."""

    seq: int = 0
    epoch: int = 0
    kind: str = ""


class Case:
    """A user's repo with a sample project, and the runs of swarm-tui on it."""

    def __init__(self, folder: Path, sample: str, model: str, *, state: Path | None = None, workers: int = 4) -> None:
        project = files(sample_projects) / sample
        self.intent = folder / "INTENT.md"
        self.intent.write_text((project / "INTENT.md").read_text())
        self.repo = make_repo(folder / "repo", dict(_texts(Path(str(project / "project")))))
        (self.repo / "README.md").write_text("not committed\n")
        (self.repo / "untracked.txt").write_text("mine\n")
        self.state = state or folder / "state"
        self.model = model
        self.workers = workers
        self.home = folder / "home"
        self.home.mkdir()
        self.kills = 0
        self.before = fingerprint(self.repo)

    # --- the program -----------------------------------------------------------------------------------------

    def environ(self, variables: Mapping[str, str]) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(KEYS)}
        own = {"XDG_CONFIG_HOME": str(self.home), "SWARM_STATE_DIR": str(self.state), "GIT_CONFIG_NOSYSTEM": "1"}
        return {**clean, **own, **variables}

    def words(self) -> list[str]:
        """The arguments that resume the run, or start it."""
        if any(run.last_seq for run in self.runs()):
            return ["resume", self.run.run, "--json"]
        return [
            *("run", str(self.repo), "--intent", str(self.intent), "--model", self.model),
            *("--check", CHECK, "--workers", str(self.workers), "--json"),
        ]

    def command(self) -> list[str]:
        """The whole command that resumes the run, or starts it."""
        return [PROGRAM, *self.words()]

    def started(
        self, *words: str, program: tuple[str, ...] = (PROGRAM,), **variables: str
    ) -> "subprocess.Popen[bytes]":
        """The running program; without `words` it resumes the run, or starts it.

        It has its own process group, as a shell would give it: in the tests' group, ctrl+z may have no effect.
        """
        with (self.home.parent / "stderr.txt").open("ab") as log:
            return subprocess.Popen(
                [*program, *(words or self.words())],
                env=self.environ(variables),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
            )

    @property
    def said(self) -> str:
        """Everything that the programs wrote to stderr."""
        return (self.home.parent / "stderr.txt").read_text()

    def runs(self) -> list[RunListing]:
        return list_runs(self.state)

    @property
    def run(self) -> RunListing:
        """The only run."""
        [run] = self.runs()
        return run

    def to_its_end(self) -> int:
        """Let the run finish undisturbed; returns the exit status."""
        process = self.started()
        process.communicate()
        return process.returncode

    def killed_after(self, events: int, wait_s: float = 0.0) -> bool:
        """Start or resume, and SIGKILL the program `wait_s` seconds after it has reported `events` new events.

        Returns False if it ended before.
        """
        process = self.started()
        new = 0
        for line in _lines(process):
            new += bool(line.kind) and line.epoch > self.kills
            if new >= events:
                time.sleep(wait_s)
                process.kill()
                break
        ended = self._over(process)
        return not ended

    def killed_by_itself(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for a program to kill itself."""
        for _ in _lines(process):
            pass
        ended = self._over(process)
        assert not ended, f"it was never killed: {self.said[-2000:]}"

    def _over(self, process: "subprocess.Popen[bytes]") -> bool:
        """Examine what is left after the program's end; returns whether it ended by itself."""
        assert process.stdout is not None
        process.stdout.close()
        status = process.wait()
        self.none_survive()
        if status != -signal.SIGKILL:
            return True
        self.kills += 1
        for run in self.runs():
            assert not run.live
            assert not run.problem, "its journal opens"
            assert run.crashed, run.state
            assert run.unfinished
        return False

    # --- what is left ----------------------------------------------------------------------------------------

    def none_survive(self) -> None:
        """Check that no process of the run outlives its program."""
        for pid in self.processes():
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            gone, _, _ = select.select([fd], [], [], GONE_S)
            os.close(fd)
            assert gone, f"process {pid} lives on"

    def processes(self) -> list[int]:
        """The processes that use the run's folder."""
        mark = str(self.state).encode()
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            told = b""
            for name in ("cmdline", "environ", "mountinfo"):
                try:
                    told += (folder / name).read_bytes()
                except OSError:
                    continue
            with suppress(OSError):
                told += os.fsencode((folder / "cwd").readlink())
            if mark in told and not _is_ours(folder):
                found.append(int(folder.name))
        return found

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(f"file:{self.run.folder.journal}?mode=ro", uri=True) as journal:
            return journal.execute(sql).fetchall()

    def examine(self) -> None:
        """Check that the run ended as if undisturbed: tasks landed once, handoffs arrived once, nothing is left."""
        run = self.run
        assert run.exit_status == 0, self.said[-3000:]
        trunk, green = f"swarm/{run.run}/trunk", f"swarm/{run.run}/green"
        ids = {id for (id,) in self.ask("SELECT id FROM tasks WHERE kind = 'work'")}
        titles = [title for (title,) in self.ask("SELECT title FROM tasks WHERE kind = 'work'")]
        assert len(titles) == len(set(titles)), "no task was asked for twice"
        assert self.ask("SELECT DISTINCT state FROM tasks") == [("landed",)]
        landed = Counter(git(self.repo, "log", "--format=%(trailers:key=Swarm-Task,valueonly)", trunk).split())
        assert set(landed.values()) == {1}, "no task landed twice"
        assert ids <= set(landed), "every task landed"
        assert {id for (id,) in self.ask("SELECT id FROM tasks")} == set(landed)
        assert git(self.repo, "log", "--merges", "--format=%H", trunk) == "", "history is linear"
        handoffs = self.ask("SELECT task, count(*) FROM handoffs WHERE task IS NOT NULL GROUP BY task")
        assert sorted(handoffs) == sorted((id, 1) for id in landed), "every handoff was told once"
        assert self.ask("SELECT count(*) FROM inbox WHERE consumed IS NULL") == [(0,)], "every message was read"
        assert self.ask("SELECT count(*) FROM inbox GROUP BY handoff HAVING count(*) > 1 AND handoff IS NOT NULL") == []
        agents = self.ask("SELECT DISTINCT state FROM agents WHERE state NOT IN ('done', 'failed')")
        assert agents == [], "every agent has ended"
        self._examine_refs(trunk, green)
        self._examine_leftovers(run)

    def _examine_refs(self, trunk: str, green: str) -> None:
        store = self.run.folder.trunk
        [(known, known_green)] = self.ask("SELECT trunk, green FROM runs")
        for ref, inner, told in ((trunk, "trunk", known), (green, "green", known_green)):
            tip = git(self.repo, "rev-parse", ref).strip()
            assert tip == git(store, "rev-parse", f"refs/heads/{inner}").strip()
            assert tip == told
        names = git(self.repo, "for-each-ref", "--format=%(refname:short)", "refs/heads/swarm").split()
        assert sorted(names) == sorted([trunk, green])
        git(self.repo, "fsck", "--connectivity-only", "--no-dangling")
        fresh = self.home.parent / "clone"
        git(self.home, "clone", "--quiet", "--branch", trunk, str(self.repo), str(fresh))
        done = subprocess.run(CHECK.split(), cwd=fresh, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _examine_leftovers(self, run: RunListing) -> None:
        assert fingerprint(self.repo) == self.before, "the person's work tree, index and branches are as they were"
        locks = [path for above in (self.repo / ".git", self.state) for path in above.rglob("*.lock")]
        assert locks == []
        assert not run.folder.workspaces.exists(), "a finished run keeps no copies"
        assert [path.name for path in run.folder.path.parent.iterdir() if path.name.startswith(".")] == []


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path.read_text()


def _lines(process: "subprocess.Popen[bytes]") -> Iterator[Seen]:
    assert process.stdout is not None
    for line in process.stdout:
        yield msgspec.json.decode(line, type=Seen)


def _is_ours(folder: Path) -> bool:
    """Whether the process is an ancestor of this one: the tests' own command line may name the folder."""
    pid = os.getpid()
    while pid > 1:
        if folder.name == str(pid):
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


LOAD = "rehearsal:load?speed=0&planners=1&tasks=12&conflicts=0.3&shell=0&seed=3"


def until(process: "subprocess.Popen[bytes]", kind: str, times: int = 1) -> None:
    """Read a program's output until it has reported `times` events of a kind."""
    assert process.stdout is not None
    while times:
        line = process.stdout.readline()
        assert line, "it ended too soon"
        times -= msgspec.json.decode(line, type=Seen).kind == kind
