"""Everything that can be wrong before or during a run: its exit status, its two lines, and nothing half made."""

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.tui.command_line import PROGRAM, TEMPLATE, Answer, Person
from tui.commands.intent_file import stated


def refused(person: Person, answer: Answer, error: str, hint: str) -> None:
    """The answer is an error, exit 2, and neither the home nor the repo's refs show a trace of it."""
    assert answer.status == 2, answer.err
    assert error in answer.error
    assert hint in answer.hint
    assert answer.out == ""
    assert person.left() == []
    assert not (person.state / "demo").exists()
    assert "swarm/2" not in (person.refs() if (person.repo / ".git").exists() else "")


# --- the repo ------------------------------------------------------------------------------------------------


def test_an_argument_that_is_not_utf8(person: Person) -> None:
    assert person.swarm("--n\udcf6pt").error == r"unknown argument: --n\xf6pt"
    assert person.swarm("doctor", "n\udcf6").out.count(r"no such folder: n\xf6") == 1


def test_a_folder_that_is_no_repo(person: Person) -> None:
    refused(person, person.run(), "is not a git repo", "git init")


def test_a_folder_that_is_not_there(person: Person) -> None:
    answer = person.swarm("run", str(person.repo / "nowhere"), "--intent", str(person.intent))
    refused(person, answer, "no such folder", "folder of a git repo")


def test_a_bare_repo(person: Person) -> None:
    person.git("init", "-q", "--bare")
    answer = person.run()
    assert answer.status == 2
    assert "is a bare repo" in answer.error
    assert person.left() == []


def test_a_repo_without_a_commit(person: Person) -> None:
    person.git("init", "-q", "-b", "main")
    refused(person, person.run(), "no commits yet", "commit something first")


def test_a_branch_that_is_not_there(person: Person) -> None:
    person.commit()
    refused(person, person.run("--branch", "mian"), "no branch named mian", "did you mean main?")


def test_a_branch_named_swarm(person: Person) -> None:
    person.commit()
    person.git("branch", "swarm")
    refused(person, person.run(), "the branch swarm conflicts", "git branch -m swarm")


def test_uncommitted_changes_a_detached_head_and_submodules_are_warned_of(person: Person) -> None:
    person.commit()
    person.commit(".gitmodules", "")
    person.git("checkout", "-q", "--detach")
    (person.repo / "new.txt").write_text("not committed\n")
    answer = person.run("--model", "rehearsal:nots")  # stops after the repo was looked at, before a run is made
    warnings = [line for line in answer.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 4
    assert "won't see 1 uncommitted change" in warnings[0]
    assert "detached" in warnings[1]
    assert "submodules" in warnings[2]
    assert "no check is configured, so green stays empty" in warnings[3]


def test_a_run_without_a_check_names_the_one_that_the_project_has(person: Person) -> None:
    person.commit("Makefile", "test:\n\ttrue\n")
    answer = person.run("--model", "rehearsal:nots")
    assert "so green stays empty; for this project, try --check 'make test'\n" in answer.err
    assert "no check" not in person.run("--model", "rehearsal:nots", "--check", "true").err


# --- the intent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"<!-- nothing\nyet -->\n", "is empty"),
        (TEMPLATE, "is still the example"),
        (re.sub(rb"(?s)<!--.*?-->", b"", TEMPLATE), "is still the example"),
        (b"\x00\x01\x02", "is a binary file"),
        (b"\xff\xfe\x00w", "is not UTF-8 text"),
        (b"more and more\n" * 100_000, "is larger than 1 MiB"),
    ],
)
def test_what_is_no_intent(person: Person, content: bytes, error: str) -> None:
    person.commit()
    person.intent.write_bytes(content)
    refused(person, person.run(), error, " ")
    answer = person.swarm("run", str(person.repo), "--intent", "-", "--model", "rehearsal:notes", stdin=content)
    refused(person, answer, f"the intent on stdin {error}", " ")


def test_comments_are_not_part_of_an_intent_but_code_is() -> None:
    text = "Build <!-- or not -->it.\n\n<!-- why\nthis -->\n\n```html\n<!-- kept -->\n```\nAnd `<!-- this -->` too.\n"
    wanted = "Build it.\n\n```html\n<!-- kept -->\n```\nAnd `<!-- this -->` too.\n"
    assert stated(text, "the intent") == wanted


def test_an_intent_that_is_not_there_or_a_folder(person: Person) -> None:
    person.commit()
    person.intent.unlink()
    refused(person, person.run(), "no such file", "swarm-tui init")
    person.intent.mkdir()
    refused(person, person.run(), "Is a directory", "text file")
    refused(person, person.swarm("run", str(person.repo)), "--intent", "swarm-tui run --help")


# --- models and keys -----------------------------------------------------------------------------------------


def test_without_a_key_and_a_model_it_points_to_the_demo_and_does_not_rehearse(person: Person) -> None:
    person.commit()
    answer = person.swarm("run", str(person.repo), "--intent", str(person.intent))
    refused(person, answer, "no model is configured and no API key is set", "swarm-tui demo")


@pytest.mark.parametrize(
    ("model", "error", "hint"),
    [
        ("opnai:gpt", "there is no provider 'opnai'", "did you mean openai:gpt?"),
        ("gpt", "'gpt' is not a model name", "PROVIDER:NAME"),
        ("wroker=openai:gpt", "unknown role 'wroker'", "did you mean worker=openai:gpt?"),
        ("rehearsal:nots", "no sample project or playbook `nots`", "did you mean `notes`?"),
        ("anthropic:some-model", "no API key for anthropic:some-model: ANTHROPIC_API_KEY is not set", "export it"),
    ],
)
def test_a_model_that_is_not_known_or_has_no_key(person: Person, model: str, error: str, hint: str) -> None:
    person.commit()
    refused(person, person.run("--model", model), error, hint)


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'
        self.send_response(401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def refusing_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_refused_key_ends_the_run_with_status_5(person: Person) -> None:
    person.commit()
    with refusing_server() as address:
        answer = person.run("--model", "anthropic:m", ANTHROPIC_API_KEY="not-one", ANTHROPIC_BASE_URL=address)
    assert answer.status == 5, answer.err
    assert "invalid x-api-key" in answer.error
    assert "check the key" in answer.hint
    assert answer.summary["exit_status"] == 5
    assert answer.summary["state"] == "failed"
    assert "not-one" not in answer.err + answer.out


def test_an_unreachable_server_is_asked_a_bounded_number_of_times(person: Person) -> None:
    person.commit()
    answer = person.run(
        "--model",
        "anthropic:m",
        ANTHROPIC_API_KEY="k",
        ANTHROPIC_BASE_URL="http://127.0.0.1:1",
        SWARM_PROVIDERS_ANTHROPIC_MAX_RETRIES="1",
        SWARM_PROVIDERS_ANTHROPIC_MAX_RETRY_WAIT="0.01",
    )
    assert answer.status == 1, answer.err
    assert "connection" in answer.error
    assert "is its server reachable?" in answer.hint
    assert answer.summary["tokens"] == {"input": 0, "cached": 0, "output": 0}


# --- the machine ---------------------------------------------------------------------------------------------


def test_a_file_in_the_state_folders_way(person: Person) -> None:
    person.commit()
    in_the_way = person.repo.parent / "state"
    in_the_way.write_text("mine\n")
    refused(person, person.run("--state-dir", str(in_the_way)), "the state folder", "--state-dir")
    answer = person.swarm("demo", "notes", "--headless", "--state-dir", str(in_the_way))
    refused(person, answer, "cannot write to", "--state-dir")
    assert in_the_way.read_text() == "mine\n"


def in_mount(person: Person, mount: str, *words: str) -> Answer:
    """A command in a mount namespace of its own, in which `mount` was run on `$1`. Skips where there are none."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces cannot be made here")
    user = [] if os.geteuid() == 0 else ["-r"]
    folder = person.repo.parent / "mounted"
    folder.mkdir(exist_ok=True)
    line = f'{mount} || exit 77; left=$1; shift; "$@"; status=$?; find "$left" -type f ! -name lock >&2; exit $status'
    done = subprocess.run(
        ["unshare", *user, "-m", "sh", "-c", line, "sh", str(folder), str(PROGRAM), *words, "--state-dir", str(folder)],
        cwd=person.home,
        env=person.environ,
        capture_output=True,
        text=True,
        timeout=110,
    )
    if done.returncode == 77:
        pytest.skip("nothing can be mounted here")
    return Answer(done.returncode, done.stdout, done.stderr)


RUN = ("--model", "rehearsal:notes?speed=0")


def test_a_read_only_state_folder(person: Person) -> None:
    person.commit()
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
    answer = in_mount(person, mount, "run", str(person.repo), "--intent", str(person.intent), *RUN)
    refused(person, answer, "Read-only file system", "--state-dir")


@pytest.mark.parametrize("size", ["16k", "120k", "300k"])
def test_a_full_disk(person: Person, size: str) -> None:
    person.commit()
    mount = f'mount -t tmpfs -o size={size} none "$1"'
    answer = in_mount(person, mount, "run", str(person.repo), "--intent", str(person.intent), *RUN)
    refused(person, answer, "", "")


def test_a_git_that_is_too_old_or_not_there(person: Person) -> None:
    person.commit()
    tools = person.repo.parent / "tools"
    tools.mkdir()
    old = tools / "git"
    old.write_text("#!/bin/sh\necho git version 1.8.3.1\n")
    old.chmod(0o755)
    refused(person, person.run(PATH=f"{tools}:{person.environ['PATH']}"), "git too old: git version 1.8.3.1", "2.")
    old.unlink()
    refused(person, person.run(PATH=str(tools)), "git", "install")


def test_two_on_one_repo_at_once(person: Person) -> None:
    person.commit()
    first = subprocess.Popen(
        [
            PROGRAM,
            "run",
            str(person.repo),
            "--intent",
            str(person.intent),
            "--json",
            "--model",
            "rehearsal:notes?speed=50",
        ],
        cwd=person.home,
        env=person.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert first.stdout is not None
        assert "run_created" in first.stdout.readline()  # it owns the repo from here on
        before, refs = person.left(), person.refs()
        answer = person.run()
        assert answer.status == 2
        assert f"process {first.pid} already runs a swarm on this repo" in answer.error
        assert answer.hint
        assert answer.out == ""
        assert person.refs() == refs
        runs = {name.split("/")[4] for name in person.left() if "/" in name} - {"lock"}
        assert runs == {name.split("/")[4] for name in before} - {"lock"}
        resumed = person.swarm("resume")
        assert resumed.status == 2
        assert "is live" in resumed.error
    finally:
        first.send_signal(signal.SIGTERM)
        rest, _ = first.communicate(timeout=60)
    assert first.returncode == 4
    assert '"state":"stopped"' in rest.strip().split("\n")[-1]


def test_a_broken_swarm_toml(person: Person) -> None:
    person.commit("swarm.toml", "[swarm]\nworkrs = 3\n")
    refused(person, person.run(), "swarm.toml:2: unknown key 'swarm.workrs'", "did you mean workers?")
    refused(person, person.swarm("run", str(person.repo), "--intent", str(person.intent)), "workrs", "workers")


def test_what_a_repo_must_not_decide(person: Person) -> None:
    person.commit("swarm.toml", '[sandbox]\nlevel = "off"\n')
    refused(person, person.run(), "'sandbox.level' isn't allowed in a repo", "config.toml")


# --- arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (("run", ".", "--intnet", "x"), "--intent", "swarm-tui run --help"),
        (("runs", "--jsn"), "unknown argument: --jsn", "did you mean --json?"),
        (("rnus",), "'rnus' is neither a command nor a folder", "did you mean: swarm-tui runs?"),
        (("demo", "--speed", "fast"), "--speed", "swarm-tui demo --help"),
        (("demo", "--headless", "--speed", "-1"), "--speed -1.0 is out of range", "use 0 or more"),
        (("demo", "notes", "--headless", "--workers", "0"), "swarm.workers: 0 is out of range", "1"),
        (("demo", "notes", "--headless", "--budget", "wroker.usd=2"), "unknown limit", "TARGET is a role"),
        (("demo", "notes", "--headless", "--for", "banana"), "'banana' is not a duration", "45m"),
        (("demo", "notes", "--headless", "--model", "worker=opnai:x"), "no provider 'opnai'", "openai:x"),
        (("demo", "notes", "--headless", "--branch", "other"), "no branch named other", "main"),
        (
            ("demo", "notes", "--headless", "--tasks", "3"),
            "--tasks applies only to the sample load",
            "demo load --tasks",
        ),
        (("demo", "nots", "--headless"), "`nots`", "did you mean `notes`?"),
        (("demo",), "the app needs a terminal", "swarm-tui demo --headless"),
        (("run", "REPO", "--intent", "x", "--for", "soon"), "", ""),
        (("resume",), "there is no unfinished run", "swarm-tui runs"),
        (("resume", "nothing"), "no such run: 'nothing'", "swarm-tui runs"),
        (("export", "nothing"), "no such run: 'nothing'", "swarm-tui runs"),
        (("send", "nothing", "pause"), "no such run: 'nothing'", "swarm-tui runs"),
        (("send", "x", "paws"), "unknown verb 'paws'", "did you mean pause?"),
        (("runs", "--state-dir", "~nobody-here/x"), "state folder ~nobody-here/x: unknown user", "full path"),
        (("run", ".", "--intent", "~nobody-here/x"), "no such file: ~nobody-here/x", "init"),
        (("run", "x" * 5_000, "--intent", "INTENT.md"), "", ""),
        (("init", "x" * 5_000), "File name too long", "use another path"),
        (("runs", "--a\nb"), "unknown argument: --a b", "runs --help"),
    ],
)
def test_arguments_that_cannot_be_used(person: Person, words: tuple[str, ...], error: str, hint: str) -> None:
    refused(person, person.swarm(*words), error, hint)


def test_an_unexpected_fault_leaves_its_traceback_in_a_log_and_not_on_the_screen(person: Person) -> None:
    broken = person.home / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "from engine.runs import listing\n"
        "def fault(*_): raise ZeroDivisionError('a fault')\n"
        "listing.list_runs = fault\n"
    )
    answer = person.program("runs", PYTHONPATH=str(broken))
    assert answer.status == 1
    assert answer.error == "unexpected error: ZeroDivisionError: a fault"
    log = Path(answer.hint.removeprefix("details are in "))
    assert log == person.state / "errors.log"
    assert "Traceback" in log.read_text()
