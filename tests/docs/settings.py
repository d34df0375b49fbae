"""The tables of docs/settings.md: names and defaults from the settings' types, meanings from swarm.toml's template."""

import re
from importlib.resources import files

import msgspec

from engine.domain.settings import ProviderSettings, Settings
from tests.docs.markdown import cell, table

PROVIDER = "providers.openai-chat"
"""The section of one provider, as an example for all."""
SECTIONS = tuple(
    PROVIDER if name == "providers" else name
    for name in Settings.__struct_fields__
    if isinstance(getattr(Settings(), name), msgspec.Struct | dict) and name != "keys"
)
API_KEY_ENV = "the environment variable that holds the API key; empty: the provider's usual one"
"""Not in the template, because a repository may not set it."""
_SECTION = re.compile(r"\[([\w.-]+)\]")
_SETTING = re.compile(r"# (\w+) = .*?\S +# (.+)")


def meanings() -> dict[tuple[str, str], str]:
    """What the template says about each setting, by section and key."""
    found = {(PROVIDER, "api_key_env"): API_KEY_ENV}
    section = ""
    for line in (files("tui") / "templates" / "swarm.toml").read_text(encoding="utf-8").splitlines():
        if named := _SECTION.fullmatch(line):
            section = named[1]
        elif setting := _SETTING.fullmatch(line):
            found[section, setting[1]] = setting[2]
    return found


def settings_table(section: str) -> str:
    """The settings of a section, with their defaults. Raises KeyError for one that the template does not explain."""
    said = meanings()
    defaults = ProviderSettings() if section == PROVIDER else getattr(Settings(), section)
    rows = [
        (f"`{key}`", f"`{_toml(value)}`", cell(said[section, key]))
        for key in defaults.__struct_fields__
        if not isinstance(value := getattr(defaults, key), dict)
    ]
    return table(("setting", "default", "meaning"), rows)


def _toml(value: object) -> str:
    return "none" if value is None else msgspec.json.encode(value).decode().replace('","', '", "')
