"""A row of a table as its cells. A bar that is escaped, or stands in a code span, divides nothing."""

import re

PIECE = re.compile(r"\\\|| (?:(`+)(?!`).+?(?<!`)\1(?!`)) | \|", re.VERBOSE)


def cells(row: str) -> list[str]:
    """The cells of one row, without the blanks around them and with `\\|` as `|`."""
    row = row.strip()
    found: list[str] = []
    start = 0
    for match in PIECE.finditer(row):
        if match[0] == "|":
            found.append(row[start : match.start()])
            start = match.end()
    found.append(row[start:])
    if row.startswith("|"):
        found = found[1:]
    if found and not found[-1].strip() and row.endswith("|"):
        found = found[:-1]
    return [cell.strip().replace("\\|", "|") for cell in found]
