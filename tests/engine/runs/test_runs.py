"""Run folders: created completely or not at all, locked by one process, found by id."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from engine.domain import events as e
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import CommitId, ModelName, RunId, RunState
from engine.journal.writer import SqliteJournal
from engine.runs.create import new_run
from engine.runs.folder import RunFolder, cannot_write, repo_id
from engine.runs.listing import find_run, list_runs, newest_unfinished
from engine.runs.lock import RunLock, is_live
from engine.system import SystemClock, SystemRandomness
from tests.engine.journal.stories import story
from tests.engine.runs.owners import OWN, hear, make, process, say


async def record(folder: RunFolder, *bodies: e.Body) -> None:
    models = {"worker": ModelName("rehearsal:x")}
    created = e.RunCreated(folder.run, "/repo", "main", CommitId("c"), "", models, "{}", "0")
    journal = await SqliteJournal.open(folder.journal)
    events = [e.Event(n, n, 1, body) for n, body in enumerate((created, *bodies), 1)]
    journal.append(events)
    await journal.close()


# --- making ---------------------------------------------------------------------------------------------------


def test_a_new_run_has_a_folder_and_is_locked(tmp_path: Path, git_dir: Path) -> None:
    folder, lock = make(tmp_path / "state", git_dir)
    assert folder.path.parent == tmp_path / "state" / repo_id(git_dir)
    assert set(os.listdir(folder.path)) - {"swarm.sock"} == {"lock", "log.txt", "workspaces"}
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert is_live(folder)
    lock.release()
    assert not is_live(folder)


def test_run_ids_sort_by_creation_and_are_valid_in_git_refs(tmp_path: Path, git_dir: Path) -> None:
    times = count(1_800_000_000_000_000, -5_000_000)  # a clock that goes back

    class Backwards(SystemClock):
        def now(self) -> int:
            return next(times)

    names = []
    for _ in range(20):
        folder, lock = new_run(tmp_path, git_dir, Backwards(), SystemRandomness())
        names.append(folder.run)
        lock.release()
    assert names == sorted(names)
    assert len(set(names)) == 20
    check = ["git", "check-ref-format", f"refs/heads/swarm/{names[0]}/trunk"]
    assert subprocess.run(check, check=False).returncode == 0


def test_repo_ids_are_readable_and_differ_for_repos_of_the_same_name(tmp_path: Path, git_dir: Path) -> None:
    assert repo_id(git_dir).startswith("my-project-")
    assert repo_id(tmp_path / "x" / "lib.git").startswith("lib-")
    assert repo_id(tmp_path / "a" / "lib" / ".git") != repo_id(tmp_path / "b" / "lib" / ".git")
    link = tmp_path / "link"
    link.symlink_to(git_dir.parent)
    assert repo_id(link / ".git") == repo_id(git_dir)
    assert repo_id(tmp_path / "日本" / ".git").startswith("repo-")


def test_a_state_folder_that_cannot_be_created_is_a_clear_error(tmp_path: Path, git_dir: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("x")
    for root in (in_the_way / "state", Path("/proc/nowhere")):
        with pytest.raises(SwarmError) as raised:
            make(root, git_dir)
        assert raised.value.kind is ErrorKind.STATE
        assert "--state-dir" in raised.value.hint
    assert sorted(os.listdir(tmp_path)) == ["My Project!", "file"]


def test_a_read_only_state_folder_leaves_nothing(tmp_path: Path, git_dir: Path) -> None:
    root = tmp_path / "state"
    root.mkdir()
    mounted = f'mount --bind "{root}" "{root}" && mount -o remount,bind,ro "{root}" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", mounted, "sh", sys.executable, "-c", OWN, str(root), str(git_dir)]
    done = subprocess.run(command, input="\n\n", capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no mount namespace here: {done.stderr}")
    assert done.stdout.split("\n")[1].startswith("state cannot write to the state folder")
    assert not os.listdir(root)


def test_a_full_disk_leaves_nothing(tmp_path: Path, git_dir: Path) -> None:
    root = tmp_path / "state"
    root.mkdir()
    # Four inodes: the mount's root, the repo's folder and its lock, and one more.
    mounted = f'mount -t tmpfs -o size=64k,nr_inodes=4 none "{root}" && "$@" && ls -A "{root}"'
    command = ["unshare", "-rm", "sh", "-c", mounted, "sh", sys.executable, "-c", OWN, str(root), str(git_dir)]
    done = subprocess.run(command, input="\n\n", capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no mount namespace here: {done.stderr}")
    lines = done.stdout.strip().split("\n")
    assert lines[1].startswith("state no space left")
    assert len(lines) == 2, "something half made was left"


def test_leftovers_of_a_killed_start_are_removed_by_the_next(tmp_path: Path, git_dir: Path) -> None:
    above = tmp_path / repo_id(git_dir)
    (above / ".new-20260101-000000-aaaa" / "workspaces").mkdir(parents=True)
    folder, lock = make(tmp_path, git_dir)
    assert sorted(os.listdir(above)) == sorted(["lock", folder.run])
    lock.release()


def test_a_run_that_never_began_is_discarded(tmp_path: Path, git_dir: Path) -> None:
    folder, lock = make(tmp_path, git_dir)
    folder.discard()
    lock.release()
    assert os.listdir(folder.path.parent) == ["lock"]


def test_disk_errors_have_hints() -> None:
    assert "space" in cannot_write(Path("/x"), OSError(28, "No space left on device")).message
    assert "--state-dir" in cannot_write(Path("/x"), OSError(30, "Read-only file system")).hint


# --- owning ---------------------------------------------------------------------------------------------------


def test_a_second_process_is_told_which_process_has_the_repo(tmp_path: Path, git_dir: Path) -> None:
    first = process(tmp_path, git_dir)
    say(first)
    owns, run = hear(first).split()
    assert owns == "owns"
    with pytest.raises(SwarmError) as raised:
        make(tmp_path, git_dir)
    assert raised.value.kind is ErrorKind.BUSY
    assert str(first.pid) in raised.value.message
    assert f"attach {run}" in raised.value.hint
    folder = RunFolder(tmp_path / repo_id(git_dir) / run)
    with pytest.raises(SwarmError) as raised:
        RunLock.acquire(folder)
    assert raised.value.kind is ErrorKind.BUSY
    first.send_signal(signal.SIGKILL)
    first.wait()
    lock = RunLock.acquire(folder)  # death gives it up
    lock.release()


def test_one_of_two_simultaneous_starts_wins(tmp_path: Path, git_dir: Path) -> None:
    racers = [process(tmp_path / "state", git_dir) for _ in range(3)]
    for racer in racers:
        say(racer)
    said = sorted(hear(racer).split()[0] for racer in racers)
    assert said == ["busy", "busy", "owns"]
    for racer in racers:
        say(racer)
        racer.wait()


def test_a_run_on_another_repo_can_start(tmp_path: Path, git_dir: Path) -> None:
    _, first = make(tmp_path, git_dir)
    other = tmp_path / "other" / ".git"
    other.mkdir(parents=True)
    folder, second = make(tmp_path, other)
    assert is_live(folder)
    first.release()
    assert is_live(folder)
    second.release()
    assert not is_live(folder)


def test_child_processes_do_not_keep_the_lock_of_a_run(tmp_path: Path, git_dir: Path) -> None:
    folder, lock = make(tmp_path, git_dir)
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    lock.release()
    assert not is_live(folder)
    child.communicate()


# --- sockets --------------------------------------------------------------------------------------------------


def test_a_socket_works_with_a_state_path_of_any_length(tmp_path: Path, git_dir: Path) -> None:
    for root in (tmp_path, tmp_path / ("long" * 30)):
        folder, lock = make(root, git_dir)
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(str(folder.socket))
            server.listen()
            client.connect(str(RunFolder(folder.path).socket))
        assert (folder.path / "swarm.sock").exists()
        lock.release()
        assert not (folder.path / "swarm.sock").is_symlink(), "no link to nowhere is left"
        folder.discard()
        assert not folder.socket.exists()


def test_a_run_whose_folder_moved_to_a_shorter_path_has_its_socket_there(tmp_path: Path, git_dir: Path) -> None:
    long, lock = make(tmp_path / ("long" * 30), git_dir)
    lock.release()
    (long.path / "swarm.sock").symlink_to("/tmp/gone.sock")
    short = RunFolder(tmp_path / "repo" / long.run)
    short.path.parent.mkdir()
    long.path.rename(short.path)
    lock = RunLock.acquire(short)
    assert not short.socket.is_symlink()
    lock.release()


# --- finding --------------------------------------------------------------------------------------------------


async def test_runs_are_listed_newest_first_with_their_states(tmp_path: Path, git_dir: Path) -> None:
    ended, lock = make(tmp_path, git_dir)
    await record(ended, e.EpochStarted(7, "", ""), e.RunStateChanged(RunState.FINISHED, "", 0))
    lock.release()
    crashed, lock = make(tmp_path, git_dir)
    await record(crashed, e.EpochStarted(7, "", ""))
    lock.release()
    stopped, lock = make(tmp_path, git_dir)
    await record(stopped, e.EpochStarted(7, "", ""), e.RunStateChanged(RunState.STOPPED, "", 4))
    lock.release()
    live, lock = make(tmp_path, git_dir)
    await record(live, e.EpochStarted(7, "", ""))
    runs = list_runs(tmp_path)
    assert [run.run for run in runs] == [live.run, stopped.run, crashed.run, ended.run]
    assert [run.live for run in runs] == [True, False, False, False]
    assert [run.crashed for run in runs] == [False, False, True, False]
    assert [run.unfinished for run in runs] == [True, True, True, False]
    assert runs[0].pid == os.getpid()
    assert (runs[-1].state, runs[-1].exit_status, runs[-1].last_seq) == (RunState.FINISHED, 0, 3)
    assert runs[0].rehearsal
    assert list_runs(tmp_path, git_dir) == runs
    assert list_runs(tmp_path, tmp_path / "other" / ".git") == []
    newest = newest_unfinished(tmp_path, git_dir)
    assert newest
    assert newest.run == live.run
    lock.release()


async def test_the_list_agrees_with_the_fold(tmp_path: Path, git_dir: Path) -> None:
    folder, lock = make(tmp_path, git_dir)
    told = story(4, 400)
    journal = await SqliteJournal.open(folder.journal)
    journal.append(told.events)
    await journal.durable(len(told.events))
    [run] = list_runs(tmp_path)  # while it is written
    s = told.snapshot
    assert (run.state, run.last_seq, run.last_at, run.landed) == (s.state, s.seq, s.at, len(s.landed_times))
    assert run.usd == (None if s.usage.usd is None else pytest.approx(s.usage.usd))
    assert s.intent
    assert run.intent == s.intent.text
    assert run.agents == len(s.agents)
    await journal.close()
    lock.release()


async def test_runs_are_found_by_id_and_by_its_start_or_end(tmp_path: Path, git_dir: Path) -> None:
    made = []
    for _ in range(2):
        folder, lock = make(tmp_path, git_dir)
        await record(folder)
        lock.release()
        made.append(folder)
    assert find_run(tmp_path, made[0].run).folder == made[0]
    assert find_run(tmp_path, made[1].run[:17]).folder == made[1]
    shutil.move(made[0].path, made[0].path.with_name(made[0].run[:-4] + "zz9z"))
    assert find_run(tmp_path, "zz9z").run.endswith("zz9z")
    for text in ("nothing", "", made[0].run[:8]):
        with pytest.raises(SwarmError) as raised:
            find_run(tmp_path, text)
        assert raised.value.kind is ErrorKind.NOT_FOUND


def test_no_state_folder_means_no_runs(tmp_path: Path, git_dir: Path) -> None:
    assert list_runs(tmp_path / "none") == []
    assert newest_unfinished(tmp_path / "none", git_dir) is None
    assert not (tmp_path / "none").exists()


def test_a_run_with_a_damaged_journal_is_listed_with_its_problem(tmp_path: Path, git_dir: Path) -> None:
    folder, lock = make(tmp_path, git_dir)
    lock.release()
    assert list_runs(tmp_path) == []  # it never began
    folder.journal.write_bytes(b"nonsense" * 1000)
    [run] = list_runs(tmp_path)
    assert run.problem
    assert not run.unfinished
    assert run.run == RunId(folder.path.name)
