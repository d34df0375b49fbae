"""The project around the code: what is declared is locked and shipped, and a bare machine is told what it lacks."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tui.cli import COMMANDS

TOP = Path(__file__).parent.parent
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())


def test_every_dependency_is_in_the_lock_file() -> None:
    locked = {package["name"] for package in tomllib.loads((TOP / "uv.lock").read_text())["package"]}
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in wanted}
    assert names - locked == set()


def test_everything_the_program_reads_is_shipped_with_it() -> None:
    shipped = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(shipped) == {"engine", "tui", "prompts", "themes", "sample_projects"}
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]["docs"] == "tui/docs"
    assert "docs/swarm-tui.1" in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=False).stdout.decode()
    if tracked:
        for needed in ("tui/style/swarm.tcss", "tui/templates/INTENT.md", "uv.lock"):
            assert needed in tracked.split("\0"), needed


def test_the_readme_opens_with_the_two_commands_and_stays_short() -> None:
    lines = (TOP / "README.md").read_text(encoding="utf-8").splitlines()
    opening = [line for line in lines[:8] if line.startswith("make ")]
    assert [line.split("#")[0].strip() for line in opening] == ["make demo", "make test"]
    assert len(lines) <= 120


def test_the_page_of_commands_names_every_command() -> None:
    text = (TOP / "docs" / "commands.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert re.search(rf"swarm-tui {command.name}\b", text), command.name


def bare_machine(folder: Path, *without: str) -> dict[str, str]:
    """An environment whose PATH has the tools that the Makefile calls, apart from some."""
    tools = folder / "tools"
    tools.mkdir()
    for tool in {"sh", "git", "python3", "make", "touch", "env"} - set(without):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    for name in ("Makefile", "uv.lock", "pyproject.toml"):
        shutil.copy(TOP / name, folder / name)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return {**kept, "PATH": str(tools), "HOME": str(folder)}


def script(folder: Path, name: str, text: str) -> None:
    place = folder / "tools" / name
    place.unlink(missing_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)


@pytest.mark.parametrize(
    ("without", "python", "error", "hint"),
    [
        ("git", "", "git is not installed", "apt install git"),
        ("python3", "", "python3 is not installed", "make PYTHON="),
        ("", 'case "$*" in *version_info*) exit 1;; esac; echo Python 3.9.2', "this is Python 3.9.2", "make PYTHON="),
        ("", 'case "$*" in *ensurepip*) exit 1;; esac', "its venv or ensurepip is missing", "apt install python3-venv"),
    ],
)
def test_a_machine_that_lacks_something_is_told_what(
    tmp_path: Path, without: str, python: str, error: str, hint: str
) -> None:
    environ = bare_machine(tmp_path, without)
    if python:
        script(tmp_path, "python3", python)
    done = subprocess.run(["make", "demo"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert len(said) == 2, done.stderr
    assert said[0].startswith("error: ")
    assert error in said[0]
    assert said[1].startswith("hint: ")
    assert hint in said[1]
    assert not (tmp_path / ".venv").exists()
