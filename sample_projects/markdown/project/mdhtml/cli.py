"""The command line: reads a file or the standard input, writes HTML."""

import argparse
from pathlib import Path
from typing import TextIO

from mdhtml.convert import convert
# more imports, one a line in any order


def main(argv: list[str], source: TextIO, out: TextIO) -> int:
    parser = argparse.ArgumentParser(prog="mdhtml", description="Markdown to HTML.")
    parser.add_argument("file", nargs="?", type=Path, help="default: the standard input")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="take a rule away")
    parser.add_argument("--with", dest="extra", action="append", default=[], metavar="NAME", help="add an optional rule")
    # more options, one a line in any order

    arguments = parser.parse_args(argv)
    text = arguments.file.read_text(encoding="utf-8") if arguments.file else source.read()
    result = convert(text, arguments.without, arguments.extra)
    # what is made of the result, one a line in any order

    out.write(result)
    return 0
