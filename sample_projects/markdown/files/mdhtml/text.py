"""The text of a document without its markup."""

import re
from html import unescape


def without_tags(page: str) -> str:
    """HTML without tags, entities as the characters they stand for."""
    return unescape(re.sub(r"<[^>]*>", "", page))
