"""What is vague or missing in an intent, by rules: for people without a model, before money is spent. Pure."""

import re

from msgspec import Struct


class Remark(Struct, frozen=True):
    """One remark, `kind` vague or missing. `line` counts from 1 in the text as agents are told it; 0: of the whole."""

    kind: str
    line: int
    text: str
    hint: str


class _Part(Struct, frozen=True):
    """What a good intent says somewhere: known by its words."""

    pattern: str
    missing: str
    hint: str


_PARTS = (
    _Part(
        r"\bdone\b.*\b(?:means|is|when)|\bacceptance\b|\bmust pass\b|\bpasses\b|`[^`\n]*\btest[^`\n]*`",
        "it does not say when it is done",
        "a command that passes, or an output to compare with, tells everyone the same",
    ),
    _Part(r"\d", "it holds no number", "say 5 to 30 tests, 100 ms, 2 GB: many, fast and thorough differ by reader"),
    _Part(
        r"\bdependenc|\bstandard library\b|\bstdlib\b|\blibrar|\bpackages?\b|\bcrates?\b|\bthird[- ]party\b",
        "it says nothing of dependencies",
        "standard library only, or what may be added and by which measure",
    ),
    _Part(
        r"\b(?:do not|don't|never|must not|no longer|without|not wanted|out of scope|avoid)\b|^\W*no \w+",
        "it does not say what not to do",
        "constraints steer better than instructions: what has to stay, what nobody should begin",
    ),
    _Part(
        r"\b\d[\d.,]*\s*(?:ms|s|seconds?|minutes?|[KMGT]i?B|MB|GB|fps|rps|requests|%)(?!\w)|\bO\(|\bspeed\b|\bperforman",
        "it sets no bounds on time or memory",
        "how long it may take on how much input, or that speed does not matter",
    ),
    _Part(
        r"`[^`\n]+`|\b[\w./-]+\.(?:py|rs|go|ts|js|c|h|cpp|java|md|toml|json|txt)\b|\b\w+/\w+",
        "it names no file, command or example",
        "the entry point, the module that is the model for new ones, a sample input with its output",
    ),
)
_VAGUE = {
    r"fast|quick(?:ly)?|performant|efficient(?:ly)?|scalable|lightweight": "how fast, how large: give a number",
    r"many|several|some|a few|various|lots of|enough|thorough(?:ly)?|comprehensive(?:ly)?": "how many: give a range",
    r"robust|reliable|solid|stable|production[- ]ready|high[- ]quality": "against what: name the failures",
    r"user[- ]friendly|intuitive|nice|beautiful|clean|elegant|modern|simple|good|better": "say what one sees or can do",
    r"etc\.?|and so on|and more|or similar|as needed|if necessary|properly": "list it, or say who decides",
    r"improve|optimi[sz]e|enhance|refactor|clean up|modernise|modernize": "from what to what: name the end state",
    r"TBD|TODO|FIXME|to be decided|\?\?\?": "decide it now, or say who does",
}
_SHORT = 40
"""Words below which an intent leaves nearly everything to chance."""
_LONG = 3_000
"""Words above which no planner keeps all of it in mind."""


def lint(text: str) -> tuple[Remark, ...]:
    """Remarks on an intent without its comments: what is missing first, then what is vague, in its order."""
    words = len(text.split())
    remarks = []
    if words < _SHORT:
        remarks.append(Remark("missing", 0, f"it has {words} words", "what is not said, nobody will guess"))
    elif words > _LONG:
        remarks.append(
            Remark("vague", 0, f"it has {words} words", "keep it to a few pages; details belong into the repo")
        )
    for part in _PARTS:
        if not re.search(part.pattern, text, re.IGNORECASE | re.MULTILINE):
            remarks.append(Remark("missing", 0, part.missing, part.hint))
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        code ^= line.lstrip().startswith(("```", "~~~"))
        if code:
            continue
        plain = re.sub(r"`[^`]*`", "", line)
        for pattern, hint in _VAGUE.items():
            for found in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", plain, re.IGNORECASE):
                if not re.search(r"\d", plain):  # a number in the same line says what is meant
                    remarks.append(Remark("vague", number, f"“{found[0]}”", hint))
    return tuple(remarks)
