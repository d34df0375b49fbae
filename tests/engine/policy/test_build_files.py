"""Files that decide how a project is built and checked are known by name, or because the check command names them."""

import pytest

from engine.policy.build_files import is_build_file


@pytest.mark.parametrize(
    "path",
    [
        "Makefile", "sub/makefile", "rules.mk", "CMakeLists.txt", "configure", "Cargo.toml", "crates/a/Cargo.lock",
        "build.rs", ".cargo/config.toml", "go.mod", "go.sum", "package.json", "web/package-lock.json",
        "pnpm-lock.yaml", "bun.lockb", "tsconfig.base.json", "vite.config.ts", ".babelrc", ".yarnrc.yml", "pom.xml",
        "app/build.gradle.kts", "pyproject.toml", "setup.py", "requirements-dev.txt", "uv.lock",
        "tox.ini", "tests/conftest.py", "pytest.ini", ".coveragerc", "Gemfile.lock", "Rakefile", "a.csproj",
        "flake.nix", "Dockerfile.test", "compose.yaml", ".github/workflows/ci.yml", ".gitlab-ci.yml", "Jenkinsfile",
        ".gitignore", "lib/.gitignore", ".python-version", ".nvmrc", "scripts/check.sh", "swarm.toml",
    ],
)  # fmt: skip
def test_a_file_of_the_build_is_known_by_its_name(path: str) -> None:
    assert is_build_file(path, "make test")


@pytest.mark.parametrize("path", ["src/main.rs", "lib/app.py", "tests/test_app.py", "README.md", "test/a.js", "x.c"])
def test_other_files_are_not_of_the_build(path: str) -> None:
    assert not is_build_file(path, "make test && python3 -m pytest tests")


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("tools/verify --all", "tools/verify"),
        ("./tools/verify", "tools/verify"),
        ("sh -c 'tools/verify; true'", "tools/verify"),
        ("cd tools && ./verify", "tools/verify"),
        ("pytest -c=conf/checks.txt", "conf/checks.txt"),
        ("EXPECTED=data/expected.csv ./run", "data/expected.csv"),
        ("python3 -m tools.verify", "tools/verify.py"),
        ("python3 -m verify", "verify/__main__.py"),
    ],
)
def test_what_the_check_command_names_is_of_the_build(command: str, path: str) -> None:
    assert is_build_file(path, command)
    assert not is_build_file(path, "make test")
