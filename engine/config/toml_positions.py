"""Finds the line of a key in TOML text, because the parser does not give it."""

import re

# A file may come from anybody, so each pattern takes time linear in the length of a line.
_HEADER = re.compile(r"\s*\[{1,2}(?P<name>[^\[\]#]+)\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*(?P<name>(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*="""
)
_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:\.|$)""")
_QUOTES = ('"""', "'''")


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    """The line, counted from 1, that sets the key `path` in valid text, else that of the innermost section around it.

    None if neither has a line. A key in an inline table has the line of the table.
    """
    section: tuple[str, ...] = ()
    best: tuple[int, int | None] = (0, None)
    open_quote = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if open_quote:
            if line.count(open_quote) % 2:
                open_quote = ""
            continue
        here: tuple[str, ...] | None = None
        if (header := _HEADER.match(line)) is not None:
            here = section = _parts(header["name"])
        elif (key := _KEY.match(line)) is not None:
            here = section + _parts(key["name"])
            open_quote = next((quote for quote in _QUOTES if line.count(quote) % 2), "")
        if here is not None and here == path[: len(here)] and len(here) > best[0]:
            best = (len(here), number)
    return best[1]


def _parts(name: str) -> tuple[str, ...]:
    parts: list[str] = []
    at = 0
    while at < len(name) and (found := _PART.match(name, at)) is not None:
        parts.append(next((part for part in found.groups() if part), ""))
        at = found.end()
    return tuple(parts)
