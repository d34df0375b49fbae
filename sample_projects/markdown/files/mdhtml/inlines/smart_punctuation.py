"""Smart punctuation, on request: curled quotes, dashes and the ellipsis."""

from mdhtml.context import Context
from mdhtml.nodes import Text
from mdhtml.rules import Found, InlineRule


SIGNS = {"...": "\u2026", "---": "\u2014", "--": "\u2013"}


def parse(text: str, at: int, context: Context) -> Found:
    for sign, meant in SIGNS.items():
        if text.startswith(sign, at):
            return (Text(meant),), at + len(sign)
    if text[at] in ".-":
        return None
    opens = at == 0 or text[at - 1].isspace() or text[at - 1] in "([{\u201c\u2018"
    left, right = ("\u201c", "\u201d") if text[at] == '"' else ("\u2018", "\u2019")
    return (Text(left if opens else right),), at + 1


RULE = InlineRule("smart punctuation", 80, ".-\"'", parse, optional=True)
