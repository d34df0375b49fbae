"""Settings: which source wins, and what the error for each mistake says."""

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from engine.config.kinds import ALL, Kind
from engine.config.load import FILE_LIMIT, config_folder, load_settings, state_folder
from engine.config.toml_positions import line_of
from engine.config.validate import variable_of
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.setting_types import MOST, CopyChoice, LevelChoice
from engine.domain.settings import LimitSettings, ModelsSettings, Settings
from engine.domain.types import Role
from engine.domain.units import duration_s, size_bytes
from engine.sandbox.guarantees import CopyMethod, Level

LIMIT_KEYS = LimitSettings.__struct_fields__


class Home:
    """A person's configuration folder and a repo, both empty."""

    def __init__(self, folder: Path) -> None:
        self.repo = folder / "repo"
        self.repo.mkdir()
        self.own = folder / "config" / "swarm-tui" / "config.toml"
        self.own.parent.mkdir(parents=True)
        self.environ = {"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}

    def in_repo(self, text: str) -> None:
        (self.repo / "swarm.toml").write_text(text)

    def load(self, options: dict[tuple[str, ...], tuple[str, object]] | None = None) -> Settings:
        return load_settings(self.repo, self.environ, options).settings

    def refusal(self, options: dict[tuple[str, ...], tuple[str, object]] | None = None) -> SwarmError:
        with pytest.raises(SwarmError) as caught:
            self.load(options)
        assert caught.value.kind is ErrorKind.SETTINGS
        assert "\n" not in caught.value.message + caught.value.hint
        assert caught.value.hint
        return caught.value


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_any_file_variable_or_option_the_defaults_apply(home: Home) -> None:
    assert home.load() == Settings()


def test_later_sources_win_key_by_key(home: Home) -> None:
    home.own.write_text("[swarm]\nworkers = 2\nmax_depth = 2\n[task]\nattempts = 5\n[models]\nplanner = 'openai:own'\n")
    home.in_repo("[swarm]\nworkers = 1\nmax_depth = 1\n[repo]\ncheck = 'make'\n")
    home.environ["SWARM_WORKERS"] = "4"
    assert home.load().swarm.workers == 4
    settings = home.load({("swarm", "workers"): ("--workers", "5")})
    assert (settings.swarm.workers, settings.swarm.max_depth, settings.task.attempts) == (5, 1, 5)
    assert (settings.models.planner, settings.repo.check) == ("openai:own", "make")


def test_a_variable_is_converted_to_the_type_of_its_key(home: Home) -> None:
    home.environ |= {
        "SWARM_BUDGET_USD": "12.5",
        "SWARM_BUDGET_WALL": "8h",
        "SWARM_BUDGET_ROLE_WORKER_STEPS": "900",
        "SWARM_SANDBOX_NETWORK": "yes",
        "SWARM_BUILD_GATE": "make*, cargo *",
        "SWARM_PROVIDERS_OPENAI_CHAT_BASE_URL": "http://10.0.0.5/v1",
        "SWARM_PROVIDERS_OPENAI_CHAT_INPUT_PRICE": "0",
        "SWARM_THEME": "dusk",
    }
    settings = home.load()
    assert (settings.budget.usd, settings.budget.wall, settings.sandbox.network) == (12.5, "8h", True)
    assert settings.budget.role["worker"].steps == 900
    assert settings.build.gate == ("make*", "cargo *")
    assert settings.providers["openai-chat"].base_url == "http://10.0.0.5/v1"
    assert settings.providers["openai-chat"].input_price == 0
    assert settings.theme == "dusk"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SWARM_BUGDET_USD", "1", "did you mean SWARM_BUDGET_USD?"),
        ("SWARM_WORKERS", "many", "write a whole number"),
        ("SWARM_SANDBOX_NETWORK", "perhaps", "write true or false"),
        ("SWARM_TASK_TIMEOUT", "45", "write a number with a unit"),
    ],
)
def test_an_error_names_the_bad_variable(home: Home, variable: str, value: str, said: str) -> None:
    home.environ[variable] = value
    error = home.refusal()
    assert variable in error.message
    assert said in error.hint


def test_an_example_with_every_section_is_accepted(home: Home) -> None:
    home.own.write_text(
        """
[models]
planner = "anthropic:large"
worker  = "openai:small"
[providers.openai-chat]
base_url = "http://127.0.0.1:8080/v1"
max_concurrent = 64
[swarm]
workers = 16
max_depth = 4
max_agents = 500
[budget]
usd = 50
tokens = 1_000_000
wall = "8h"
steps = 10_000
ceiling_price = 75
[budget.role.worker]
usd = 20
wall = "2h"
[budget.subtree."root/parser"]
tokens = 500_000
[repo]
branch = "main"
check = "make test"
check_timeout = "10m"
[task]
max_steps = 200
timeout = "45m"
attempts = 2
[sandbox]
level = "auto"
network = false
memory = "4GiB"
read_only = ["~/.cargo/registry"]
[build]
gate = ["cargo *", "make*", "npm *", "pytest*", "*gcc*"]
slots = "auto"
"""
    )
    settings = home.load()
    assert settings.budget.usd == 50.0
    assert settings.budget.role == {"worker": LimitSettings(usd=20.0, wall="2h")}
    assert settings.budget.subtree == {"root/parser": LimitSettings(tokens=500_000)}
    assert settings.sandbox.read_only == ("~/.cargo/registry",)


@pytest.mark.parametrize(
    ("text", "line", "key", "hint"),
    [
        ("[swarm]\n\nworkrs = 3\n", 3, "swarm.workrs", "workers"),
        ("[swarn]\nworkers = 3\n", 1, "swarn", "swarm"),
        ("# first\ntheem = 'x'\n", 2, "theem", "theme"),
        ("[providers.opnai]\n", 1, "providers.opnai", "openai"),
        ("[providers.openai]\nmax_concurent = 3\n", 2, "providers.openai.max_concurent", "max_concurrent"),
        ("[providers.openai]\napi_key = 'x'\n", 2, "providers.openai.api_key", "api_key_env"),
        ("swarm.workrs = 3\n", 1, "swarm.workrs", "workers"),
        ("[budget.role.wroker]\nusd = 1\n", 1, "budget.role.wroker", "worker"),
        ("[budget.role.worker]\nusdd = 1\n", 2, "budget.role.worker.usdd", "usd"),
        ("[budget]\nstep = 1\n", 2, "budget.step", "steps"),
    ],
)
def test_the_error_for_an_unknown_key_names_its_line_and_the_nearest_key(
    home: Home, text: str, line: int, key: str, hint: str
) -> None:
    home.in_repo(text)
    error = home.refusal()
    assert error.message == f"{home.repo}/swarm.toml:{line}: unknown key '{key}'"
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[swarm]\nworkers = '3'\n", 2, "'swarm.workers' must be a whole number, not text"),
        ("[swarm]\nworkers = true\n", 2, "'swarm.workers' must be a whole number, not true or false"),
        ("[swarm]\nworkers = 0\n", 2, "out of range"),
        ("[budget]\nusd = nan\n", 2, "out of range"),
        ("[budget]\nusd = inf\n", 2, "out of range"),
        ("[budget]\nwall = 3600\n", 2, "'budget.wall' must be text, not a whole number"),
        ("[budget]\nwall = 'soon'\n", 2, "'soon' is not a duration"),
        ("[budget.role.worker]\nwall = 'soon'\n", 2, "budget.role.worker.wall: 'soon' is not a duration"),
        ("[budget.role.worker]\nusd = -1\n", 2, "out of range"),
        ("[budget.subtree.parser]\nusd = 1\n", 1, "'parser' is not the path of a planner"),
        ("[budget.subtree]\n'root/a' = 3\n", 2, "'budget.subtree.root/a' is a section, not a value"),
        ("[budget]\nrole = 3\n", 2, "'budget.role' is a section, not a value"),
        ("[sandbox]\n# four\nmemory = 'four'\n", 3, "'four' is not a size"),
        ("[sandbox]\nlevel = 'ful'\n", 2, "'sandbox.level' cannot be 'ful'"),
        ("[build]\ngate = 'make*'\n", 2, "must be a list of texts, not text"),
        ("[build]\nslots = '0'\n", 2, "neither auto nor"),
        ("[build]\nwarm = ['target/', 'out/debug']\n", 2, "'out/debug' is not a name"),
        ("[build]\nwarm_size = 'much'\n", 2, "much"),
        ("[build]\ncaches = ['.npm', '~/.cache/', '../.ssh']\n", 2, "'../.ssh' is not a path in the home of commands"),
        ("[build]\ncaches = ['/etc']\n", 2, "'/etc' is not a path in the home of commands"),
        ("[build]\ncaches = ['~']\n", 2, "'~' is not a path in the home of commands"),
        ("[build]\ncaches = ['.cache/./x']\n", 2, "is not a path in the home of commands"),
        ("[models]\nworker = 'opnai:x'\n", 2, "there is no provider 'opnai'"),
        ("[models]\nworker = 'gpt'\n", 2, "is not a model name"),
        ("[providers.openai]\nbase_url = 'http://[::1/v1'\n", 2, "is not a web address"),
        ("swarm = 3\n", 1, "'swarm' is a section, not a value"),
        ("[providers]\nopenai = 3\n", 2, "'providers.openai' is a section, not a value"),
        ("[task]\ntimeout = 2026-01-01\n", 2, "not a date or time"),
        ("[swarm]\nworkers = \n", 2, "not valid TOML"),
        ("[swarm\n", 1, "not valid TOML"),
        ("x = '''\n\n", 2, "not valid TOML"),
    ],
)
def test_the_error_for_a_wrong_value_names_its_line(home: Home, text: str, line: int, said: str) -> None:
    home.in_repo(text)
    error = home.refusal()
    assert error.message.startswith(f"{home.repo}/swarm.toml:{line}: ")
    assert said in error.message


# One value for each setting that a repository's file may not set, and for some the ways around it that were tried.
REFUSED = {
    ("models", "planner"): ["[models]\nplanner = 'openai:dear'\n"],
    ("models", "worker"): ["models.worker = 'openai:dear'\n"],
    ("models", "resolver"): ["models = { resolver = 'openai:dear' }\n"],
    ("models", "reconciler"): ["[models]\nreconciler = ''\n"],
    ("providers", "NAME", "base_url"): [
        "[providers.openai-chat]\nbase_url = 'https://elsewhere.example/v1'\n",
        "[providers.openai]\nbase_url = 'http://127.0.0.1.elsewhere.example/v1'\n",
        "[providers.openai]\nbase_url = 'http://127.0.0.1:8080/v1'\n",
        "[providers.anthropic]\nbase_url = 'http://localhost:1'\n",
        "[providers.openai-chat]\nbase_url = 'http://[::1]:9/v1'\n",
        "[providers.openai-chat]\nbase_url = ''\n",
    ],
    ("providers", "NAME", "api_key_env"): ["[providers.anthropic]\napi_key_env = 'AWS_SECRET_ACCESS_KEY'\n"],
    ("providers", "NAME", "max_concurrent"): ["[providers.openai]\nmax_concurrent = 1\n"],
    ("providers", "NAME", "input_price"): ["[providers.openai]\ninput_price = 0.0\n"],
    ("providers", "NAME", "cached_price"): ["[providers.openai]\ncached_price = 0.0\n"],
    ("providers", "NAME", "output_price"): ["[providers.openai]\noutput_price = 0.0\n"],
    ("providers", "NAME", "window"): ["[providers.openai]\nwindow = 9000000\n"],
    ("providers", "NAME", "max_output"): ["[providers.openai]\nmax_output = 9000000\n"],
    ("providers", "NAME", "call_timeout"): ["[providers.openai]\ncall_timeout = 1e9\n"],
    ("providers", "NAME", "first_byte_timeout"): ["[providers.openai]\nfirst_byte_timeout = 1e9\n"],
    ("providers", "NAME", "stall_timeout"): ["[providers.openai]\nstall_timeout = 1e9\n"],
    ("providers", "NAME", "max_retry_wait"): ["[providers.openai]\nmax_retry_wait = 0.0\n"],
    ("providers", "NAME", "max_retries"): ["[providers.openai]\nmax_retries = 1000000\n"],
    ("swarm", "seed"): ["[swarm]\nseed = 7\n"],
    ("swarm", "watch_intent"): ["[swarm]\nwatch_intent = 'src/notes.md'\n"],
    ("budget", "ceiling_price"): ["[budget]\nceiling_price = 0.0\n", "[budget]\nceiling_price = 0.1\n"],
    ("planner", "questions"): ["[planner]\nquestions = 'ask'\n", "[planner]\nquestions = 'assume'\n"],
    ("planner", "answer_within"): ["[planner]\nanswer_within = '1s'\n", "[planner]\nanswer_within = ''\n"],
    ("sandbox", "level"): [f"[sandbox]\nlevel = '{level}'\n" for level in get_args(LevelChoice)],
    ("sandbox", "network"): ["[sandbox]\nnetwork = true\n"],
    ("sandbox", "read_only"): [
        "[sandbox]\nread_only = ['~/.ssh']\n",
        "[sandbox]\nread_only = ['~/.cargo/registry/../../.ssh']\n",
        "[sandbox]\nread_only = ['~/.cargo/git']\n",
        "[sandbox]\nread_only = []\n",
    ],
    ("sandbox", "copies"): ["[sandbox]\ncopies = 'checkout'\n"],
    ("repo", "require_green_base"): ["[repo]\nrequire_green_base = true\n", "[repo]\nrequire_green_base = false\n"],
    ("theme",): ["theme = 'dusk'\n"],
    ("keys", "NAME"): ["[keys]\nquit = 'x'\n"],
}
# For each limit: a value below the default, and values that are not.
LIMITS: dict[tuple[str, ...], tuple[object, list[object]]] = {
    ("swarm", "workers"): (3, [17, MOST]),
    ("swarm", "max_depth"): (0, [5]),
    ("swarm", "max_agents"): (2, [501]),
    ("budget", "grace_steps"): (1, [6, 1_000_000]),
    ("repo", "check_timeout"): ("30s", ["11m"]),
    ("repo", "check_landings"): (1, [11]),
    ("repo", "bisect_checks"): (0, [7]),
    ("repo", "fixups"): (0, [4]),
    ("landing", "precedence"): ("9m", ["11m"]),
    ("task", "max_steps"): (5, [201]),
    ("task", "timeout"): ("44m", ["46m", "1w"]),
    ("task", "attempts"): (1, [3]),
    ("planner", "max_steps"): (99, [101]),
    ("planner", "max_open_tasks"): (1, [501]),
    ("planner", "max_tasks_per_hour"): (1, [1_001]),
    ("sandbox", "memory"): ("64MiB", ["512GiB"]),
    ("sandbox", "processes"): (64, [513]),
    ("sandbox", "swarm_processes"): (64, [8_193]),
    ("sandbox", "output"): ("1MiB", ["65MiB"]),
    ("sandbox", "cpu"): ("59m", ["2h"]),
    ("sandbox", "file_size"): ("1GiB", ["5GiB"]),
    ("sandbox", "open_files"): (64, [8_193]),
    ("sandbox", "disk"): ("1GiB", ["9GiB"]),
    ("sandbox", "command_timeout"): ("9m", ["601s"]),
    ("build", "setup_timeout"): ("1m", ["31m"]),
    ("build", "warm_size"): ("1GiB", ["17GiB"]),
}
# Limits whose default is none or automatic: the value in the person's own file, a lower one, and some that are not.
OWN_LIMITS: dict[tuple[str, ...], tuple[object, object, list[object]]] = {
    ("budget", "usd"): (5.0, 4.5, [5.01, 0, 0.0, -0.0]),
    ("budget", "tokens"): (20_000, 100, [20_001, 0]),
    ("budget", "wall"): ("1h", "59m", ["61m", ""]),
    ("budget", "steps"): (7, 6, [8, 0]),
    ("budget", "role", "worker", "usd"): (5.0, 4.5, [5.01, 0.0]),
    ("budget", "role", "worker", "tokens"): (20_000, 100, [20_001, 0]),
    ("budget", "role", "worker", "wall"): ("1h", "59m", ["61m", ""]),
    ("budget", "role", "worker", "steps"): (7, 6, [8, 0]),
    ("budget", "subtree", "root/a", "steps"): (7, 6, [8, 0]),
    ("repo", "check_every"): ("20m", "10m", ["30m", ""]),
    ("task", "max_usd"): (5.0, 4.5, [5.01, 0.0]),
    ("task", "max_tokens"): (20_000, 100, [20_001, 0]),
    ("sandbox", "swarm_memory"): ("8GiB", "1GiB", ["9GiB", "auto"]),
    ("sandbox", "swarm_cpu"): (2.0, 1.5, [2.5, 0.0]),
    ("sandbox", "swarm_disk"): ("8GiB", "1GiB", ["9GiB", "auto"]),
    ("build", "slots"): ("4", "3", ["5", "auto"]),
}
ALLOWED = {
    ("repo", "branch"),
    ("repo", "check"),
    ("build", "gate"),
    ("build", "warm"),
    ("build", "caches"),
    ("build", "setup"),
    ("landing", "union"),
}


def toml_of(path: tuple[str, ...], value: object) -> str:
    return f"{'.'.join(json.dumps(part) for part in path)} = {json.dumps(value)}\n"


def value_of(settings: Settings, path: tuple[str, ...]) -> object:
    value: Any = msgspec.to_builtins(settings)
    for part in path:
        value = value.get(part, {}) if isinstance(value, dict) else value
    return value


def test_every_setting_is_classified_and_tried() -> None:
    """A new setting needs a mark that says what a repository may do with it, and a value here."""

    def all_of(kind: Kind, path: tuple[str, ...], marked: bool) -> Iterator[tuple[str, ...]]:
        marked = marked or kind.repo_rule is not None
        if kind.is_section:
            for name, part in kind.fields.items():
                yield from all_of(part, (*path, name), marked)
        elif kind.is_table:
            name = {"role": "worker", "subtree": "root/a"}.get(path[-1], "NAME")
            yield from all_of(kind.item, (*path, name), marked)
        else:
            assert marked, f"{'.'.join(path)}: mark it with AnyValue, OnlyLower or OwnerOnly"
            yield path

    tried = {*REFUSED, *LIMITS, *OWN_LIMITS, *ALLOWED, *(("budget", "subtree", "root/a", key) for key in LIMIT_KEYS)}
    assert set(all_of(ALL, (), False)) == tried


def test_a_setting_without_a_mark_is_refused_in_a_repos_file(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    monkeypatch.setattr(Kind, "repo_rule", None)
    home.in_repo("[repo]\ncheck = 'make'\n")
    assert "'repo.check' isn't allowed in a repo's file: only you may set it" in home.refusal().message


@pytest.mark.parametrize("text", [text for texts in REFUSED.values() for text in texts])
def test_what_only_the_person_may_set_is_refused_in_a_repos_file_and_accepted_in_their_own(
    home: Home, text: str
) -> None:
    home.in_repo(text)
    error = home.refusal()
    assert "isn't allowed in a repo" in error.message
    assert "config.toml" in error.hint
    (home.repo / "swarm.toml").unlink()
    home.own.write_text(text)
    home.load()


@pytest.mark.parametrize(("path", "values"), LIMITS.items(), ids=lambda each: ".".join(map(str, each)))
def test_a_limit_in_a_repos_file_counts_only_below_the_default(
    home: Home, path: tuple[str, ...], values: tuple[object, list[object]]
) -> None:
    lower, higher = values
    home.in_repo(toml_of(path, lower))
    loaded = load_settings(home.repo, home.environ)
    assert (value_of(loaded.settings, path), loaded.warnings) == (lower, ())
    for value in higher:
        home.in_repo(toml_of(path, value))
        loaded = load_settings(home.repo, home.environ)
        assert loaded.settings == Settings()
        [warning] = loaded.warnings
        assert warning.startswith(f"{home.repo}/swarm.toml:1: {'.'.join(path)} = {json.dumps(value)} is ignored: ")
        assert f"config.toml or as {variable_of(path)}" in warning


@pytest.mark.parametrize(("path", "values"), OWN_LIMITS.items(), ids=lambda each: ".".join(map(str, each)))
def test_a_limit_in_a_repos_file_counts_only_below_the_persons_own(
    home: Home, path: tuple[str, ...], values: tuple[object, object, list[object]]
) -> None:
    own, lower, higher = values
    home.own.write_text(toml_of(path, own))
    home.in_repo(toml_of(path, lower))
    loaded = load_settings(home.repo, home.environ)
    assert (value_of(loaded.settings, path), loaded.warnings) == (lower, ())
    for value in higher:
        home.in_repo(toml_of(path, value))
        loaded = load_settings(home.repo, home.environ)
        assert value_of(loaded.settings, path) == own
        assert f"a repo may only lower limits, and yours is {json.dumps(own)}" in loaded.warnings[0]


def test_what_a_person_chose_automatically_is_not_replaced_by_a_repos_number(home: Home) -> None:
    home.in_repo('[sandbox]\nswarm_memory = "1TB"\nswarm_disk = "1TB"\n[build]\nslots = "999"\n')
    loaded = load_settings(home.repo, home.environ)
    assert (loaded.settings, len(loaded.warnings)) == (Settings(), 3)


def test_a_variable_may_raise_what_a_repos_file_lowered(home: Home) -> None:
    home.in_repo("[budget]\ngrace_steps = 2\n")
    home.environ["SWARM_BUDGET_GRACE_STEPS"] = "50"
    loaded = load_settings(home.repo, home.environ)
    assert (loaded.settings.budget.grace_steps, loaded.warnings) == (50, ())
    assert loaded.files == (home.repo / "swarm.toml",)


def test_a_number_of_thousands_of_digits_is_refused(home: Home) -> None:
    home.in_repo(f"[swarm]\nworkers = {'9' * 5_000}\n")
    assert home.refusal().message == f"{home.repo}/swarm.toml: a number has too many digits"


def test_a_value_that_looks_like_a_key_is_refused_and_not_repeated(home: Home) -> None:
    secret = "sk-" + "proj-" + "a1B2" * 10
    for text in (f"[repo]\ncheck = 'KEY={secret} make'\n", f"[providers.openai]\napi_key_env = '{secret}'\n"):
        home.own.write_text(text)
        error = home.refusal()
        assert "looks like an API key" in error.message
        assert secret not in error.message + error.hint
    home.own.write_text("[providers.openai]\nbase_url = 'https://me:hunter2@host/v1'\n")
    assert "hunter2" not in home.refusal().message
    home.own.write_text("[repo]\ncheck = 'task-runner-with-a-long-name test'\n")
    home.load()


def test_a_file_that_is_not_text_is_refused(home: Home) -> None:
    file = home.repo / "swarm.toml"
    file.write_bytes(b"theme = 'x'\n\xff\xfe\n")
    assert home.refusal().message == f"{file}:2: not UTF-8 text"
    file.write_text("#" * (FILE_LIMIT + 1))
    assert "larger than" in home.refusal().message
    file.write_text("x = " + "[" * 100_000)
    assert str(file) in home.refusal().message
    file.unlink()
    file.mkdir()
    assert "not a regular file" in home.refusal().message
    file.rmdir()
    os.mkfifo(file)
    assert "not a regular file" in home.refusal().message


def test_bytes_that_are_not_utf8_become_escapes_except_in_a_command(home: Home) -> None:
    home.environ["SWARM_SANDBOX_READ_ONLY"] = "/shared\udce9"
    assert home.load().sandbox.read_only == ("/shared\\xe9",)
    error = home.refusal({("repo", "check"): ("--check", "cat caf\udce9")})
    assert error.message == "--check: not UTF-8 text"


def test_an_error_names_the_option_as_the_person_wrote_it(home: Home) -> None:
    error = home.refusal({("budget", "wall"): ("--for", "soon")})
    assert error.message == "--for: budget.wall: 'soon' is not a duration"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("45m", 2_700),
        ("8h", 28_800),
        ("10m30s", 630),
        ("1.5h", 5_400),
        ("2d 1h", 176_400),
        ("250ms", 0.25),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "5x", "-5m", "0s", "1h30", "99999999999h", "1e3s"])
def test_text_that_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(SwarmError):
        duration_s(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 << 30),
        ("64MB", 64_000_000),
        ("512m", 512 << 20),
        ("1024", 1024),
        ("1.5 KiB", 1536),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "4XB", "-1MB", "0", "9999999999TB", "4 i", "9" * 400])
def test_text_that_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(SwarmError):
        size_bytes(text)


@pytest.mark.parametrize("pattern", ["", " ", "/", "# note", "!*.md", "[z-a]", "[a-\\]", "a\\"])
def test_what_is_no_pattern_of_files_is_refused(home: Home, pattern: str) -> None:
    (home.repo / "swarm.toml").write_text(f"[landing]\nunion = [{json.dumps(pattern)}]\n")
    assert "is not a pattern" in home.refusal().message


def test_lines_are_found_quickly_in_hostile_files() -> None:
    gap = " " * 30_000
    lines = (f'[{gap}"a"],', f"[ 1,{gap}2, ],", f'[ "a\\"{gap}b",', f"[ {{ a{gap}= 1 }},", f"a{gap}b", f"[a{gap}.")
    assert line_of("\n".join((*lines, "[build]", "gate = 1")), ("build", "gate")) == len(lines) + 2
    assert line_of('[ budget . "subtree" . "root/a" ] # mine\nusd = 1', ("budget", "subtree", "root/a", "usd")) == 2


def test_lines_are_found_after_multi_line_text() -> None:
    text = 'a = """\n[b]\nc = 1\n"""\n[b] # here\n"c" = 2\nd.e = 3\n[[f]]\n'
    tomllib.loads(text)
    assert [line_of(text, path) for path in (("b", "c"), ("b",), ("b", "d", "e"), ("f",), ("z",))] == [6, 5, 7, 8, None]
    assert line_of(text, ("b", "missing")) == 5


def test_every_role_has_a_setting_for_its_model() -> None:
    assert set(ModelsSettings.__struct_fields__) == set(Role)


def test_the_choices_of_a_setting_are_those_that_the_sandbox_has() -> None:
    assert get_args(LevelChoice) == ("auto", "strict", *Level)
    assert get_args(CopyChoice) == ("auto", *CopyMethod)


def test_folders_follow_the_environment(tmp_path: Path) -> None:
    assert config_folder({"HOME": "/h"}) == Path("/h/.config/swarm-tui")
    assert config_folder({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}) == Path("/h/.config/swarm-tui")
    assert state_folder({"HOME": "/h", "XDG_STATE_HOME": "/s"}) == Path("/s/swarm-tui")
    assert state_folder({"HOME": "/h"}) == Path("/h/.local/state/swarm-tui")
    assert state_folder({"HOME": "/h", "SWARM_STATE_DIR": str(tmp_path)}) == tmp_path
