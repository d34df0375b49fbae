"""The commented swarm.toml: made from the settings' types, so that it names every key and says the truth."""

import re
import tomllib
from typing import Any

import msgspec
import pytest

from engine.config.kinds import NAMES, KeyPath, Kind, key_paths, kind_at, repo_rule_at
from engine.config.template import WIDTH, settings_template
from engine.config.validate import Source, check
from engine.domain.setting_types import OwnerOnly
from engine.domain.settings import Settings

ALLOWED = [path for path in key_paths() if not isinstance(repo_rule_at(path), OwnerOnly)]


def uncommented(text: str) -> dict[str, Any]:
    return tomllib.loads(re.sub(r"^# +(?=\w+ = |\[[\w.\"/-]+\]$)", "", text, flags=re.MULTILINE))


def value_at(values: Any, path: KeyPath) -> Any:
    for part in path:
        values = values[part]
    return values


def test_without_its_comments_the_template_sets_nothing() -> None:
    sections = tomllib.loads(settings_template({}))
    assert not any(sections.values())
    assert msgspec.convert(sections, Settings) == Settings()


def test_the_template_sets_the_chosen_keys() -> None:
    assert tomllib.loads(settings_template({("repo", "check"): 'make "test"'}))["repo"] == {"check": 'make "test"'}


@pytest.mark.parametrize(
    "path", [path for path in ALLOWED if not any(path[: len(at)] == at for at in NAMES)], ids=".".join
)
def test_the_template_shows_the_example_or_default_of_a_key(path: KeyPath) -> None:
    written = uncommented(settings_template({}))
    kind = kind_at(path)
    shown = kind.examples[0] if kind.examples else value_at(msgspec.to_builtins(Settings()), path)
    assert value_at(written, path) == (list(shown) if isinstance(shown, tuple) else shown)


def test_the_template_names_every_key_that_a_repos_file_may_set() -> None:
    written = uncommented(settings_template({}))
    assert set(written["budget"]["role"]["worker"]) == {
        path[-1] for path in ALLOWED if path[:-1] == ("budget", "role", "worker")
    }
    assert set(written["budget"]["subtree"]) == {"root/parser"}


def test_the_template_names_nothing_that_a_repos_file_may_not_set() -> None:
    written = uncommented(settings_template({}))
    for path in set(key_paths()) - set(ALLOWED):
        section = written
        for part in path[:-1]:
            section = section.get(part, {})
        assert path[-1] not in section


def test_the_uncommented_template_is_valid_in_a_repos_file() -> None:
    check(Source("template", uncommented(settings_template({})), lambda path: "template", trusted=False))


def test_every_setting_has_a_description_and_fits_the_template() -> None:
    def described(kind: Kind) -> None:
        for name, part in kind.fields.items():
            assert re.fullmatch(r"[A-Z].*[.]", part.description), name
            if part.is_section or (part.is_table and part.item.is_section):
                described(part if part.is_section else part.item)

    described(kind_at(()))
    assert all(len(line) <= WIDTH for line in settings_template({}).splitlines())
