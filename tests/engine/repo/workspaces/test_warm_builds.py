"""Workspaces start with what checks have built, and build tools rebuild exactly what is out of date."""

import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.errors import SwarmError
from engine.domain.settings import BuildSettings, SandboxSettings
from engine.domain.types import AgentId, CommitId
from engine.repo.workspaces import layers, warm_builds
from engine.repo.workspaces.pool import WorkspacePool, open_workspaces
from engine.repo.workspaces.warm_builds import build_name_pattern
from engine.repo.workspaces.workspace import AgentWorkspace
from tests.engine.repo.small_repo import SmallRepo
from tests.git import make_trunk

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")

MAKEFILE = """
OBJECTS := $(patsubst src/%.c,build/%.o,$(wildcard src/*.c))
build/program: $(OBJECTS)
\t@cat $(sort $^) > $@
build/%.o: src/%.c
\t@mkdir -p build
\t@echo compiling $<
\t@cp --no-preserve=all $< $@
"""
CHECK = "make"


class Project(SmallRepo):
    """A repository with a Makefile, a trunk that borrows from it, and workspaces."""

    def __init__(self, folder: Path, units: int = 5) -> None:
        super().__init__(folder)
        self.write("Makefile", MAKEFILE)
        self.write(".gitignore", "build/\nnode_modules\n*.log\n")
        for number in range(units):
            self.write(f"src/unit{number}.c", f"unit {number}\n")
        self.base = self.commit()
        make_trunk(folder / "source", folder / "trunk.git")
        self.workspaces: WorkspacePool
        self.opened = 0

    async def open(self, commit: CommitId, *, clean: bool = False) -> AgentWorkspace:
        self.opened += 1
        return await self.workspaces.open(AgentId(f"agent-{self.opened}"), commit, clean=clean)

    async def check(self, commit: CommitId, command: str = CHECK, *, clean: bool = False) -> list[str]:
        """Run the check as the engine does. Returns the files that it compiled."""
        workspace = await self.open(commit, clean=clean)
        compiled = await self.built(workspace, command)
        await self.workspaces.keep_builds(workspace)
        return compiled

    async def built(self, workspace: AgentWorkspace, command: str = CHECK) -> list[str]:
        """Run a build. Returns the files that it compiled."""
        output = await workspace.run(command, 60, lambda _: None)
        assert output.exit == 0, output
        lines = output.text.splitlines()
        return sorted(line.removeprefix("compiling ") for line in lines if line.startswith("compiling"))

    async def compiled_in_a_workspace(self, commit: CommitId) -> list[str]:
        workspace = await self.open(commit)
        compiled = await self.built(workspace)
        await workspace.close()
        return compiled

    def layers(self) -> int:
        return len(list((self.folder / "workspaces" / "layers").iterdir()))


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    project = Project(tmp_path)
    await reopen(project, BuildSettings())
    yield project
    await project.workspaces.close()


async def reopen(project: Project, build: BuildSettings) -> None:
    try:
        project.workspaces = await open_workspaces(
            project.folder / "workspaces",
            project.folder / "trunk.git",
            SandboxSettings(copies="overlay"),
            project.base,
            build=build,
        )
    except SwarmError as error:
        pytest.skip(error.message)


async def shell(workspace: AgentWorkspace, command: str) -> str:
    return (await workspace.run(command, 60, lambda _: None)).text


UNITS = [f"src/unit{number}.c" for number in range(5)]


async def test_the_first_build_of_a_workspace_compiles_what_has_changed_since_the_check(project: Project) -> None:
    assert await project.compiled_in_a_workspace(project.base) == UNITS
    assert await project.check(project.base) == UNITS
    assert await project.compiled_in_a_workspace(project.base) == []
    project.write("src/unit3.c", "changed\n")
    project.write("src/new.c", "new\n")
    later = project.commit()
    assert await project.compiled_in_a_workspace(later) == ["src/new.c", "src/unit3.c"]
    assert await project.check(later) == ["src/new.c", "src/unit3.c"]
    assert await project.compiled_in_a_workspace(later) == []
    project.write("README.md", "no source\n")
    assert await project.compiled_in_a_workspace(project.commit()) == []


async def test_an_agents_own_builds_stay_in_its_workspace(project: Project) -> None:
    await project.check(project.base)
    first = await project.open(project.base)
    await first.write_file("src/unit1.c", b"mine\n")
    assert await project.built(first) == ["src/unit1.c"]
    await shell(first, "echo poison > build/unit2.o; touch build/unit2.o build/program; rm build/unit4.o")
    await first.close()
    second = await project.open(project.base)
    assert await project.built(second) == []
    assert await shell(second, "cat build/program") == "".join(f"unit {number}\n" for number in range(5))


async def test_files_that_landed_during_the_check_are_newer_than_its_builds(project: Project) -> None:
    check = await project.open(project.base)
    project.write("src/unit2.c", "landed during the check\n")
    later = project.commit()
    await project.open(later)  # its layers are made before the check has built anything
    assert await project.built(check) == UNITS
    await project.workspaces.keep_builds(check)
    assert await project.compiled_in_a_workspace(later) == ["src/unit2.c"]


async def test_restored_content_is_compiled_again(project: Project) -> None:
    old = (project.source / "src/unit2.c").read_text()
    project.write("src/unit2.c", "for a while\n")
    await project.check(project.base)
    await project.check(project.commit())
    project.write("src/unit2.c", old)
    back = project.commit()
    assert await project.compiled_in_a_workspace(back) == ["src/unit2.c"]


async def test_a_build_in_any_workspace_equals_a_build_from_scratch(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "MAX_CHANGED", 6)
    monkeypatch.setattr(warm_builds, "MAX_LAYERS", 2)
    draw = random.Random(11)
    commits = [project.base]
    checking: tuple[AgentWorkspace, bool] | None = None
    for _ in range(24):
        unit = f"src/unit{draw.randrange(7)}.c"
        match draw.randrange(4):
            case 0:
                project.write(unit, f"{draw.randrange(3)}\n")  # earlier content is sometimes restored
            case 1:
                (project.source / unit).unlink(missing_ok=True)
            case 2:
                project.git(project.source, "checkout", "-q", draw.choice(commits), "--", "src")
        commits.append(project.commit())
        if checking is None:
            checking = (await project.open(draw.choice(commits[-3:]), clean=draw.random() < 0.1), False)
        elif not checking[1]:
            await project.built(checking[0])
            checking = (checking[0], True)
        else:
            await project.workspaces.keep_builds(checking[0])
            checking = None
        commit = draw.choice(commits[-4:])
        workspace = await project.open(commit)
        await project.built(workspace)
        shown = await shell(workspace, "cat $(ls src/*.c | sed 's,src/\\(.*\\)c$,build/\\1o,' | sort)")
        assert shown == await shell(workspace, "cat $(ls src/*.c | sort)")
        assert await workspace.changed() == ()
        assert await shell(workspace, "git status --porcelain") == ""
        tree = project.git(project.source, "rev-parse", f"{commit}:src")
        assert (await shell(workspace, "git rev-parse HEAD:src")).strip() == tree
        await workspace.close()


async def test_only_ignored_files_that_the_settings_name_are_kept(project: Project) -> None:
    await project.check(
        project.base,
        "mkdir -p build sub/node_modules src/node_modules/.bin other; echo x | tee build/x sub/node_modules/x other/x"
        " src/node_modules/x trace.log > /dev/null; ln -s ../x src/node_modules/.bin/x; ln -s /etc node_modules;"
        "echo changed >> Makefile; mkdir -p build/.git; touch build/.git/config",
    )
    workspace = await project.open(project.base)
    assert await shell(
        workspace, "find . -path ./.git -prune -o -newer Makefile -print | sort; readlink src/*/.bin/x"
    ) == (
        ".\n./build\n./build/.git\n./build/.git/config\n./build/x\n./src\n./src/node_modules\n"
        "./src/node_modules/.bin\n./src/node_modules/.bin/x\n./src/node_modules/x\n"
        "./sub\n./sub/node_modules\n./sub/node_modules/x\n../x\n"
    )
    assert await workspace.changed() == ()


async def test_tracked_files_win_over_builds(project: Project) -> None:
    await project.check(project.base, "mkdir -p build/deep; echo old | tee build/x build/deep/y build/z > /dev/null")
    project.write("build/x", "tracked\n")
    project.write("build/deep", "a file now\n")
    project.git(project.source, "add", "-f", "build/x", "build/deep")
    later = project.commit()
    workspace = await project.open(later)
    assert (
        await shell(workspace, "cat build/x build/deep build/z; git status --porcelain") == "tracked\na file now\nold\n"
    )
    await project.check(later, "echo checked > build/x; echo new > build/z")
    workspace = await project.open(later)
    assert await shell(workspace, "cat build/x build/z") == "tracked\nnew\n"


async def test_builds_that_do_not_fit_a_later_commit_are_hidden(project: Project) -> None:
    project.write("part/code.js", "code\n")
    project.write("part/inner/code.js", "code\n")
    project.write("other/.gitignore", "_build\n")
    base = project.commit()
    await project.check(
        base,
        "for at in build part/node_modules part/inner/node_modules other/_build; do mkdir -p $at; touch $at/x; done",
    )
    shown = "ls -d build part/node_modules part part/inner other/_build 2>/dev/null; git status --porcelain"
    assert (await shell(await project.open(base), shown)).split() == [
        "build", "other/_build", "part", "part/inner", "part/node_modules",
    ]  # fmt: skip
    project.git(project.source, "rm", "-qr", "part/inner")
    no_inner = project.commit()
    assert (await shell(await project.open(no_inner), shown)).split() == [
        "build", "other/_build", "part", "part/node_modules",
    ]  # fmt: skip
    project.git(project.source, "rm", "-qr", "part")
    project.write("other/.gitignore", "nothing\n")
    neither = project.commit()
    assert (await shell(await project.open(neither), shown)).split() == ["build"]
    await project.check(neither, "touch build/y")
    workspace = await project.open(neither)
    assert await shell(workspace, f"{shown}; ls build") == "build\nx\ny\n"


async def test_builds_that_a_check_removes_are_removed_for_later_workspaces(project: Project) -> None:
    await project.check(project.base, "mkdir -p build src/node_modules; touch build/{a,b,c} src/node_modules/d")
    await project.check(project.base, "rm build/a; rm -r src/node_modules")
    assert await shell(await project.open(project.base), "ls build; ls src/node_modules 2>/dev/null") == "b\nc\n"
    await project.check(project.base, "rm -r build; mkdir build; touch build/e")
    assert await shell(await project.open(project.base), "ls build") == "e\n"


async def test_layers_of_builds_stay_few_and_are_removed_with_their_workspaces(project: Project) -> None:
    held = []
    for number in range(8):
        await project.check(project.base, f"mkdir -p build/deep; echo {number} > build/deep/x; touch build/{number}")
        held.append(await project.open(project.base))
    assert [await shell(workspace, "cat build/deep/x") for workspace in held] == [f"{number}\n" for number in range(8)]
    assert await shell(held[7], "ls build") == "0\n1\n2\n3\n4\n5\n6\n7\ndeep\n"
    assert max(len(workspace.stack.folders) for workspace in held) <= warm_builds.MAX_LAYERS + 1
    for workspace in held:
        await workspace.close()
    assert project.layers() <= warm_builds.MAX_LAYERS + 1


async def test_builds_over_the_size_limit_are_discarded(project: Project) -> None:
    await project.workspaces.close()
    await reopen(project, BuildSettings(warm_size="1MiB"))
    await project.check(project.base)
    assert await project.compiled_in_a_workspace(project.base) == []
    await project.check(project.base, "head -c 2M /dev/urandom > build/large")
    assert await project.compiled_in_a_workspace(project.base) == UNITS
    assert project.layers() == 1
    assert await project.check(project.base) == UNITS
    assert await project.compiled_in_a_workspace(project.base) == []


async def test_a_check_that_the_end_of_the_run_has_closed_keeps_no_builds(project: Project) -> None:
    check = await project.open(project.base)
    await project.built(check)
    await project.workspaces.close()
    await project.workspaces.keep_builds(check)
    assert project.layers() == 1


async def test_no_builds_are_kept_if_the_settings_name_none(project: Project) -> None:
    await project.workspaces.close()
    await reopen(project, BuildSettings(warm=()))
    assert project.workspaces.warm, "caches are kept"
    await project.check(project.base)
    assert await project.compiled_in_a_workspace(project.base) == UNITS
    await project.workspaces.close()
    await reopen(project, BuildSettings(warm=(), caches=()))
    await project.workspaces.sweep(())
    assert not project.workspaces.warm
    await project.check(project.base)
    assert await project.compiled_in_a_workspace(project.base) == UNITS


async def test_a_hostile_build_does_no_harm(project: Project) -> None:
    deep = "import os\nos.makedirs('build')\nos.chdir('build')\nfor _ in range(3000):\n os.mkdir('d'); os.chdir('d')"
    for _ in range(warm_builds.MAX_LAYERS + 2):
        workspace = await project.open(project.base)
        await shell(workspace, f'rm -rf build; python3 -I -S -c "{deep}"; touch build/x; chmod 000 build')
        await project.workspaces.keep_builds(workspace)
    workspace = await project.open(project.base)
    assert await workspace.read_file("src/unit1.c") == b"unit 1\n"
    assert await workspace.changed() == ()
    await project.workspaces.close()
    assert project.layers() == len(workspace.stack.folders), "what is left open keeps what it stands on"
    await reopen(project, BuildSettings())
    await project.workspaces.sweep(())
    assert project.layers() == 0


@pytest.mark.parametrize(
    ("names", "name", "kept"),
    [
        (("target/",), "target", True),
        (("target",), "targets", False),
        (("cmake-build-*",), "cmake-build-debug", True),
        (("*",), "anything", True),
        ((), "target", False),
        ((), "", False),
    ],
)
def test_settings_name_builds_by_globs_that_match_whole_names(names: tuple[str, ...], name: str, kept: bool) -> None:
    assert (build_name_pattern(names).match(name) is not None) is kept
