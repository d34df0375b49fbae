"""Which dependencies a change adds, and which an intent forbids."""

import pytest

from engine.policy.dependencies import added_dependencies, forbidden, is_manifest


def added(path: str, before: str, after: str) -> tuple[str, ...]:
    return added_dependencies({path: before.encode()}, {path: after.encode()})


@pytest.mark.parametrize(
    ("path", "before", "after", "names"),
    [
        (
            "pyproject.toml",
            '[project]\nname = "mine"\ndependencies = ["attrs>=20"]\n',
            '[project]\nname = "mine"\ndependencies = ["attrs>=22", "Foo_Bar[x]; python_version > \'3\'"]\n'
            '[project.optional-dependencies]\ntests = ["pytest", "mine[all]"]\nfast = ["orjson"]\n'
            '[dependency-groups]\ndev = ["ruff", {include-group = "tests"}]\n',
            (
                *(f"{name} (pyproject.toml, development)" for name in ("ruff", "pytest")),
                *(f"{name} (pyproject.toml)" for name in ("orjson", "foo-bar")),
            ),
        ),
        (
            "pyproject.toml",
            "",
            '[tool.poetry.dependencies]\npython = "^3.11"\nrich = "^13"\nown = {path = "../own"}\n'
            '[tool.poetry.group.docs.dependencies]\nsphinx = "*"\n',
            ("sphinx (pyproject.toml, development)", "rich (pyproject.toml)"),
        ),
        (
            "requirements-dev.txt",
            "a==1\n",
            "# b\n-r other.txt\na==2\nc>=1  # why\ngit+https://example.com/x\n./local\nd @ https://example.com/d\n",
            ("c (requirements-dev.txt)", "d (requirements-dev.txt)"),
        ),
        ("setup.cfg", "", "[options]\ninstall_requires =\n    a\n    b>1\n", ("a (setup.cfg)", "b (setup.cfg)")),
        ("setup.py", "", "setup(install_requires=['a>=1'])\n", ("a (setup.py)",)),
        ("Pipfile", "", '[packages]\na = "*"\n[dev-packages]\nb = "*"\n', ("b (Pipfile, development)", "a (Pipfile)")),
        (
            "web/package.json",
            '{"dependencies": {"a": "1"}}',
            '{"dependencies": {"a": "2", "b": "1", "own": "workspace:*"}, "devDependencies": {"jest": "29"}}',
            ("jest (web/package.json, development)", "b (web/package.json)"),
        ),
        (
            "Cargo.toml",
            "",
            '[dependencies]\nserde = "1"\nown = {path = "own"}\n[dev-dependencies]\nrand = "0.8"\n',
            ("rand (Cargo.toml, development)", "serde (Cargo.toml)"),
        ),
        (
            "go.mod",
            "module m\n",
            "module m\n\nrequire e.com/a v1.0.0\n\nrequire (\n\te.com/b v1.0.0\n\te.com/c v1 // indirect\n)\n",
            ("e.com/b (go.mod)", "e.com/a (go.mod)"),
        ),
        ("Gemfile", "gem 'a'\n", "gem 'a'\n# gem 'c'\ngem \"b\", '~> 1'\n", ("b (Gemfile)",)),
        (
            "pom.xml",
            "",
            "<dependency><groupId>g</groupId><artifactId>junit</artifactId><scope>test</scope></dependency>",
            ("junit (pom.xml, development)",),
        ),
        (
            "app/build.gradle.kts",
            "",
            'dependencies {\n  implementation("g:a:1.0")\n  testImplementation("g:b:1.0")\n}\n',
            ("a (app/build.gradle.kts)", "b (app/build.gradle.kts, development)"),
        ),
        ("a.csproj", "", '<PackageReference Include="Newtonsoft.Json" Version="1" />', ("Newtonsoft.Json (a.csproj)",)),
        ("composer.json", "", '{"require": {"php": "8", "a/b": "1"}}', ("a/b (composer.json)",)),
        ("pyproject.toml", "[project]\ndependencies = []\n", "[project]\nversion = '2'\n", ()),
        ("pyproject.toml", "not toml", '[project]\ndependencies = ["a"]\n', ()),
        ("package.json", "{}", '{"dependencies": ', ()),
        ("package.json", "{}", "[]", ()),
    ],
)
def test_names_that_a_change_adds_to_a_manifest_are_found(
    path: str, before: str, after: str, names: tuple[str, ...]
) -> None:
    assert added(path, before, after) == names


def test_a_dependency_that_moves_between_manifests_is_not_new() -> None:
    before = {"requirements.txt": b"a\n", "pyproject.toml": b""}
    after = {"requirements.txt": None, "pyproject.toml": b'[project]\ndependencies = ["A", "b"]\n'}
    assert added_dependencies(before, after) == ("b (pyproject.toml)",)


@pytest.mark.parametrize("path", ["poetry.lock", "package-lock.json", "Cargo.lock", "go.sum", "src/setup.c", "a.toml"])
def test_lock_files_and_other_files_are_no_manifests(path: str) -> None:
    assert not is_manifest(path)


@pytest.mark.parametrize(
    ("intent", "words"),
    [
        ("Parse durations. No new dependencies.", "No new dependencies"),
        ("- Python 3.11\n- no third-party dependencies\n- fast", "no third-party dependencies"),
        ("Do not add any dependencies.", "Do not add any dependencies"),
        ("It works without adding new dependencies.", "without adding new dependencies"),
        ("Use the standard library only.", "standard library only"),
        ("Use only the standard library.", "only the standard library"),
        ("Nothing beyond the standard library.", "Nothing beyond the standard library"),
        ("No external libraries, please.", "No external libraries"),
        ("No new dependencies unless they are tiny.", ""),
        ("There are currently no dependencies.", ""),
        ("New dependencies may be added.", ""),
        ("Update the dependencies.", ""),
        ("Show that a task has no dependencies if it is a root.", ""),
        ("", ""),
    ],
)
def test_an_intent_forbids_dependencies_in_plain_words(intent: str, words: str) -> None:
    assert forbidden(intent, ["a (pyproject.toml)"]) == ((words, ("a (pyproject.toml)",)) if words else ("", ()))


def test_words_about_the_run_time_leave_dependencies_for_development_alone() -> None:
    both = ["a (pyproject.toml)", "pytest (pyproject.toml, development)"]
    assert forbidden("No runtime dependencies.", both)[1] == ("a (pyproject.toml)",)
    assert forbidden("No new dependencies.", both)[1] == tuple(both)
