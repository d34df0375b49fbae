"""Connects the actions of the registry to the methods that run them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from tui.input.actions_and_keys import BY_ID

Method = TypeVar("Method", bound=Callable[[Any], None])


def handles(id: str) -> Callable[[Method], Method]:
    """Marks the method that runs an action. Raises KeyError for an id that is not in the registry."""
    action = BY_ID[id]

    def mark(method: Method) -> Method:
        method.__dict__["handles"] = action.id
        return method

    return mark


class ActionHandler:
    """Runs actions with its own methods and with those of its controllers."""

    HANDLERS: ClassVar[Mapping[str, str]] = {}
    """For each action that the class runs, the name of the method, which a subclass may override."""
    controllers: Sequence["ActionHandler"] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        inherited = {id: name for base in reversed(cls.__mro__) for id, name in vars(base).get("HANDLERS", {}).items()}
        marked = {method.handles: name for name, method in vars(cls).items() if hasattr(method, "handles")}
        cls.HANDLERS = inherited | marked

    def handler_of(self, id: str) -> Callable[[], None] | None:
        """The bound method that runs the action; None if there is none."""
        for handler in (self, *self.controllers):
            if id in handler.HANDLERS:
                method: Callable[[], None] = getattr(handler, handler.HANDLERS[id])
                return method
        return None


def require_handlers() -> None:
    """Raises LookupError for an action of the registry that no class runs."""
    handled = {id for handler in _subclasses(ActionHandler) for id in handler.HANDLERS}
    if missing := BY_ID.keys() - handled:
        raise LookupError(f"no class runs {', '.join(sorted(missing))}")


def _subclasses(cls: type[ActionHandler]) -> Iterator[type[ActionHandler]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
