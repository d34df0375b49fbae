"""Which programs a project's own files name: interpreters, package managers, test and lint tools, and its commands."""

import json
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

READ = re.compile(
    r"(?:pyproject\.toml|setup\.(?:cfg|py)|tox\.ini|noxfile\.py|pytest\.ini|(?:GNUm|m|M)akefile|[jJ]ustfile"
    r"|package\.json|\.pre-commit-config\.ya?ml|\.gitlab-ci\.yml|(?:AGENTS|CLAUDE|CONTRIBUTING)\.(?:md|rst)"
    r"|(?:requirements|constraints)[\w.-]*\.(?:txt|in)|requirements/[\w.-]+\.(?:txt|in)|\.github/workflows/[\w.-]+\.ya?ml"
    r"|Gemfile|composer\.json|go\.mod|Cargo\.toml)"
)
"""The files that say how a project is tested and checked."""
COMMANDS_LISTED = 8


class Tool(Struct, frozen=True):
    """A test or lint tool: its program, or else the Python module that `python -m` runs. `tests`: it runs tests."""

    program: str
    module: str = ""
    tests: bool = False


def _python(*names: str, tests: bool = False) -> dict[str, Tool]:
    return {name: Tool(name, name.replace("-", "_"), tests) for name in names}


def _programs(*names: str, tests: bool = False) -> dict[str, Tool]:
    return {name: Tool(name, tests=tests) for name in names}


TOOLS: Mapping[str, Tool] = {
    **_python("pytest", "nose2", "tox", "nox", tests=True),
    **_python("mypy", "ruff", "black", "isort", "flake8", "pylint", "pyright", "basedpyright", "yapf", "bandit"),
    **_python("pydocstyle", "codespell", "coverage", "pre-commit", "mkdocs"),
    "sphinx": Tool("sphinx-build", "sphinx"),
    **{
        name: Tool("", name.replace("-", "_")) for name in ("pytest-cov", "pytest-asyncio", "pytest-mock", "hypothesis")
    },
    "pytest-xdist": Tool("", "xdist"),
    **_programs("jest", "vitest", "mocha", "ava", "playwright", "rspec", "phpunit", "ctest", tests=True),
    **_programs(
        "eslint", "prettier", "tsc", "biome", "stylelint", "rubocop", "phpstan", "golangci-lint", "staticcheck"
    ),
    **_programs("gofmt", "rustfmt", "shellcheck", "shfmt", "clang-format", "clang-tidy", "yamllint", "hadolint"),
    "clippy": Tool("cargo-clippy"),
    "nextest": Tool("cargo-nextest", tests=True),
}
"""By the name under which files mention them."""
_NAMED = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(TOOLS, key=len, reverse=True)))})(?!\w)")

MANAGERS = (
    "pip", "uv", "poetry", "pdm", "pipenv", "conda", "npm", "pnpm", "yarn", "bun", "cargo", "go", "bundle", "composer",
    "mvn", "gradle", "dotnet", "mix", "make", "cmake", "just",
)  # fmt: skip
"""Package managers, and build tools that download what a project needs."""
_NEEDS = {
    "uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile": "pipenv", "environment.yml": "conda",
    "package-lock.json": "npm", "pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun",
    "Cargo.toml": "cargo", "go.mod": "go", "Gemfile": "bundle", "composer.json": "composer", "pom.xml": "mvn",
    "build.gradle": "gradle", "mix.exs": "mix", "Makefile": "make", "makefile": "make", "GNUmakefile": "make",
    "CMakeLists.txt": "cmake", "justfile": "just", "Justfile": "just",
}  # fmt: skip
_TOOLS_NEEDED = {
    "tox.ini": "tox", "noxfile.py": "nox", ".pre-commit-config.yaml": "pre-commit", "pytest.ini": "pytest",
    "conftest.py": "pytest", "mypy.ini": "mypy", "ruff.toml": "ruff", "tsconfig.json": "tsc", ".rspec": "rspec",
}  # fmt: skip
_LANGUAGES = {
    "python3": r"\.pyi?$|(?:^|/)(?:pyproject\.toml|setup\.cfg|tox\.ini)$",
    "node": r"\.(?:[cm]?[jt]s|[jt]sx)$|(?:^|/)package\.json$",
    "ruby": r"\.rb$|(?:^|/)Gemfile$",
    "go": r"\.go$",
    "rustc": r"\.rs$",
    "java": r"\.(?:java|kt)$",
    "php": r"\.php$",
    "perl": r"\.p[lm]$",
}
_WANTED = re.compile(r"test|check|lint|type|format|fmt|style|cover|verify|(?:^|[-_:])(?:ci|build)(?:$|[-_:])")
_MAKE_TARGET = re.compile(r"^([A-Za-z0-9][\w.-]{0,40})\s*:(?![:=])", re.MULTILINE)
_JUST_RECIPE = re.compile(r"^([A-Za-z][\w-]{0,40})(?: [^:\n]*)?:(?!=)", re.MULTILINE)
_SCRIPT = re.compile(r"[A-Za-z0-9][\w:.-]{0,40}")


def languages(paths: Iterable[str]) -> tuple[str, ...]:
    """The interpreters that run what these files are written in."""
    names = list(paths)
    return tuple(program for program, pattern in _LANGUAGES.items() if any(re.search(pattern, name) for name in names))


def tools_named(paths: Iterable[str], texts: Iterable[str]) -> tuple[str, ...]:
    """The tools of `TOOLS` that texts name, or that files at the top of a project are for."""
    found = {_TOOLS_NEEDED[path] for path in paths if path in _TOOLS_NEEDED}
    found |= {name for text in texts for name in _NAMED.findall(text)}
    return tuple(name for name in TOOLS if name in found)


def managers_needed(paths: Iterable[str]) -> tuple[str, ...]:
    """The package managers that files at the top of a project are for."""
    needed = {_NEEDS[path] for path in paths if path in _NEEDS}
    return tuple(name for name in MANAGERS if name in needed)


def commands(files: Mapping[str, str]) -> tuple[str, ...]:
    """The project's own commands that test, check or build it, from its files by path."""
    found: list[str] = []
    for path, text in files.items():
        name = path.lower()
        if name in ("makefile", "gnumakefile"):
            found += [f"make {target}" for target in _MAKE_TARGET.findall(text) if _WANTED.search(target)]
        elif name == "justfile":
            found += [f"just {recipe}" for recipe in _JUST_RECIPE.findall(text) if _WANTED.search(recipe)]
        elif path == "package.json":
            found += [f"npm run {script}" for script in _scripts(text) if _WANTED.search(script)]
    return tuple(dict.fromkeys(found))[:COMMANDS_LISTED]


def _scripts(text: str) -> list[str]:
    try:
        scripts = json.loads(text)["scripts"]
        return [name for name in scripts if isinstance(name, str) and _SCRIPT.fullmatch(name)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
