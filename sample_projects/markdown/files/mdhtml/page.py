"""A whole HTML page around the converted text."""

import html

PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
</head>
<body>
{body}</body>
</html>
"""


def page(body: str, title: str) -> str:
    return PAGE.format(title=html.escape(title, quote=False), body=body)
