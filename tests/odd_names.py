"""Names that a file system allows and that programs trip over."""

import random

ODD = (
    b"latin\xe9.txt",
    b"\xed\xa0\x80 lone surrogate",
    b"half \xe2\x82",
    b"line\nbreak",
    b"carriage\rreturn",
    b"tab\there",
    b"\x1b[31mred\x1b[0m",
    b"bell\x07 and delete\x7f",
    "right\u202eto left.txt".encode(),
    "zero\u200bwidth".encode(),
    "no\u00a0break".encode(),
    "caf\u00e9.txt".encode(),
    "cafe\u0301.txt".encode(),
    "\u212b\u00c5.txt".encode(),
    "\U0001f469\u200d\U0001f4bb.txt".encode(),
    "\u2764\ufe0f.txt".encode(),
    "日本語.txt".encode(),
    b"back\\slash",
    b"literal \\xe9",
    b"literal \\x5c\\n",
    b" leading",
    b"trailing ",
    b"two  spaces",
    b"-n",
    b"*[a]?{b}",
    b"quote' and \" and `",
    b"a:1: b",
    b"x" * 255,
    b"\xe9" * 255,
)
_PIECES = (*ODD[1:3], b"\\", b"x", b"e9", b"5c", b" ", b"\n", b"\xc3", b"\xa9", "\u0301".encode(), "\u0323".encode())


def random_names(seed: int, count: int) -> list[bytes]:
    """Different names of random bytes and of pieces that combine in odd ways, such as escapes of escapes."""
    draw = random.Random(seed)
    names: dict[bytes, None] = {}
    while len(names) < count:
        raw = bytes(draw.randrange(1, 256) for _ in range(draw.randint(1, 40))).replace(b"/", b"")
        name = draw.choice((raw, b"".join(draw.choices(_PIECES, k=draw.randint(1, 8)))))
        if name not in (b"", b".", b".."):
            names[name] = None
    return list(names)
