"""Handlers tie actions to methods: a missing or misspelt one is an error when the program is imported."""

from collections.abc import Iterator

import pytest

from tui.input import handlers
from tui.input.handlers import ActionHandler, handles, require_handlers


class Tree(ActionHandler):
    def __init__(self) -> None:
        self.done: list[str] = []

    @handles("list.left")
    def go_left(self) -> None:
        self.done.append("left")


class FoldingTree(Tree):
    def go_left(self) -> None:
        self.done.append("fold")

    @handles("agents.fold_all")
    def fold_all(self) -> None:
        self.done.append("fold all")


def test_a_subclass_overrides_the_handlers_of_its_base() -> None:
    tree = FoldingTree()
    for id in ("list.left", "agents.fold_all"):
        do = tree.handler_of(id)
        assert do is not None
        do()
    assert tree.done == ["fold", "fold all"]
    assert Tree().handler_of("agents.fold_all") is None


def test_a_screens_controllers_handle_actions_for_it() -> None:
    screen, tree = ActionHandler(), Tree()
    screen.controllers = (tree,)
    assert screen.handler_of("list.left") == tree.go_left


def test_a_handler_of_an_unknown_action_is_an_error_where_it_is_defined() -> None:
    with pytest.raises(KeyError, match=r"list\.lefft"):
        handles("list.lefft")


def test_an_action_without_a_handler_is_an_error_when_the_app_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_trees(cls: type[ActionHandler]) -> Iterator[type[ActionHandler]]:
        yield from (Tree, FoldingTree)

    monkeypatch.setattr(handlers, "_subclasses", only_trees)
    monkeypatch.setattr(handlers, "BY_ID", {id: handlers.BY_ID[id] for id in ("list.left", "agents.fold_all")})
    require_handlers()
    monkeypatch.setattr(handlers, "BY_ID", dict.fromkeys(("list.left", "list.right", "agents.mark")))
    with pytest.raises(LookupError, match=r"agents\.mark, list\.right"):
        require_handlers()
