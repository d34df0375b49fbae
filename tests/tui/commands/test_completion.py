"""`swarm-tui completion`: the scripts complete in the shells themselves, what changes as well as what stays."""

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import get_args

import pytest

from engine.domain.setting_types import LevelChoice
from tests.tui.command_line import PROGRAM, Person
from tui.cli import whole_parser
from tui.commands.arguments import SHELLS
from tui.commands.completion import CHOICES, COMPLETERS, VALUES, _actions

RUNS = ["20261124-000000-aaaa", "20261123-224100-7kq2"]
FREE = {
    *("N", "USD", "RATE", "DURATION", "MOMENT", "GLOBS", "COMMAND", "BRANCH", "QUESTION", "ARGUMENT"),
    *("[ROLE=]PROVIDER:NAME", "PROVIDER:NAME", "[TARGET.]LIMIT=VALUE"),
}
"""Metavars of free text."""
BASH = """
source ./script.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_shtab_swarm_tui
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell(person: Person) -> Person:
    """Someone with two runs, the program on PATH and every shell's script in the home."""
    for run in RUNS:
        (person.state / "some-repo" / run).mkdir(parents=True)
    (person.home / "project").mkdir()
    person.environ["PATH"] = f"{PROGRAM.parent}:{person.environ['PATH']}"
    for name in SHELLS:
        (person.home / f"script.{name}").write_text(person.swarm("completion", name).out)
    return person


def in_bash(person: Person, *words: str) -> list[str]:
    return spoken(person, "bash", "-c", BASH, "bash", *words)


def in_fish(person: Person, *words: str) -> list[str]:
    line = " ".join(words)
    found = spoken(person, "fish", "--no-config", "-c", f"source script.fish; complete -C {line!r}")
    return [candidate.split("\t")[0] for candidate in found]


def spoken(person: Person, *command: str) -> list[str]:
    done = subprocess.run(
        command, cwd=person.home, env=person.environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


CASES = [
    (("swarm-tui", "atta"), ["attach"]),
    (("swarm-tui", "attach", ""), RUNS),
    (("swarm-tui", "attach", "20261124"), RUNS[:1]),
    (("swarm-tui", "replay", RUNS[0], "--theme", "b"), ["bluegold"]),
    (("swarm-tui", "demo", ""), ["load", "markdown", "notes"]),
    (("swarm-tui", "demo", "--agen"), ["--agents"]),
    (("swarm-tui", "send", RUNS[0], "p"), ["pause", "priority"]),
    (("swarm-tui", "run", "--sandbox", "s"), ["strict"]),
    (("swarm-tui", "export", RUNS[0], "--format", ""), ["jsonl", "otel"]),
    (("swarm-tui", "help", "gl"), ["glossary"]),
    (("swarm-tui", "completion", ""), ["bash", "zsh", "fish"]),
]


@pytest.mark.parametrize(("words", "candidates"), CASES, ids=lambda value: " ".join(value))
def test_bash_completes(shell: Person, words: tuple[str, ...], candidates: list[str]) -> None:
    assert sorted(in_bash(shell, *words)) == sorted(candidates)


def test_bash_completes_the_program_by_its_name(shell: Person) -> None:
    [line] = spoken(shell, "bash", "-c", "source ./script.bash; complete -p swarm-tui")
    assert line.split()[-1] == "swarm-tui"


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
@pytest.mark.parametrize(
    ("words", "candidates"), [*CASES, (("swarm-tui", "pro"), ["project/"])], ids=lambda value: " ".join(value)
)
def test_fish_completes(shell: Person, words: tuple[str, ...], candidates: list[str]) -> None:
    assert sorted(in_fish(shell, *words)) == sorted(candidates)


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("swarm-tui atta", "swarm-tui attach "),
        ("swarm-tui pro", "swarm-tui project/"),
        ("swarm-tui attach 20261124", f"swarm-tui attach {RUNS[0]} "),
        ("swarm-tui --theme b", "swarm-tui --theme bluegold "),
        (f"swarm-tui send {RUNS[0]} pr", f"swarm-tui send {RUNS[0]} priority "),
        ("swarm-tui help gl", "swarm-tui help glossary "),
    ],
)
def test_zsh_completes(shell: Person, typed: str, line: str) -> None:
    (shell.home / "_swarm-tui").write_text((shell.home / "script.zsh").read_text())
    main, side = pty.openpty()
    zsh = subprocess.Popen(
        ["setsid", "--ctty", "zsh", "-f", "-i"],
        **dict.fromkeys(("stdin", "stdout", "stderr"), side),
        env=shell.environment({"TERM": "dumb", "COLUMNS": "120"}),
        cwd=shell.home,
    )
    os.close(side)
    try:
        os.write(main, b"fpath=(~ $fpath); autoload -U compinit; compinit -u -D; echo rea''dy\n")
        read_until(main, "ready")
        os.write(main, f"{typed}\t".encode())
        read_until(main, line)
    finally:
        zsh.kill()
        zsh.wait()
        os.close(main)


def read_until(terminal: int, text: str) -> None:
    """Returns once the terminal has shown the text; fails after a minute."""
    shown, end = "", time.monotonic() + 60
    while text not in shown:
        assert select.select([terminal], [], [], max(0, end - time.monotonic()))[0], shown
        shown += os.read(terminal, 65536).decode(errors="replace")


def test_every_argument_is_completed_or_known_to_be_free_text() -> None:
    for action in _actions(whole_parser()):
        if action.metavar and not action.choices:
            assert action.metavar in {*COMPLETERS, *CHOICES, *FREE}, action.metavar


def test_the_levels_are_those_of_the_settings() -> None:
    assert CHOICES["LEVEL"] == get_args(LevelChoice)


@pytest.mark.parametrize("kind", VALUES)
def test_the_values_of_a_kind_are_printed_one_a_line(shell: Person, kind: str) -> None:
    printed = shell.swarm("completion", "bash", "--values", kind)
    assert printed.status == 0
    assert len(printed.out.splitlines()) > 1


def test_your_own_themes_are_completed_too(shell: Person) -> None:
    own = shell.home / ".config" / "swarm-tui" / "themes" / "mine.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert "mine" in shell.swarm("completion", "bash", "--values", "themes").out.splitlines()


def test_a_folder_that_holds_no_runs_completes_to_nothing(person: Person, tmp_path: Path) -> None:
    printed = person.swarm("completion", "bash", "--values", "runs", SWARM_STATE_DIR=str(tmp_path / "nowhere"))
    assert (printed.status, printed.out, printed.err) == (0, "", "")
