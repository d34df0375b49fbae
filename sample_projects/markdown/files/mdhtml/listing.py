"""The names of all rules, for `--without` and `--with`."""

import argparse

from mdhtml import blocks, inlines, passes
from mdhtml.rules import load


def listing() -> str:
    """One rule a line: its name, and whether it must be asked for."""
    rules = [
        *load("mdhtml.blocks", blocks.RULES),
        *load("mdhtml.inlines", inlines.RULES),
        *load("mdhtml.passes", passes.RULES),
    ]
    return "".join(f"{rule.name}{' (on request)' if rule.optional else ''}\n" for rule in rules)


class ListRules(argparse.Action):
    """Prints the rules and ends the program, as `--help` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(listing(), end="")
        parser.exit()
