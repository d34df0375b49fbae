"""The command line: finds the commands, parses the arguments, calls the one that was asked for."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import TextIO

from notes.commands import COMMANDS
from notes.store import NoSuchNote, Store


def main(argv: list[str], out: TextIO) -> int:
    parser = argparse.ArgumentParser(prog="notes", description="Short notes in one JSON file.")
    parser.add_argument("--file", type=Path, default=Path("notes.json"))
    commands = parser.add_subparsers(dest="command", required=True)
    modules = {name: importlib.import_module(f"notes.commands.{name}") for name in COMMANDS}
    for name in sorted(modules):
        modules[name].configure(commands.add_parser(name, help=modules[name].HELP))
    arguments = parser.parse_args(argv)
    try:
        return modules[arguments.command].run(arguments, Store(arguments.file), out)
    except NoSuchNote as error:
        print(f"notes: there is no note {error.id}", file=sys.stderr)
        return 2
