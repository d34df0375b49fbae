"""Sizes as settings write them: `4GiB`, `64MiB`, `512k` or plain bytes."""

import re

from engine.errors import ErrorKind, SwarmError

UNITS = {"": 1, "k": 10, "m": 20, "g": 30, "t": 40}


def parse_size(text: str, name: str) -> int:
    """Bytes; units are powers of 1024. Raises SwarmError (settings) naming the setting."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if found is None:
        raise SwarmError(ErrorKind.SETTINGS, f"{name}: {text!r} is not a size", "write it like 512MiB or 4GiB")
    unit = UNITS[found[2]]
    return int(float(found[1]) * (1 << unit if unit > 1 else 1))
