"""The pages of docs/: where they are, and which topics there are."""

from pathlib import Path

from tui.bridge import ErrorKind, SwarmError

PACKAGE = Path(__file__).parent.parent


def docs_folder() -> Path:
    """The pages: beside this package in a checkout, inside it once installed. Raises SwarmError (state)."""
    for folder in (PACKAGE / "docs", PACKAGE.parent / "docs"):
        if folder.is_dir():
            return folder
    message = "the documentation is missing from this installation"
    raise SwarmError(ErrorKind.STATE, message, "reinstall swarm-tui")


def topics() -> list[str]:
    """The names of the pages, without their ending."""
    return sorted(file.stem for file in docs_folder().glob("*.md"))


def read_page(name: str) -> str:
    """The text of a file in the folder. Raises SwarmError (state)."""
    return (docs_folder() / name).read_text(encoding="utf-8")
