"""Whole runs where the repository, the state folder and the home have odd paths, and in odd locales."""

import json
import os
import shlex
import sqlite3
import subprocess
from pathlib import Path
from typing import cast

import pytest

from engine.domain.os_text import path_str, path_text, shell_word
from engine.domain.patch import parse_patch
from engine.runs.listing import list_runs
from tests.tui.command_line import PROGRAM, Person

PLAYBOOK = r"""
[[planner]]
title = "root"
[[planner.move]]
shell = "ls"
spawn = ["one", "two"]
[[planner.move]]
wait_for = ["*"]
shell = "ls"

[[task]]
title = "one"
goal = "Edit."
handoff.summary = "done"
step = [
  { shell = "ls -R ." },
  { search = "hello" },
  { read = ['latin\xe9.txt'] },
  { edit = 'latin\xe9.txt', old = "hello", new = "goodbye" },
  { write = 'new\x0aline.txt', content = "new\n" },
  { shell = "ls; touch $(printf 'from\\351shell')" },
]

[[task]]
title = "two"
goal = "Write."
handoff.summary = "done"
step = [{ write = 'two\xe8', content = "two\n" }]
"""
LANDED = [b"from\xe9shell", b"latin\xe9.txt", b"new\nline.txt", b"two\xe8"]


def person_in(folder: Path) -> Person:
    """A person whose home, state folder and repository are in `folder`, with a playbook beside them."""
    folder.mkdir()
    person = Person(folder)
    (person.repo / "latin\udce9.txt").write_bytes(b"hello\n")
    person.commit()
    (folder / "playbook.toml").write_text(PLAYBOOK)
    return person


def model(person: Person) -> tuple[str, str]:
    return "--model", f"rehearsal:{person.home.parent / 'playbook.toml'}?speed=0"


def landed(person: Person) -> list[bytes]:
    """The files that the published trunk changed."""
    [run] = list_runs(person.state)
    done = subprocess.run(
        ["git", "diff", "-z", "--name-only", "main", f"swarm/{run.run}/trunk"],
        cwd=person.repo, env=person.environ, capture_output=True, check=True,
    )  # fmt: skip
    return sorted(done.stdout.split(b"\0")[:-1])


@pytest.mark.parametrize("name", ["latin\udce9", "new\nline", "bidi\u202e and \x1b[1m", "e\u0301 \\xe9 "])
def test_a_run_ends_and_reports_wherever_it_is(tmp_path: Path, name: str) -> None:
    person = person_in(tmp_path / name)
    programs, shared = person.home / "bin\udce9", person.home / "shared\udce9"
    programs.mkdir()
    shared.mkdir()
    (programs / "tool\udce9").write_text("#!/bin/sh\n")
    (programs / "tool\udce9").chmod(0o755)
    person.environ["PATH"] = f"{programs}:{person.environ['PATH']}"
    person.environ["SWARM_SANDBOX_READ_ONLY"] = path_text(shared)
    check = f"test -d {shell_word(shared)} && $'tool\\xe9'"
    options = ("--budget", "steps=4", "--workers", "1", "--check", f"bash -c {shlex.quote(check)}")
    stopped = person.run(*model(person), *options)
    assert stopped.status == 3, stopped.err
    [run] = list_runs(person.state)
    resumed = person.swarm("resume", run.run, "--budget", "steps=1000")
    assert resumed.status == 0, resumed.err
    assert landed(person) == LANDED
    for summary in (stopped.summary, resumed.summary):
        assert path_str(str(summary["repo"])) == str(person.repo)
        assert path_str(str(summary["db"])) == str(run.folder.journal)
        assert path_text(programs) in cast(list[str], summary["sandbox_tools"])
        assert summary["sandbox_granted"] == [path_text(shared)]
    [listed] = map(json.loads, person.swarm("runs", "--json").out.splitlines())
    assert listed["repo"] == path_text(person.repo)
    shown = (person.swarm("runs").out, person.swarm("doctor", str(person.repo)).out)
    for text in shown:
        assert path_text(person.repo) in text
    assert person.swarm("report", run.run).status == 0
    exported = person.swarm("export", run.run).out
    changed = {path for path in LANDED if json.dumps(path_text(path)) in exported}
    assert changed == set(LANDED)
    with sqlite3.connect(run.folder.journal) as journal:
        [(repo,)] = journal.execute("SELECT repo FROM runs").fetchall()
        for (text,) in journal.execute("SELECT body FROM events"):
            assert "\ufffd" not in text
            assert "$surrogates" not in text
    assert repo == path_text(person.repo)


def test_a_run_without_a_sandbox_ends_below_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    person = person_in(tmp_path / "latin\udce9\nnew line")
    ended = person.run(*model(person), "--sandbox", "off", "--check", "true")
    assert ended.status == 0, ended.err
    assert landed(person) == LANDED


def test_files_in_a_patch_are_named_as_everywhere_else(tmp_path: Path) -> None:
    person = person_in(tmp_path / "plain")
    person.git("config", "core.quotePath", "true")
    (person.repo / "new\nline").write_text("x\n")
    person.git("add", "--all")
    patch = parse_patch(person.git("diff", "--cached"))
    assert [file.path for file in patch.files] == [r"new\x0aline"]


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "variables",
    [
        ASCII,
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
        {"LANG": "", "LC_ALL": "", "LC_CTYPE": "", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"PYTHONIOENCODING": "utf-8:strict"},
    ],
    ids=lambda variables: ",".join(f"{name}={value}" for name, value in variables.items()),
)
def test_no_locale_keeps_a_run_from_its_end(tmp_path: Path, variables: dict[str, str]) -> None:
    person = person_in(tmp_path / "ré\udce9日")
    words = ["run", str(person.repo), "--intent", str(person.intent), *model(person), "--check", "true"]
    environ = {**person.environ, **variables}
    commands = [words, ["runs"], ["runs", "--json"], ["doctor", str(person.repo)], ["report", "2"], ["help"]]
    for command in commands:
        done = subprocess.run([PROGRAM, *command], cwd=person.repo, env=environ, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
    assert landed(person) == LANDED
    listed = subprocess.run([PROGRAM, "runs", "--json"], cwd=person.repo, env=environ, capture_output=True, check=True)
    assert json.loads(listed.stdout.decode())["repo"] == path_text(person.repo)
    missing = subprocess.run([PROGRAM, "doctor", os.fsencode("nö")], env=environ, capture_output=True, check=False)
    assert b"unexpected" not in missing.stderr
