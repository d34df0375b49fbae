"""The types of settings: what each accepts beyond its Python type, and what a repository's file may do with it.

A repository's `swarm.toml` travels with the repository, so someone else may have written it.
"""

import re
from collections.abc import Callable
from ipaddress import ip_address
from math import inf, nan
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import ROOT
from engine.domain.units import duration_s, size_bytes

MOST = 10**15
"""The largest number that any setting accepts: a larger one is a typing mistake."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Accepts(Struct, frozen=True):
    """On a type: accepts text for which `check` does not raise SwarmError (settings)."""

    check: Callable[[str], object]


class AnyValue(Struct, frozen=True):
    """On a field: a repository's file may set it: a name of something in it, or a command that runs contained."""


class OnlyLower(Struct, frozen=True):
    """On a field or its type: a limit. A value in a repository's file counts only if it is lower than the one in force.

    `amount` gives a value's size: infinity for "no limit", and NaN for a value that cannot be compared with others.
    """

    amount: Callable[[Any], float] = float

    def allows(self, value: Any, in_force: Any) -> bool:
        return bool(value == in_force or self.amount(value) <= self.amount(in_force))


class OwnerOnly(Struct, frozen=True):
    """On a field or section: a repository's file may not set it, for this `reason`."""

    reason: str


RepoRule = AnyValue | OnlyLower | OwnerOnly
"""What a repository's file may do with a setting. Each setting, or a section around it, has one such mark."""
UNCLASSIFIED = OwnerOnly("only you may set it")
"""What holds for a setting without a mark."""


def _refused(message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.SETTINGS, message, hint)


def _slots(text: str) -> None:
    if text != "auto" and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise _refused(
            f"'{text[:80]}' is neither auto nor a number of slots", 'write "auto" or a number in quotes, such as "4"'
        )


def _file_name(text: str) -> None:
    if not text or "/" in text.rstrip("/"):
        raise _refused(f"'{text[:80]}' is not a name", 'write a name or glob without a path, such as "target"')


def _pattern(text: str) -> None:
    # Of what a .gitignore can hold, only what names files; ranges in brackets may be wrong in too many ways.
    if not text.strip(" /") or text[0] in "#!" or any(character in "[]\\" for character in text):
        raise _refused(f"'{text[:80]}' is not a pattern", 'write names, with * ? or ** for any part, such as "*.csv"')


def _home_folder(text: str) -> None:
    if {"", ".", "..", "~"} & set(text.removeprefix("~/").removesuffix("/").split("/")):
        raise _refused(
            f"'{text[:80]}' is not a path in the home of commands", 'write a path below it, such as ".cargo/registry"'
        )


def _repo_path(text: str) -> None:
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise _refused(
            f"'{text[:80]}' is not a path inside the repo", 'write a path from the top of the repo, such as "INTENT.md"'
        )


def check_web_address(text: str) -> None:
    """Raises SwarmError (settings) for text that is no web address, or has a password in it."""
    try:
        parts = urlsplit(text)
    except ValueError:  # a bracket without its pair
        parts = urlsplit("")
    if "@" in (parts.netloc or text) or parts.query:
        raise _refused("an address cannot contain a key or password", "name the key's variable with api_key_env")
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise _refused(f"'{text[:80]}' is not a web address", 'write one such as "http://127.0.0.1:8080/v1"')


def is_this_machine(address: str) -> bool:
    """Whether a web address names this machine, so that nothing sent there leaves it."""
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _variable_name(text: str) -> None:
    if text and not _VARIABLE.fullmatch(text):
        raise _refused(
            "not the name of a variable", "name the environment variable that holds the key, such as OPENAI_API_KEY"
        )


def _planner_path(text: str) -> None:
    if text != ROOT and not text.startswith(f"{ROOT}/"):
        raise _refused(
            f"'{text[:80]}' is not the path of a planner", 'write one such as [budget.subtree."root/parser"]'
        )


Count = Annotated[int, Meta(ge=0, le=MOST)]
Positive = Annotated[int, Meta(ge=1, le=MOST)]
Amount = Annotated[float, Meta(ge=0, le=MOST)]
Price = Annotated[float, Meta(ge=0, le=MOST)]
"""USD per million tokens."""
Limit = Annotated[Positive, OnlyLower()]
OptionalLimit = Annotated[Count, OnlyLower(lambda number: number or inf)]
"""A limit; 0 means none."""
OptionalAmount = Annotated[Amount, OnlyLower(lambda amount: amount or inf)]
"""A limit; 0 means none."""
Duration = Annotated[str, Accepts(duration_s)]
"""A duration such as `8h` or `10m30s`."""
OptionalDuration = Annotated[str, Accepts(lambda text: text and duration_s(text))]
"""A duration, or empty for none."""
TimeLimit = Annotated[Duration, OnlyLower(duration_s)]
OptionalTimeLimit = Annotated[OptionalDuration, OnlyLower(lambda text: duration_s(text) if text else inf)]
Size = Annotated[str, Accepts(size_bytes)]
"""A size such as `4GiB` or `64MB`."""
SizeLimit = Annotated[Size, OnlyLower(size_bytes)]
AutoSizeLimit = Annotated[
    str,
    Accepts(lambda text: text == "auto" or size_bytes(text)),
    OnlyLower(lambda text: nan if text == "auto" else size_bytes(text)),
]
"""A size, or `auto`: chosen for the machine, so nobody knows here whether a size is lower."""
SlotCount = Annotated[str, Accepts(_slots), OnlyLower(lambda text: nan if text == "auto" else int(text))]
"""`auto` or a number in quotes."""
Names = tuple[Annotated[str, Accepts(_file_name)], ...]
"""Names of files or folders, or globs, without a path."""
HomeFolders = tuple[Annotated[str, Accepts(_home_folder)], ...]
Patterns = tuple[Annotated[str, Accepts(_pattern)], ...]
"""Patterns as in a `.gitignore`."""
RepoPath = Annotated[str, Accepts(_repo_path)]
WebAddress = Annotated[str, Accepts(check_web_address)]
VariableName = Annotated[str, Accepts(_variable_name)]
PlannerPath = Annotated[str, Accepts(_planner_path)]
LevelChoice = Literal["auto", "strict", "full", "namespaced", "restricted", "off"]
QuestionChoice = Literal["ask", "assume"]
CopyChoice = Literal["auto", "overlay", "reflink", "checkout"]
