"""The command line at work: runs finish, stop and resume; they are listed, exported, steered, and summed up."""

import itertools
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import msgspec
import pytest

from engine.config.load import load_settings
from engine.domain.settings import Settings
from tests.tui.command_line import PROGRAM, Answer, Person
from tui.bridge import list_samples
from tui.commands.scratch import scratch_repo

FIELDS = {
    *("run", "state", "exit_status", "repo", "base", "trunk", "green", "agents", "tasks", "landings", "handoffs"),
    "notes",
    *("tokens", "usd", "wall_s", "landed_per_hour", "check", "error_rate", "load_limit", "db", "unpublished", "fetch"),
    *("sandbox_level", "sandbox_not_guaranteed", "sandbox_granted", "sandbox_tools"),
}
GIT = shutil.which("git")
TEMPLATES = Path(__file__).parent.parent.parent / "tui" / "templates"


class Demo(NamedTuple):
    """A demo that the installed program ran to its end, for tests that only read."""

    person: Person
    answer: Answer


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    person = Person(tmp_path_factory.mktemp("demo"))
    return Demo(person, person.program("demo", "notes", "--headless", "--speed", "0"))


def test_a_demo_without_the_app_ends_with_one_json_object_and_tells_its_progress(demo: Demo) -> None:
    person, answer = demo
    assert answer.status == 0, answer.err
    assert answer.out.count("\n") == 1
    summary = answer.summary
    assert set(summary) == FIELDS
    assert (summary["state"], summary["exit_status"]) == ("finished", 0)
    assert summary["tasks"] == {"landed": 5, "failed": 0, "cancelled": 0}
    assert summary["green"] == summary["trunk"]
    repo = Path(str(summary["repo"]))
    assert repo == person.state / "demo" / "notes-1"
    assert person.git("rev-parse", f"swarm/{summary['run']}/green", cwd=repo) == summary["green"]
    assert person.git("status", "--porcelain", cwd=repo) == ""
    assert "landed" in answer.err
    assert "rehearsal" in answer.err
    assert len(answer.err.splitlines()) < 60
    database = sqlite3.connect(f"file:{summary['db']}?mode=ro", uri=True)
    assert database.execute("SELECT max(seq) FROM events").fetchone()[0] > 50


def test_a_finished_run_says_at_its_end_where_the_result_is(demo: Demo) -> None:
    run = demo.answer.summary["run"]
    last = demo.answer.err.splitlines()[-3:]
    assert last[0].startswith(f"run {run}: finished: ")
    assert f"swarm/{run}/trunk" in last[1]
    assert f"swarm/{run}/green" in last[1]
    assert last[2] == f"to merge it: git merge swarm/{run}/green"
    assert "no check is configured" not in demo.answer.err


def test_the_samples_repo_has_one_commit_and_nothing_of_the_persons_git(person: Person) -> None:
    (person.home / ".gitconfig").write_text("[commit]\n\tgpgsign = true\n[init]\n\ttemplateDir = ~/template\n")
    hook = person.home / "template/hooks/pre-commit"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with patch.dict(os.environ, {**person.environ, "GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere"}, clear=True):
        before = dict(os.environ)
        (sample,) = (sample for sample in list_samples() if sample.name == "notes")
        folder = scratch_repo(Namespace(state_dir=None), sample)
        assert dict(os.environ) == before
    assert person.git("log", "--all", "--format=%an %ae %s", cwd=folder) == (
        "swarm-tui demo demo@localhost The notes sample"
    )
    assert person.git("symbolic-ref", "HEAD", cwd=folder) == "refs/heads/main"
    assert person.git("status", "--porcelain", "--ignored", cwd=folder) == ""
    assert not (folder / ".git/hooks/pre-commit").exists()
    files = {str(file.relative_to(sample.folder / "project")) for file in (sample.folder / "project").rglob("*.*")}
    assert {name for name in files if ".pyc" not in name} <= set(person.git("ls-files", cwd=folder).splitlines())


def test_a_git_that_fails_leaves_no_sample(person: Person) -> None:
    broken = person.home / "bin/git"
    broken.parent.mkdir()
    broken.write_text(f"#!/bin/sh\ncase $* in *init*) echo 'fatal: no room' >&2; exit 128;; esac\nexec {GIT} \"$@\"\n")
    broken.chmod(0o755)
    path = f"{broken.parent}:{person.environ['PATH']}"
    answer = person.program("demo", "notes", "--headless", "--speed", "0", PATH=path)
    assert answer.status == 2
    assert answer.error == "git failed: fatal: no room"
    assert list((person.state / "demo").iterdir()) == []


def test_runs_are_listed_newest_first_and_a_second_demo_has_a_repo_of_its_own(demo: Demo) -> None:
    person, summary = demo.person, demo.answer.summary
    again = person.swarm("demo", "notes", "--headless", "--speed", "0")
    assert again.status == 0
    assert again.summary["repo"] != summary["repo"]
    listed = [msgspec.json.decode(line) for line in person.swarm("runs", "--json").out.splitlines()]
    assert [run["run"] for run in listed] == [again.summary["run"], summary["run"]]
    assert [(run["state"], run["landed"], run["live"]) for run in listed] == [("finished", 5, False)] * 2
    table = person.swarm("runs").out.splitlines()
    assert table[0].split() == ["RUN", "STATE", "AGE", "LANDED", "FAILED", "COST", "REPO"]
    assert table[1].split()[:2] == [again.summary["run"], "finished"]


def test_a_runs_record_is_exported_whole(demo: Demo) -> None:
    person, summary = demo.person, demo.answer.summary
    out = person.home / "record.jsonl"
    assert person.swarm("export", str(summary["run"]), "--out", str(out)).status == 0
    records = [msgspec.json.decode(line) for line in out.read_bytes().splitlines()]
    assert {record["record"] for record in records} == {"event", "handoff", "message"}
    seqs = [record["seq"] for record in records if record["record"] == "event"]
    assert seqs == list(range(1, len(seqs) + 1))
    assert sum(record["record"] == "handoff" for record in records) == summary["handoffs"]
    assert person.program("export", str(summary["run"])).out == out.read_text()


def test_an_export_writes_into_pipes_and_behind_links_and_replaces_neither(demo: Demo) -> None:
    person, run = demo.person, str(demo.answer.summary["run"])
    pipe, link, file, read = (person.home / name for name in ("pipe", "link", "file", "read"))
    os.mkfifo(pipe)
    link.symlink_to(file)
    with read.open("wb") as out, subprocess.Popen(["cat", pipe], stdout=out) as reader:
        assert person.swarm("export", run, "--out", str(pipe)).status == 0
        assert reader.wait(timeout=60) == 0
    assert person.swarm("export", run, "--out", str(link)).status == 0
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert read.read_bytes() == file.read_bytes() != b""
    assert person.swarm("export", run, "--out", "").error.endswith("/home: Is a directory")


def test_a_finished_run_is_not_resumed(demo: Demo) -> None:
    answer = demo.person.swarm("resume", str(demo.answer.summary["run"]))
    assert answer.status == 2
    assert "is finished" in answer.error


def test_all_events_are_lines_of_json_and_the_summary_is_the_last(person: Person) -> None:
    person.commit()
    answer = person.run("--json", "--model", "rehearsal:load?speed=0&tasks=2&planners=1", "--workers", "2")
    assert answer.status == 0, answer.err
    lines = [msgspec.json.decode(line) for line in answer.out.splitlines()]
    assert set(lines[-1]) == FIELDS
    assert [line["seq"] for line in lines[:-1]] == list(range(1, len(lines)))
    assert set(lines[0]) == {"seq", "at", "epoch", "kind", "agent", "task", "cause", "body"}
    assert lines[0]["kind"] == "run_created"


def test_a_run_that_is_steered_and_stopped_is_resumed_to_its_end(person: Person) -> None:
    words = ["demo", "--tasks", "20", "--agents", "2", "--conflicts", "0", "--headless", "--json", "--speed", "0"]
    first = subprocess.Popen(
        [PROGRAM, *words],
        cwd=person.home,
        env=person.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    created = first.stdout.readline() or pytest.fail(first.communicate()[1])
    run = msgspec.json.decode(created)["body"]["run"]
    try:
        paused = person.swarm("send", run, "pause")
        assert paused.status == 0, paused.err
        assert person.swarm("send", run, "workers", "3").status == 0
        refused = person.swarm("send", run, "steer", "root/nobody", "hello")
        assert refused.status == 2
        assert refused.hint
        assert "(live)" in person.swarm("runs").out
    finally:
        first.send_signal(signal.SIGINT)
        rest, err = first.communicate(timeout=60)
    assert first.returncode == 4, err
    lines = [msgspec.json.decode(line) for line in rest.splitlines()]
    assert any(line.get("kind") == "workers_limited" and line["body"]["workers"] == 3 for line in lines)
    assert (lines[-1]["state"], lines[-1]["exit_status"]) == ("stopped", 4)
    assert f"hint: to continue: swarm-tui resume {run}" in err

    resumed = person.swarm("resume", run)
    assert resumed.status == 0, resumed.err
    assert resumed.summary["run"] == run
    assert resumed.summary["tasks"] == {"landed": 20, "failed": 0, "cancelled": 0}
    finished = person.swarm("resume", run)
    assert finished.status == 2
    assert "is finished" in finished.error


def test_a_budget_stops_a_run_with_status_3(person: Person) -> None:
    answer = person.swarm("demo", "notes", "--headless", "--speed", "0", "--budget-tokens", "25000")
    assert answer.status == 3, answer.err
    assert answer.summary["state"] == "stopped"
    assert "hint: to continue with a larger limit: swarm-tui resume" in answer.err
    assert answer.err.splitlines()[-1] == "result: nothing landed"


def test_a_budget_that_is_too_small_for_any_call_is_refused_with_status_3(person: Person) -> None:
    answer = person.swarm("demo", "notes", "--headless", "--speed", "0", "--budget-tokens", "2000")
    assert answer.status == 3, answer.err
    assert "the budget is too small for one model call: 0 of 2000 tokens" in answer.err
    assert "hint: the first call may need" in answer.err


def test_a_run_that_ends_red_names_what_fails(person: Person) -> None:
    for setup, failing in (("exit 4", "the setup command `exit 4`"), ("true", "the check `false`")):
        person.commit("swarm.toml", f'[repo]\ncheck = "false"\nfixups = 0\n[build]\nsetup = "{setup}"\n')
        answer = person.run()
        assert answer.status == 1, answer.err
        assert answer.hint == f"{failing} fails on branch swarm/{answer.summary['run']}/trunk"


def test_a_roles_budget_stops_a_run_that_goes_on_once_it_is_raised(person: Person) -> None:
    answer = person.swarm("demo", "notes", "--headless", "--speed", "0", "--budget", "worker.steps=4")
    assert answer.status == 3, answer.err
    assert "the budget of role worker is used up: " in answer.err
    resumed = person.swarm("resume", answer.summary["run"], "--budget", "worker.steps=0")
    assert resumed.status == 0, resumed.err
    assert resumed.summary["tasks"]["failed"] == 0


def test_the_run_goes_on_when_nobody_reads_its_output(person: Person) -> None:
    line = f'"{PROGRAM}" demo notes --headless --json --speed 0 | head -n 1; echo "status ${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", line], cwd=person.home, env=person.environ, capture_output=True, text=True, timeout=110
    )
    assert done.stdout.splitlines()[-1] == "status 0", done.stderr
    assert "BrokenPipe" not in done.stderr


def test_streams_that_are_closed_are_as_good_as_none(person: Person) -> None:
    for line, status in (("runs >&-", 0), ("runs <&- >&- 2>&-", 0), ("--help >&-", 0), ("nowhere 2>&-", 2)):
        command = ["bash", "-c", f'"{PROGRAM}" {line}']
        done = subprocess.run(command, cwd=person.home, env=person.environ, capture_output=True, timeout=110)
        assert done.returncode == status, (line, done.stderr)
        assert b"Error" not in done.stderr


def test_a_full_disk_behind_stdout_does_not_end_the_run(person: Person) -> None:
    line = f'"{PROGRAM}" demo notes --headless --json --speed 0 > /dev/full'
    done = subprocess.run(
        ["bash", "-c", line], cwd=person.home, env=person.environ, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: cannot print the rest: No space left on device") == 1


def test_the_samples_are_named(person: Person) -> None:
    answer = person.swarm("demo", "--list")
    assert answer.status == 0
    assert {"notes", "load", "markdown"} <= {line.split()[0] for line in answer.out.splitlines() if line[0] != " "}


def test_init_writes_two_files_and_overwrites_none(person: Person) -> None:
    person.commit()
    assert person.swarm("init", cwd=person.repo).status == 0
    assert (person.repo / "INTENT.md").read_bytes() == (TEMPLATES / "INTENT.md").read_bytes()
    assert load_settings(person.repo, person.environ).settings == Settings()
    (person.repo / "swarm.toml").unlink()
    (person.repo / "INTENT.md").write_text("mine\n")
    answer = person.swarm("init", cwd=person.repo)
    assert answer.status == 2
    assert "INTENT.md already exists" in answer.error
    assert not (person.repo / "swarm.toml").exists()
    assert (person.repo / "INTENT.md").read_text() == "mine\n"


def test_init_sets_the_check_that_the_project_points_to(person: Person) -> None:
    person.commit("Makefile", "test:\n\ttrue\n")
    answer = person.swarm("init", cwd=person.repo)
    assert "check: make test" in answer.out
    assert load_settings(person.repo, person.environ).settings.repo.check == "make test"
    assert "ok    check: make test" in person.swarm("doctor", str(person.repo)).out


def test_what_init_wrote_is_no_intent_until_it_is_changed(person: Person) -> None:
    person.commit()
    assert person.swarm("init", str(person.repo)).status == 0
    words = ("run", str(person.repo), "--model", "rehearsal:nots", "--intent", str(person.repo / "INTENT.md"))
    assert "is still the example" in person.swarm(*words).error
    with (person.repo / "INTENT.md").open("a") as stream:
        stream.write("And a second table.\n")
    assert "no sample project" in person.swarm(*words).error


def test_the_doctor_says_what_is_there_and_never_a_key(person: Person) -> None:
    person.commit()
    answer = person.swarm("doctor", str(person.repo), OPENAI_API_KEY="a-very-secret-word")
    assert answer.status == 0, answer.out
    lines = answer.out.splitlines()
    findings = [line for line in lines if not line.startswith(("      hint: ", "      - "))]
    for at, line in enumerate(lines):
        if line.startswith(("warn", "fail")):
            below = itertools.takewhile(lambda other: other.startswith("      "), lines[at + 1 :])
            assert sum(other.startswith("      hint: ") for other in below) == 1, line
    assert sum("sandbox limits" in line for line in findings) <= 1
    assert "warn  check: not configured" in answer.out
    assert all(re.match(r"(ok|warn|fail) +\S.*: .", line) for line in findings)
    for what in (
        "python",
        "git",
        "settings",
        "state folder",
        "disk",
        "sandbox",
        "workspaces",
        "builds",
        "models",
        "terminal",
    ):
        assert any(re.match(rf"(ok|warn) +{what}: ", line) for line in findings), what
    assert any("provider openai: OPENAI_API_KEY is set" in line for line in findings)
    assert any("provider anthropic: ANTHROPIC_API_KEY is not set" in line for line in findings)
    assert "a-very-secret-word" not in answer.out + answer.err
    assert person.left() == []


def test_a_repo_with_ids_of_sha256_is_refused_and_no_run_is_left(person: Person) -> None:
    person.git("init", "-q", "-b", "main", "--object-format=sha256")
    person.commit()
    answer = person.run("--model", "rehearsal:load?speed=0&tasks=2&planners=1")
    assert answer.status == 2
    assert "unsupported object format of the repo: sha256" in answer.error
    assert [file for file in person.left() if not file.endswith("/lock")] == []
    assert "fail  repo: object ids are sha256" in person.swarm("doctor", str(person.repo)).out


def test_the_doctor_says_how_each_provider_is_reached(person: Person) -> None:
    person.commit()
    proxied = {"HTTPS_PROXY": "http://me:hunter2@proxy.example:3128", "no_proxy": "api.openai.com"}
    out = person.swarm("doctor", str(person.repo), ANTHROPIC_API_KEY="k", OPENAI_API_KEY="k", **proxied).out
    through = "through the proxy http://***@proxy.example:3128 (HTTPS_PROXY)"
    assert f"ok    provider anthropic: ANTHROPIC_API_KEY is set, {through}" in out
    assert "ok    provider openai: OPENAI_API_KEY is set, direct" in out
    assert "hunter2" not in out
    out = person.swarm(
        "doctor", str(person.repo), ALL_PROXY="socks4://x:hunter2@y", ANTHROPIC_BASE_URL="http://[::1"
    ).out
    assert "warn  provider openai: cannot be reached: ALL_PROXY asks for socks4, which is not supported: " in out
    assert "warn  provider anthropic: cannot be reached: 'http://[::1' is not a web address" in out
    assert "hunter2" not in out
    out = person.swarm("doctor", str(person.repo), SSL_CERT_FILE="/absent.pem").out
    assert "warn  provider openai: cannot be reached: SSL_CERT_FILE names certificates that cannot be read: " in out


def test_the_doctor_fails_where_nothing_can_run(person: Person) -> None:
    person.commit("swarm.toml", "[swarm\n")
    answer = person.swarm("doctor", str(person.repo))
    assert answer.status == 2
    assert re.search(r"fail +settings: .*swarm.toml:1: not valid TOML", answer.out)


@pytest.mark.parametrize("words", [(), ("run",), ("demo",), ("resume",), ("send",), ("doctor",), ("init",)])
def test_help_is_there_for_every_command(person: Person, words: tuple[str, ...]) -> None:
    answer = person.swarm(*words, "--help")
    assert answer.status == 0
    assert "swarm-tui" in answer.out
    assert answer.err == ""
