"""The types of settings: what each accepts beyond its Python type, and what a repository's file may do with it.

A repository's `swarm.toml` travels with the repository, so someone else may have written it.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import ROOT
from engine.domain.units import duration_s, size_bytes

MOST = 10**15
"""The largest number that any setting accepts: a larger one is a typing mistake."""
CACHES = (
    "~/.cargo/registry",
    "~/.cargo/git",
    "~/go/pkg/mod",
    "~/.m2/repository",
    "~/.npm/_cacache",
    "~/.cache/pip",
    "~/.cache/uv",
)
"""Folders that hold only what package managers downloaded: a repository may ask to have them readable."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Accepts(Struct, frozen=True):
    """On a type: accepts text for which `check` does not raise SwarmError (settings)."""

    check: Callable[[str], object]


class OwnerOnly(Struct, frozen=True):
    """On a field: a repository's file may not set it, for this `reason`, except to values that `unless` accepts."""

    reason: str
    unless: Callable[[Any], bool] | None = None


class MachineLimit(Struct, frozen=True):
    """On a type: a limit on what commands may use of the machine. A repository's file that raises it causes a warning.

    `amount` gives a value's size, to tell a higher limit from a lower one.
    """

    amount: Callable[[Any], float] = float


class SetsCost(Struct, frozen=True):
    """On a type: decides what tokens cost, and so what budgets in USD allow. A repository's file that sets it causes a
    warning.
    """


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


def _repo_path(text: str) -> None:
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise _refused(
            f"'{text[:80]}' is not a path inside the repo", 'write a path from the top of the repo, such as "INTENT.md"'
        )


def _web_address(text: str) -> None:
    try:
        parts = urlsplit(text)
    except ValueError:  # a bracket without its pair
        parts = urlsplit("")
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise _refused(f"'{text[:80]}' is not a web address", 'write one such as "http://127.0.0.1:8080/v1"')
    if parts.username or parts.password or parts.query:
        raise _refused("an address cannot contain a key or password", "name the key's variable with api_key_env")


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


def is_this_machine(address: str) -> bool:
    return not address or urlsplit(address).hostname in ("127.0.0.1", "::1", "localhost")


def are_caches(folders: tuple[str, ...]) -> bool:
    return all(
        ".." not in folder.split("/") and any(folder == cache or folder.startswith(f"{cache}/") for cache in CACHES)
        for folder in folders
    )


Count = Annotated[int, Meta(ge=0, le=MOST)]
Positive = Annotated[int, Meta(ge=1, le=MOST)]
Amount = Annotated[float, Meta(ge=0, le=MOST)]
Price = Annotated[float, Meta(ge=0, le=MOST), SetsCost()]
"""USD per million tokens."""
Duration = Annotated[str, Accepts(duration_s)]
"""A duration such as `8h` or `10m30s`."""
OptionalDuration = Annotated[str, Accepts(lambda text: text and duration_s(text))]
"""A duration, or empty for none."""
Size = Annotated[str, Accepts(size_bytes)]
"""A size such as `4GiB` or `64MB`."""
SizeLimit = Annotated[Size, MachineLimit(size_bytes)]
AutoSizeLimit = Annotated[
    str,
    Accepts(lambda text: text == "auto" or size_bytes(text)),
    MachineLimit(lambda text: 0 if text == "auto" else size_bytes(text)),
]
"""A size, or `auto`: chosen for the machine, which counts as lower than any size that is written down."""
SlotCount = Annotated[str, Accepts(_slots)]
"""`auto` or a number in quotes."""
Names = tuple[Annotated[str, Accepts(_file_name)], ...]
"""Names of files or folders, or globs, without a path."""
RepoPath = Annotated[str, Accepts(_repo_path)]
WebAddress = Annotated[str, Accepts(_web_address)]
VariableName = Annotated[str, Accepts(_variable_name)]
PlannerPath = Annotated[str, Accepts(_planner_path)]
LevelChoice = Literal["auto", "strict", "full", "namespaced", "restricted", "off"]
CopyChoice = Literal["auto", "overlay", "reflink", "checkout"]
