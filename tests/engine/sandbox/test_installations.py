"""What a folder on PATH shares: an installation that is proved to be one, or the folder, or only its programs."""

from pathlib import Path

import pytest

from engine.domain.settings import SandboxSettings
from engine.domain.types import AgentId
from engine.repo.workspaces.pool import open_workspaces
from engine.sandbox.toolchains import find_tools
from tests.engine.sandbox.small_project import project


def make(top: Path, *files: str) -> None:
    """Files below `top`: programs in each `bin`, links where `-> TARGET` is said, everything else plain text."""
    for line in files:
        name, _, target = line.partition(" -> ")
        file = top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if target:
            file.symlink_to(target.format(top=top))
        else:
            file.write_text("#!/bin/sh\necho SECRET\n")
            file.chmod(0o755 if file.parent.name in ("bin", "versions") else 0o600)


def shared(home: Path, *path: str, kept_out: tuple[Path, ...] = ()) -> set[str]:
    found = find_tools(":".join(f"{home}/{part}" for part in path), home, (), (), kept_out)
    return {str(Path(name).relative_to(home)) for name in found.from_path}


RAILS = ("bin/rails", "lib/a.rb", ".env", "config/master.key", ".git/HEAD", "Gemfile")
VENV = ("pyvenv.cfg", "bin/python", "bin/pytest", "lib/python3.12/site-packages/pytest.py")
# Files in a home, the folder on PATH, and what is shared of the home.
CASES: dict[str, tuple[tuple[str, ...], str, set[str]]] = {
    "a Rails project": (tuple(f"app/{name}" for name in RAILS), "app/bin", {"app/bin"}),
    "a project without a repository": (("app/bin/x", "app/lib/a", "app/.env"), "app/bin", {"app/bin"}),
    "a manifest": (("app/bin/x", "app/lib/a", "app/Cargo.toml", "app/key"), "app/bin", {"app/bin"}),
    "a folder in a work tree": (
        ("app/.git/HEAD", "app/x/bin/x", "app/x/lib/a", "app/x/key"), "app/x/bin", {"app/x/bin"},
    ),
    "a linked work tree": (("app/.git", "app/bin/x", "app/lib/a"), "app/bin", {"app/bin"}),
    "a Mercurial work tree": (("app/.hg/x", "app/bin/x", "app/share/a"), "app/bin", {"app/bin"}),
    "a Jujutsu work tree": (("app/.jj/x", "app/sub/bin/x", "app/sub/include/a"), "app/sub/bin", {"app/sub/bin"}),
    "a link to a work tree": (
        ("app/.git/HEAD", "app/sub/bin/x", "app/sub/lib/a", "now -> app/sub"), "now/bin", {"now/bin"},
    ),
    "the bin of a Go workspace": (("go/bin/gopls", "go/pkg/mod/a", "go/src/key.go"), "go/bin", {"go/bin"}),
    "a work tree on PATH": ((".git/HEAD", "tools/.git/HEAD", "tools/.env", "tools/bin/a"), "tools", set()),
    "programs of a work tree": (("my/bin/.git/HEAD", "my/bin/a", "my/bin/b"), "my/bin", {"my/bin/a", "my/bin/b"}),
    "links out of a project": (
        ("app/.git/HEAD", "app/bin/x -> {top}/private/bin/tool", "private/bin/tool", "private/lib/a"),
        "app/bin", {"app/bin"},
    ),
    "links to what is no program": (
        ("bin/x -> {top}/.ssh/id", ".ssh/id", "bin/y -> {top}/data", "data"), "bin", {"bin"},
    ),
    "links into a work tree": (("bin/x -> {top}/app/bin/x", "app/bin/x", "app/.git/HEAD", "app/lib/a"), "bin", {"bin"}),
    "the home": (("x", "lib/a"), "", set()),
    "the home by a detour": (("bin/x", "lib/a"), "bin/..", set()),
    "the bin of the home": (("bin/x", "lib/key", "share/key"), "bin", {"bin"}),
    "the bin of .local": ((".local/bin/x", ".local/lib/a", ".local/share/keyrings/k"), ".local/bin", {".local/bin"}),
    "the configuration": ((".config/swarm-tui/config.toml", ".config/x"), ".config", set()),
    "data of programs": ((".local/share/keyrings/k",), ".local/share", set()),
    "a virtual environment in a project": (
        ("app/.git/HEAD", "app/.env", *(f"app/.venv/{name}" for name in VENV)), "app/.venv/bin", {"app/.venv"},
    ),
    "a project that claims to be an environment": (
        ("app/.git/HEAD", "app/.env", *(f"app/{name}" for name in VENV)), "app/bin", {"app/bin"},
    ),
    "a marker alone": (
        ("app/.git/HEAD", "app/sub/pyvenv.cfg", "app/sub/bin/x", "app/sub/key"), "app/sub/bin", {"app/sub/bin"},
    ),
    "an unpacked installation": (
        ("node/bin/node", "node/lib/a", "node/share/b", "node/etc/key", "node/var/key", "node/notes"),
        "node/bin", {"node/bin", "node/lib", "node/share"},
    ),
    "conda": (("mini/conda-meta/h", "mini/bin/python", "mini/lib/a", "mini/ssl/b"), "mini/bin", {"mini"}),
    "a Go toolchain": (
        ("sdk/go1/VERSION", "sdk/go1/src/runtime/a", "sdk/go1/pkg/b", "sdk/go1/bin/go"), "sdk/go1/bin", {"sdk/go1"},
    ),
    "a manager that is a work tree": (
        (".nvm/.git/HEAD", ".nvm/versions/node/v20/bin/node", ".nvm/versions/node/v20/lib/a"),
        ".nvm/versions/node/v20/bin", {".nvm/versions/node/v20"},
    ),
    "links to tools of a manager": (
        (
            ".local/bin/ruff -> {top}/.local/share/uv/tools/ruff/bin/ruff", ".local/share/keyrings/k",
            ".local/share/uv/tools/ruff/pyvenv.cfg", ".local/share/uv/tools/ruff/bin/ruff",
            ".local/share/uv/tools/ruff/lib/python3.12/site-packages/r.py",
            ".local/share/uv/tools/ruff/bin/python -> {top}/.local/share/uv/python/cpython-3/bin/python3.12",
            ".local/share/uv/python/cpython-3 -> {top}/.local/share/uv/python/cpython-3.12.1",
            ".local/share/uv/python/cpython-3.12.1/bin/python3.12", ".local/share/uv/python/cpython-3.12.1/lib/a",
        ),
        ".local/bin",
        {".local/bin", ".local/share/uv/tools/ruff", ".local/share/uv/python/cpython-3"},
    ),
    "links to single programs": (
        (".local/bin/x -> {top}/.local/share/x/versions/2", ".local/share/x/versions/2", ".local/share/x/token"),
        ".local/bin", {".local/bin", ".local/share/x/versions/2"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_of_a_folder_on_path_only_what_is_proved_to_be_an_installation_is_shared(tmp_path: Path, case: str) -> None:
    files, on_path, expected = CASES[case]
    make(tmp_path, *files)
    assert shared(tmp_path, on_path) == expected


def test_an_installation_around_the_state_folder_shares_only_its_programs(tmp_path: Path) -> None:
    make(tmp_path, *(f"env/{name}" for name in VENV), "env/state/runs/journal.db")
    assert shared(tmp_path, "env/bin") == {"env"}
    assert shared(tmp_path, "env/bin", kept_out=(tmp_path / "env/state/runs",)) == {"env/bin"}


def test_shims_in_a_work_tree_are_not_even_started(tmp_path: Path) -> None:
    make(tmp_path, "app/.git/HEAD", "app/pyenv/bin/x")
    shim = tmp_path / "app/pyenv/shims/python3"
    shim.parent.mkdir()
    shim.write_text(f"#!/bin/sh\n: > {tmp_path / 'app/started'}\n")
    shim.chmod(0o755)
    assert shared(tmp_path, "app/pyenv/shims") == set()
    assert not (tmp_path / "app/started").exists()


async def test_a_command_cannot_read_the_project_beside_a_bin_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    make(home, *(f"app/{name}" for name in RAILS), "go/bin/gopls", "go/src/key.go", "go/pkg/mod/a")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{home}/app/bin:{home}/go/bin:/usr/bin:/bin")
    base = project(tmp_path)
    workspaces = await open_workspaces(tmp_path / "w", tmp_path / "trunk.git", SandboxSettings(), base)
    try:
        assert {f"{home}/app/bin", f"{home}/go/bin"} <= set(workspaces.tools)
        workspace = await workspaces.open(AgentId("a"), base)
        look = f"rails; cat {home}/app/.env {home}/app/*/*.key {home}/app/.git/* {home}/go/src/* {home}/go/*/*/*"
        output = await workspace.run(look, 60, lambda _: None)
    finally:
        await workspaces.close()
    assert output.text.count("SECRET") == 1  # from the program itself
