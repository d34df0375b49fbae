"""Knows the files that decide how a project is built and checked: manifests, lock files, make files, CI and test setup.

After a change to one of them, what earlier checks have built says little about the next check.
"""

import re
from fnmatch import translate
from functools import lru_cache
from itertools import pairwise
from posixpath import normpath

_NAMES = """
.gitignore .gitattributes .gitmodules .tool-versions .mise.toml .envrc .*-version .*rc .*rc.* *.sh *.bash swarm.toml
*.lock *.lockb *.lockfile *-lock.* *-lock npm-shrinkwrap.json go.sum *.resolved
*akefile *akefile.* *.mk *.mak *.make *.ninja CMake*.txt *.cmake CMakePresets.json meson* configure configure.* *.m4
*.am *.in *.ac BUILD BUILD.* WORKSPACE WORKSPACE.* MODULE.bazel* *.bzl *.bazel SConstruct SConscript wscript *.pro *.qbs
build.* *.gradle *.gradle.kts gradle* pom.xml ivy.xml *.sbt *.versions.toml justfile *.just Taskfile.* Earthfile
Cargo.toml rust-toolchain* clippy.toml .clippy.toml rustfmt.toml .rustfmt.toml go.mod go.work* .golangci* .clang-*
*.cabal stack.yaml cabal.project* dune dune-* *.opam *.nimble rebar.* mix.exs shard.yml project.clj deps.edn
Package.swift Podfile *.podspec package.json pnpm-* deno.json* lerna.json nx.json turbo.json tsconfig*.json
jsconfig*.json *.config.js *.config.ts *.config.mjs *.config.cjs *.config.mts *.config.cts *.config.json *.conf.js
pyproject.toml setup.py setup.cfg tox.ini noxfile.py dodo.py pytest.ini .pytest.ini conftest.py mypy.ini .flake8
ruff.toml .ruff.toml *requirements*.txt requirements* constraints* uv.toml pixi.toml Pipfile environment.y*ml
Gemfile *.gemspec .rspec composer.json phpunit* Build.PL cpanfile DESCRIPTION NAMESPACE
*.csproj *.fsproj *.vbproj *.vcxproj *.sln *.slnx *.props *.targets Directory.* nuget.config global.json packages.config
*.nix Dockerfile* *.dockerfile Containerfile* docker-compose* compose.y*ml
Jenkinsfile* .gitlab-ci* .travis.yml azure-pipelines* appveyor.yml bitbucket-pipelines.yml .pre-commit-config.yaml
"""
_FOLDERS = frozenset({".github", ".circleci", ".buildkite", ".woodpecker", ".cargo", ".config", ".mvn", "cmake", "ci"})
"""Folders of which every file counts."""
_BETWEEN = re.compile(r"[\s'\"`;&|()<>={}$]+")
"""What separates the words of a shell command."""
_NAME = re.compile("|".join(translate(glob) for glob in _NAMES.split()), re.IGNORECASE)


def is_build_file(path: str, command: str) -> bool:
    """Whether a file decides how the project is built or checked, by its name or because the check command names it."""
    *folders, name = path.split("/")
    if _NAME.match(name) or not _FOLDERS.isdisjoint(folders):
        return True
    return f"/{path}".endswith(_named(command))


@lru_cache(maxsize=8)
def _named(command: str) -> tuple[str, ...]:
    """The ends of paths that a command may name: its scripts, their arguments and the modules that Python runs."""
    words = [word for word in _BETWEEN.split(command) if word]
    modules = [after for word, after in pairwise(words) if word == "-m"]
    paths = [*words, *(f"{each.replace('.', '/')}{end}" for each in modules for end in (".py", "/__main__.py"))]
    return tuple(f"/{normpath(path).lstrip('/')}" for path in paths)
