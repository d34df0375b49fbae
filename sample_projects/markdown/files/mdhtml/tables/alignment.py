"""The line under a table's header, which says how the columns are aligned."""

from __future__ import annotations

import re

COLUMN = re.compile(r"\s*(:?)-+(:?)\s*$")
SIDES = {(":", ""): "left", ("", ":"): "right", (":", ":"): "center", ("", ""): ""}


def alignment(line: str) -> list[str] | None:
    """`left`, `right`, `center` or nothing for each column; None when the line is no such line."""
    inner = line.strip()
    if "|" not in inner or set(inner) - set("|:- "):
        return None
    columns = inner.removeprefix("|").removesuffix("|").split("|")
    matches = [COLUMN.match(column) for column in columns]
    if not all(matches):
        return None
    return [SIDES[match[1], match[2]] for match in matches if match]
