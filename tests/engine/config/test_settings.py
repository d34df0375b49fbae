"""Settings: which source wins, and what the error for each mistake says."""

import os
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from engine.config.load import FILE_LIMIT, config_folder, load_settings, state_folder
from engine.config.toml_positions import line_of
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.setting_types import CopyChoice, LevelChoice
from engine.domain.settings import LimitSettings, ModelsSettings, Settings
from engine.domain.types import Role
from engine.domain.units import duration_s, size_bytes
from engine.sandbox.guarantees import CopyMethod, Level


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
    home.in_repo("[swarm]\nworkers = 3\nmax_depth = 3\n[models]\nworker = 'openai:repo'\n")
    home.environ["SWARM_WORKERS"] = "4"
    assert home.load().swarm.workers == 4
    settings = home.load({("swarm", "workers"): ("--workers", "5")})
    assert (settings.swarm.workers, settings.swarm.max_depth, settings.task.attempts) == (5, 3, 5)
    assert (settings.models.planner, settings.models.worker) == ("openai:own", "openai:repo")


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
    home.in_repo(
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


@pytest.mark.parametrize(
    "text",
    [
        "[providers.openai-chat]\nbase_url = 'https://elsewhere.example/v1'\n",
        "[providers.openai]\nbase_url = 'http://127.0.0.1.elsewhere.example/v1'\n",
        "[providers.anthropic]\napi_key_env = 'AWS_SECRET_ACCESS_KEY'\n",
        "[sandbox]\nlevel = 'off'\n",
        "[sandbox]\nlevel = 'restricted'\n",
        "[sandbox]\nnetwork = true\n",
        "[sandbox]\nread_only = ['~/.ssh']\n",
        "[sandbox]\nread_only = ['~/.cargo/registry/../../.ssh']\n",
        "[keys]\nquit = 'x'\n",
    ],
)
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


def test_a_repos_file_that_replaces_the_persons_budget_causes_a_warning(home: Home) -> None:
    home.own.write_text("[budget]\nusd = 5.0\n[budget.role.worker]\nsteps = 7\n")
    home.in_repo("[budget]\nusd = 500.0\n[budget.role.worker]\nsteps = 70\n")
    loaded = load_settings(home.repo, home.environ)
    assert loaded.settings.budget.usd == 500.0
    assert loaded.warnings == (
        f"{home.repo}/swarm.toml:2: budget.usd = 500.0 replaces your own 5.0",
        f"{home.repo}/swarm.toml:4: budget.role.worker.steps = 70 replaces your own 7",
    )
    assert loaded.files == (home.own, home.repo / "swarm.toml")


def test_a_repos_file_that_sets_token_prices_causes_a_warning(home: Home) -> None:
    home.in_repo("[providers.anthropic]\ninput_price = 0.0\n[budget]\nceiling_price = 0.1\n")
    assert load_settings(home.repo, home.environ).warnings == (
        f"{home.repo}/swarm.toml:2: providers.anthropic.input_price changes what counts towards budgets in USD",
        f"{home.repo}/swarm.toml:4: budget.ceiling_price changes what counts towards budgets in USD",
    )


def test_a_repos_file_that_raises_machine_limits_causes_a_warning(home: Home) -> None:
    home.own.write_text("[sandbox]\nswarm_cpu = 2\n")
    home.in_repo(
        '[sandbox]\nmemory = "512GiB"\nswarm_memory = "1TB"\nprocesses = 64\ncpu = "2h"\ndisk = "1GiB"\n'
        'swarm_disk = "auto"\nswarm_cpu = 0\n'
    )
    assert load_settings(home.repo, home.environ).warnings == (
        f"{home.repo}/swarm.toml:2: sandbox.memory = 512GiB raises your limit of 4GiB",
        f"{home.repo}/swarm.toml:3: sandbox.swarm_memory = 1TB raises your limit of auto",
        f"{home.repo}/swarm.toml:5: sandbox.cpu = 2h raises your limit of 1h",
        f"{home.repo}/swarm.toml:8: sandbox.swarm_cpu = 0 raises your limit of 2",
    )


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
