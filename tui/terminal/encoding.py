"""Makes names of files UTF-8 whatever the locale says, and printing never fail. Loads nothing heavy."""

import codecs
import io
import locale
import os
import sys
from pathlib import Path

_WORDS = Path("/proc/self/cmdline")


def require_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, if the locale would make it read names in another encoding.

    Git, agents and the journal read names as UTF-8. Output keeps the locale's encoding, unless that is ASCII, which is
    only what a locale such as C says.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1" or not _WORDS.exists():
        return
    os.environ["PYTHONUTF8"] = "1"
    encoding = codecs.lookup(locale.getpreferredencoding(do_setlocale=False)).name
    if encoding not in ("ascii", "utf-8"):
        os.environ.setdefault("PYTHONIOENCODING", encoding)
    words = _WORDS.read_bytes().split(b"\0")[1:-1]  # `sys.argv` may not encode to what it was decoded from
    os.execv(sys.executable, [os.fsencode(sys.executable), *words])  # noqa: S606 - this program itself


def escape_unprintable() -> None:
    """Let stdout and stderr write an escape for each character that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def paint_in_utf8() -> None:
    """Let the app paint in UTF-8, whatever `PYTHONIOENCODING` says: frames and charts exist in no other encoding."""
    if isinstance(sys.__stderr__, io.TextIOWrapper):
        sys.__stderr__.reconfigure(encoding="utf-8")
