"""Finds what is vague or missing in an intent by rules, without a model and before a run costs money. Pure."""

import re

from msgspec import Struct


class Remark(Struct, frozen=True):
    """A remark; `kind` is vague or missing. `line` counts from 1 in the text without comments; 0: the whole text."""

    kind: str
    line: int
    text: str
    hint: str


class _Topic(Struct, frozen=True):
    """Something that a good intent covers, recognised by the words that `pattern` matches."""

    pattern: str
    missing: str
    hint: str


_TOPICS = (
    _Topic(
        r"\bdone\b.*\b(?:means|is|when)|\bacceptance\b|\bmust pass\b|\bpasses\b|`[^`\n]*\btest[^`\n]*`",
        "it does not say when it is done",
        "name a command that must pass, or an output to compare with",
    ),
    _Topic(
        r"\d",
        "it contains no number",
        "write 5 to 30 tests, 100 ms or 2 GB: everybody reads “many” and “fast” differently",
    ),
    _Topic(
        r"\bdependenc|\bstandard library\b|\bstdlib\b|\blibrar|\bpackages?\b|\bcrates?\b|\bthird[- ]party\b",
        "it does not mention dependencies",
        "write that only the standard library is allowed, or which dependencies may be added and why",
    ),
    _Topic(
        r"\b(?:do not|don't|never|must not|no longer|without|not wanted|out of scope|avoid)\b|^\W*no \w+",
        "it does not say what not to do",
        "write what has to stay as it is, and what nobody should start: constraints work better than instructions",
    ),
    _Topic(
        r"\b\d[\d.,]*\s*(?:ms|s|seconds?|minutes?|[KMGT]i?B|MB|GB|fps|rps|requests|%)(?!\w)|\bO\(|\bspeed\b|\bperforman",
        "it sets no limit on time or memory",
        "write how long it may take on how much input, or that speed does not matter",
    ),
    _Topic(
        r"`[^`\n]+`|\b[\w./-]+\.(?:py|rs|go|ts|js|c|h|cpp|java|md|toml|json|txt)\b|\b\w+/\w+",
        "it names no file, command or example",
        "name the entry point, a module that new ones should resemble, or an example input with its output",
    ),
)
_VAGUE = {
    r"fast|quick(?:ly)?|performant|efficient(?:ly)?|scalable|lightweight": "write how fast or how large, as a number",
    r"many|several|some|a few|various|lots of|enough|thorough(?:ly)?|comprehensive(?:ly)?": "write a range",
    r"robust|reliable|solid|stable|production[- ]ready|high[- ]quality": "name the failures that it has to survive",
    r"user[- ]friendly|intuitive|nice|beautiful|clean|elegant|modern|simple|good|better": "write what people can do",
    r"etc\.?|and so on|and more|or similar|as needed|if necessary|properly": "list everything, or write who decides",
    r"improve|optimi[sz]e|enhance|refactor|clean up|modernise|modernize": "write what the result should be",
    r"TBD|TODO|FIXME|to be decided|\?\?\?": "decide it now, or write who decides",
}
_SHORT = 40
"""An intent of fewer words leaves nearly everything open."""
_LONG = 3_000
"""An intent of more words is too long for a planner to follow all of it."""


def lint(text: str) -> tuple[Remark, ...]:
    """Remarks on an intent without its comments: first what is missing, then what is vague, in text order."""
    words = len(text.split())
    remarks = []
    if words < _SHORT:
        remarks.append(
            Remark(
                "missing",
                0,
                f"it has only {words} {'word' if words == 1 else 'words'}",
                "say more: agents only know what is written",
            )
        )
    elif words > _LONG:
        remarks.append(
            Remark("vague", 0, f"it has {words} words", "shorten it to a few pages; put details into files in the repo")
        )
    for topic in _TOPICS:
        if not re.search(topic.pattern, text, re.IGNORECASE | re.MULTILINE):
            remarks.append(Remark("missing", 0, topic.missing, topic.hint))
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        code ^= line.lstrip().startswith(("```", "~~~"))
        if code:
            continue
        plain = re.sub(r"`[^`]*`", "", line)
        for pattern, hint in _VAGUE.items():
            for found in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", plain, re.IGNORECASE):
                if not re.search(r"\d", plain):  # a number in the same line makes it precise
                    remarks.append(Remark("vague", number, f"“{found[0]}”", hint))
    return tuple(remarks)
