"""What may import what: the engine's logic sees the world through protocols only, and light commands stay light."""

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine
from tui import bridge
from tui.cli import APP, COMMANDS, CommandLine

TOP = Path(__file__).parent.parent
PURE = ("engine/domain", "engine/state", "engine/policy")
LOGIC = ("engine/ports", "engine/runtime", "engine/agents", "engine/tools", "engine/orchestrator")
"""Sees the world through ports."""
HEAVY = (
    "textual",
    "anthropic",
    "openai",
    "pygit2",
    "git",
    "aiosqlite",
    "httpx",
    "httpx2",
    "pydantic",
    "rich",
    "msgspec",
)


def sources(*names: str) -> Iterator[Path]:
    for name in names:
        place = TOP / name
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.lineno


def contract(name: str) -> dict[str, list[str]]:
    """An import contract of pyproject.toml."""
    contracts = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found: dict[str, list[str]] = next(each for each in contracts if each["name"] == name)
    return found


def claims_to_be_pure(source: Path) -> bool:
    return "Pure." in (ast.get_docstring(ast.parse(source.read_text())) or "")


def check_calls(source: Path, forbidden: str) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not re.fullmatch(forbidden, called), f"{source}:{node.lineno} calls {called}"


BUILTINS = r"open|input|print|exec|eval|compile|__import__"
READS = r".*\.read_(text|bytes)"
WRITES = r".*\.write_(text|bytes)"
READ_THEIR_OWN_TEXTS = ("prompts.py", "toolbox.py")
"""They load the prompts and the tool descriptions that ship with them."""
CLOCKS_AND_PROCESSES = r"asyncio\.(sleep|to_thread|create_subprocess_\w+|open_\w+|start_\w+)"


@pytest.mark.parametrize(
    "source",
    [source for source in sources("engine") if source in {*sources(*PURE)} or claims_to_be_pure(source)],
    ids=lambda p: str(p.relative_to(TOP)),
)
def test_pure_code_uses_no_clock_randomness_process_file_or_network(source: Path) -> None:
    for module, line in imported(ast.parse(source.read_text())):
        forbidden = contract("Domain, state and policy are pure")["forbidden_modules"]
        assert module.split(".")[0] not in forbidden, f"{source}:{line} imports {module}"
    check_calls(source, f"{BUILTINS}|{READS}|{WRITES}")


@pytest.mark.parametrize("source", list(sources(*LOGIC)), ids=lambda p: str(p.relative_to(TOP)))
def test_the_engines_logic_opens_no_file_and_waits_by_no_clock_of_its_own(source: Path) -> None:
    reads = "" if source.name in READ_THEIR_OWN_TEXTS else f"|{READS}"
    check_calls(source, f"{BUILTINS}|{WRITES}|{CLOCKS_AND_PROCESSES}{reads}")


def test_the_tests_of_purity_and_the_import_contracts_are_about_the_same_folders() -> None:
    for name, folders in (
        ("Domain, state and policy are pure", PURE),
        ("The engine's logic reaches the world only through ports", LOGIC),
        ("The engine's logic sees ports, not implementations", LOGIC),
    ):
        assert contract(name)["source_modules"] == [folder.replace("/", ".") for folder in folders]


@pytest.mark.parametrize("source", list(sources("engine", "tui")), ids=lambda p: str(p.relative_to(TOP)))
def test_nothing_is_imported_inside_a_function(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(node):
                assert not isinstance(inner, ast.Import | ast.ImportFrom), f"{source}:{inner.lineno}"


@pytest.mark.parametrize("source", list(sources("engine", "tui")), ids=lambda p: str(p.relative_to(TOP)))
def test_every_file_has_a_docstring(source: Path) -> None:
    docstring = ast.get_docstring(ast.parse(source.read_text()))
    assert docstring, source


@pytest.mark.parametrize(("name", "module"), engine.face().items())
def test_every_name_of_the_engines_face_resolves(name: str, module: str) -> None:
    assert getattr(bridge, name) is getattr(importlib.import_module(module), name)


def test_no_name_of_the_engines_face_hides_one_of_its_packages() -> None:
    assert not {module.name for module in pkgutil.iter_modules(engine.__path__)} & set(engine.face())


def test_the_face_has_no_other_names() -> None:
    with pytest.raises(ImportError, match="Swarmm"):
        exec("from tui.bridge import Swarmm")


@pytest.mark.parametrize("command", [APP, *COMMANDS], ids=lambda command: command.name or "swarm-tui")
def test_every_command_of_the_command_line_loads(command: CommandLine) -> None:
    assert inspect.isfunction(command.load())


def test_modules_are_named_in_strings_only_where_they_are_loaded_when_needed() -> None:
    lazy = {
        source.relative_to(TOP).as_posix()
        for source in sources("engine", "tui")
        if re.search(r"resolve_name|import_module|__import__|LazyLoader", source.read_text())
    }
    assert lazy == {
        "engine/__init__.py",
        "engine/models/adapters/__init__.py",
        "engine/models/rehearsal/__init__.py",
        "engine/sandbox/inside/jobs.py",
        "engine/tools/toolbox.py",
        "tui/commands/__init__.py",
    }


def fresh(program: str, **variables: str) -> str:
    """The output of a program in a new interpreter, in a home that is not there."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd="/",
        env={**os.environ, "HOME": "/nonexistent", "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": "", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["demo", "--help"], ["--version"], ["runs", "--nonsense"]]
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    loaded = fresh(
        "import sys\nfrom tui.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit: pass\n"
        f"print('LOADED', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    assert loaded.splitlines()[-1] == "LOADED"


@pytest.mark.parametrize("words", [["runs"], ["completion", "bash", "--values", "runs"]])
def test_listing_runs_loads_no_provider_and_no_screen(words: list[str]) -> None:
    loaded = fresh(
        f"import sys\nfrom tui.cli import main\nmain({words!r})\n"
        "print('LOADED', *(name for name in ('textual', 'anthropic', 'pygit2', 'git') if name in sys.modules))"
    )
    assert loaded.splitlines()[-1] == "LOADED"


def test_starting_the_engine_loads_no_provider_until_one_is_used() -> None:
    loaded = fresh(
        "import sys, engine.wiring\n"
        "print('LOADED', *(name for name in ('anthropic', 'openai', 'textual', 'rich') if name in sys.modules))"
    )
    assert loaded.splitlines()[-1] == "LOADED"


def test_importing_writes_nothing_starts_nothing_and_changes_nothing(tmp_path: Path) -> None:
    program = """
import os, pkgutil, signal, sys, threading
before = dict(os.environ), signal.getsignal(signal.SIGINT), os.getcwd(), sorted(os.listdir())
for package in ("engine", "tui"):
    found = __import__(package)
    for module in pkgutil.walk_packages(found.__path__, package + "."):
        __import__(module.name)
after = dict(os.environ), signal.getsignal(signal.SIGINT), os.getcwd(), sorted(os.listdir())
assert before == after, (before, after)
assert threading.active_count() == 1, threading.enumerate()
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", list(sources("tests")), ids=lambda p: str(p.relative_to(TOP)))
def test_no_test_module_is_imported(source: Path) -> None:
    for module, line in imported(ast.parse(source.read_text())):
        assert not re.search(r"(^|\.)test_\w+$", module), f"{source}:{line} imports {module}: helpers are modules"
