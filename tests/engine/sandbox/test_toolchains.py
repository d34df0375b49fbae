"""Which tools agents get: version managers only if they work without a home, and always a `python3`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId
from engine.repo.workspaces.pool import open_workspaces
from engine.sandbox import toolchains
from engine.sandbox.probe import probe
from engine.sandbox.toolchains import SYSTEM_PATH, Tools, find_tools
from tests.engine.sandbox.small_project import project


def script(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def manager(root: Path, starts: Path, says: str = 'exec "$PYENV_ROOT/versions/3/bin/$2" "$3"') -> Path:
    """A version manager in `root` whose shims start the program `starts`; returns the shims' folder."""
    script(starts, says)
    script(root / "versions/3/bin/python3", "echo Python 3.99")
    return script(root / "shims/python3", f'exec "{starts}" exec "${{0##*/}}" "$@"').parent


def tools(*path: Path, home: Path) -> Tools:
    return find_tools(":".join((*map(str, path), *SYSTEM_PATH)), home, (), ())


def test_a_version_managers_shims_are_shared_with_its_whole_folder(tmp_path: Path) -> None:
    root = tmp_path / "theirs/.pyenv"
    shims = manager(root, root / "libexec/pyenv")
    for home in (tmp_path / "theirs", tmp_path / "mine"):
        found = tools(shims, home=home)
        assert found.path[0] == str(shims)
        assert str(root) in found.folders
        assert found.env["PYENV_ROOT"] == str(root)


def test_shims_that_start_unshared_programs_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / ".pyenv"
    shims = manager(root, tmp_path / "brew/libexec/pyenv")
    found = tools(shims, home=tmp_path)
    assert str(shims) not in found.path
    assert found.folders == ()


def test_shims_that_need_the_users_home_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / ".asdf"
    needs = 'test -f "$HOME/.tool-versions" || { echo No version is set >&2; exit 126; }'
    shims = manager(root, root / "bin/asdf", needs)
    assert str(shims) not in tools(shims, home=tmp_path).path


def test_a_shims_folder_of_an_unknown_manager_is_left_out(tmp_path: Path) -> None:
    shims = script(tmp_path / "tool/shims/python3", "echo Python 3.99").parent
    assert str(shims) not in tools(shims, home=tmp_path / "home").path


def test_the_engines_own_python_is_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchains, "SYSTEM_PATH", ())
    venv = tmp_path / "venv/bin"
    venv.mkdir(parents=True)
    (tmp_path / "elsewhere/.git").mkdir(parents=True)  # a work tree is not shared: the link dangles inside the sandbox
    (venv / "python3").symlink_to(script(tmp_path / "elsewhere/python3", "echo no"))
    found = find_tools(str(venv), tmp_path / "home", (), ())
    assert found.path == (str(venv), str(Path(sys.base_prefix) / "bin"))
    program = Path(found.path[-1]) / "python3"
    assert any(Path(os.path.realpath(program)).is_relative_to(folder) for folder in found.folders)
    assert subprocess.run([program, "-c", "print(1)"], capture_output=True, check=True).stdout == b"1\n"


@pytest.mark.parametrize("level", ["namespaced", "restricted"])
async def test_credentials_beside_tools_are_hidden_even_behind_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    try:
        await probe(SandboxSettings(level=level))
    except SwarmError as error:
        pytest.skip(error.message)
    home, dotfiles = tmp_path / "home", tmp_path / "dotfiles"
    cargo = home / ".cargo"
    script(cargo / "bin/tool", "echo works")
    (cargo / "kept").mkdir()
    for file in (cargo / "credentials", cargo / "kept/token", dotfiles / "netrc", cargo / "registry/auth.json"):
        file.parent.mkdir(exist_ok=True)
        file.write_text("SECRET\n")
    (cargo / "credentials.toml").symlink_to(cargo / "kept/token")
    (cargo / ".netrc").symlink_to(dotfiles / "netrc")
    (cargo / ".npmrc").symlink_to(dotfiles / "nowhere")
    monkeypatch.setenv("HOME", str(home))
    settings = SandboxSettings(level=level, read_only=("~/.cargo",))
    base = project(tmp_path)
    workspaces = await open_workspaces(tmp_path / "w", tmp_path / "trunk.git", settings, base)
    try:
        look = f"{cargo}/bin/tool; cat {cargo}/*/* {cargo}/.*rc {cargo}/* ~/.cargo/*/* ~/.cargo/.*rc ~/.cargo/*"
        for agent in ("a", "b"):
            workspace = await workspaces.open(AgentId(agent), base)
            output = await workspace.run(look, 60, lambda _: None)
            assert "works" in output.text
            assert "SECRET" not in output.text
            (cargo / "credentials").unlink(missing_ok=True)  # as after the user logs out
    finally:
        await workspaces.close()


async def test_python3_runs_inside_although_its_shims_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "home/.asdf"
    broken = manager(root, root / "bin/asdf", "exit 127")
    theirs = os.environ["PATH"]  # with the version managers of whoever runs the tests
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{broken}:{theirs}")
    base = project(tmp_path)
    workspaces = await open_workspaces(tmp_path / "w", tmp_path / "trunk.git", SandboxSettings(), base)
    try:
        workspace = await workspaces.open(AgentId("a"), base)
        output = await workspace.run("python3 -c 'print(6 * 7)'", 60, lambda _: None)
    finally:
        await workspaces.close()
    assert (output.exit, output.text) == (0, "42\n")
