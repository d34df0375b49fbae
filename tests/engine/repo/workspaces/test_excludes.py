"""Where ignore rules outside `.gitignore` files are read from."""

# ruff: noqa: ASYNC221 - a test may block while it prepares

import subprocess
from pathlib import Path

import pytest

from engine.repo.git.ignores import match_rules
from engine.repo.workspaces.excludes import OWN_RULES, read_excludes
from tests.git import make_trunk


@pytest.fixture
def trunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    source = tmp_path / "source"
    subprocess.run(["git", "init", "-q", source], check=True)
    (source / ".git" / "info" / "exclude").unlink(missing_ok=True)
    make_trunk(source, tmp_path / "trunk.git")
    return tmp_path / "trunk.git"


async def test_without_exclude_files_there_are_no_rules(trunk: Path) -> None:
    excludes = await read_excludes(trunk)
    assert excludes.rules == ()
    assert excludes.text.startswith(OWN_RULES)


@pytest.mark.parametrize("name", ["{}/mine", "~/mine", "../mine"])
async def test_the_file_that_the_users_config_names_is_read(
    name: str, trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("*.pyc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    subprocess.run(["git", "config", "--global", "core.excludesFile", name.format(tmp_path)], check=True)
    excludes = await read_excludes(trunk)
    assert match_rules(excludes.rules, ("a.pyc",), False) is True
    assert b"*.pyc" in excludes.text


async def test_a_repos_config_cannot_name_a_file_outside_the_repo(trunk: Path, tmp_path: Path) -> None:
    source, secret = tmp_path / "source", tmp_path / "id_rsa"
    secret.write_text("SECRET\n")
    (source / "mine").write_text("*.pyc\n")
    (source / "leads-out").symlink_to(secret)
    (source / ".git" / "info").mkdir(exist_ok=True)
    (source / ".git" / "info" / "exclude").symlink_to(secret)
    for name in ("../id_rsa", str(secret), "leads-out"):
        subprocess.run(["git", "config", "core.excludesFile", name], cwd=source, check=True)
        assert (await read_excludes(trunk)).text.strip() == OWN_RULES.strip()
    subprocess.run(["git", "config", "core.excludesFile", "mine"], cwd=source, check=True)
    assert b"*.pyc" in (await read_excludes(trunk)).text


async def test_an_exclude_file_that_is_a_folder_has_no_rules(trunk: Path, tmp_path: Path) -> None:
    (tmp_path / "source" / ".git" / "info").mkdir(exist_ok=True)
    (tmp_path / "source" / ".git" / "info" / "exclude").mkdir()
    assert (await read_excludes(trunk)).rules == ()
