"""Takes apart the types of the settings: which keys there are, what each accepts, and how it is marked."""

from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, NewType, TypeVar, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct

from engine.domain.setting_types import UNCLASSIFIED, AnyValue, OnlyLower, OwnerOnly, RepoRule
from engine.domain.settings import Settings
from engine.domain.types import Role
from engine.models.registry import PROVIDERS

KeyPath = tuple[str, ...]
"""A key and the sections it is in, such as `("swarm", "workers")`."""
MarkType = TypeVar("MarkType")

NAMES: dict[KeyPath, tuple[str, ...]] = {("providers",): tuple(PROVIDERS), ("budget", "role"): tuple(Role)}
"""The tables that accept only certain names. Any other table accepts what the type of its names accepts."""


class Kind(Struct, frozen=True):
    """The type of a section or key: as `declared`, as `base` without annotations, and `marks`, the annotations.

    A section is a Struct, a table is a dict with names that people choose; everything else is the value of a key.
    """

    declared: Any
    base: Any
    marks: tuple[Any, ...]

    @property
    def is_section(self) -> bool:
        return isinstance(self.base, type) and issubclass(self.base, Struct)

    @property
    def is_table(self) -> bool:
        return get_origin(self.base) is dict

    @property
    def plain(self) -> Any:
        """The type of a value in TOML: one of bool, int, float, str and `tuple[str, ...]`."""
        if get_origin(self.base) is tuple:
            return tuple[str, ...]
        return str if get_origin(self.base) is Literal or isinstance(self.base, NewType) else self.base

    @property
    def choices(self) -> tuple[str, ...]:
        """All values that the key accepts, where it accepts only some."""
        return get_args(self.base) if get_origin(self.base) is Literal else ()

    @property
    def fields(self) -> dict[str, "Kind"]:
        """What a section holds."""
        return {name: kind_of(declared) for name, declared in get_type_hints(self.base, include_extras=True).items()}

    @property
    def item(self) -> "Kind":
        """What a table or a list holds."""
        return kind_of(get_args(self.base)[1 if self.is_table else 0])

    @property
    def name(self) -> "Kind":
        """The names in a table."""
        return kind_of(get_args(self.base)[0])

    @property
    def least(self) -> float:
        """The lowest number that the key accepts."""
        return next((mark.ge for mark in self.marks if isinstance(mark, Meta) and mark.ge is not None), 0)

    @property
    def description(self) -> str:
        return next((mark.description for mark in self.marks if isinstance(mark, Meta) and mark.description), "")

    @property
    def examples(self) -> list[Any]:
        return next((mark.examples for mark in self.marks if isinstance(mark, Meta) and mark.examples), [])

    @property
    def repo_rule(self) -> RepoRule | None:
        """What a repository's file may do with the key; None if that is said of a section around it."""
        return self.mark(AnyValue) or self.mark(OnlyLower) or self.mark(OwnerOnly)

    def mark(self, kind: type[MarkType]) -> MarkType | None:
        return next((mark for mark in self.marks if isinstance(mark, kind)), None)


def kind_of(declared: Any) -> Kind:
    """A type taken apart. Optional types count as what they hold: TOML has no null."""
    base, marks = declared, ()
    while True:
        if get_origin(base) is Annotated:
            base, *outer = get_args(base)
            marks = (*outer, *marks)
        elif NoneType in (members := get_args(base)):
            [base] = (member for member in members if member is not NoneType)
        else:
            return Kind(declared, base, marks)


ALL = kind_of(Settings)


def kind_at(path: KeyPath) -> Kind:
    """The type of the section or key at a path that exists."""
    kind = ALL
    for part in path:
        kind = kind.fields[part] if kind.is_section else kind.item
    return kind


def repo_rule_at(path: KeyPath) -> RepoRule:
    """What a repository's file may do with the key at a path: the rule of the nearest section that has one."""
    rules = (kind_at(path[:length]).repo_rule for length in range(len(path), 0, -1))
    return next((rule for rule in rules if rule), UNCLASSIFIED)


def key_paths(kind: Kind = ALL, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of all keys whose names are known."""
    if kind.is_section:
        for name, part in kind.fields.items():
            yield from key_paths(part, (*path, name))
    elif kind.is_table:
        for name in NAMES.get(path, ()):
            yield from key_paths(kind.item, (*path, name))
    else:
        yield path
