"""Removes a person's comments from an intent before agents get it."""

import re

_COMMENT_OR_CODE = re.compile(
    r"(?P<code>^(?P<fence>```+|~~~+).*?(?:^(?P=fence)|\Z)|`[^`\n]*`)|<!--.*?-->", re.MULTILINE | re.DOTALL
)


def without_comments(text: str) -> str:
    """The text without HTML comments, except for those in code."""
    kept = _COMMENT_OR_CODE.sub(lambda found: found["code"] or "", text)
    return re.sub(r"\n[ \t]*(?:\n[ \t]*)+\n", "\n\n", kept).strip()
