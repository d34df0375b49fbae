"""Autolinks: addresses in angle brackets, of the web and of mail."""

import re

from mdhtml.context import Context
from mdhtml.nodes import Element, Text
from mdhtml.rules import Found, InlineRule

WEB = re.compile(r"<([a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\s<>]*)>")
MAIL = re.compile(r"<([\w.+-]+@[\w-]+(?:\.[\w-]+)+)>")


def parse(text: str, at: int, context: Context) -> Found:
    web, mail = WEB.match(text, at), MAIL.match(text, at)
    if web:
        return (Element("a", (Text(web[1]),), {"href": web[1]}),), web.end()
    if mail:
        return (Element("a", (Text(mail[1]),), {"href": f"mailto:{mail[1]}"}),), mail.end()
    return None


RULE = InlineRule("autolinks", 30, "<", parse)
