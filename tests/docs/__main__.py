"""Rewrites the generated parts of docs/: `make docs`."""

import sys

from tests.docs.pages import pages, written

for page in pages():
    if (text := written(page)) != page.read_text(encoding="utf-8"):
        page.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {page}\n")
