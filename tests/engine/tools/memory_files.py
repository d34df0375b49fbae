"""A workspace in memory for tests of the file tools."""

from types import SimpleNamespace
from typing import cast

from engine.ports.protocols import WorkspaceError
from engine.tools.tool import ToolContext


class Files:
    """A workspace in memory, whose new files get `line_end`."""

    def __init__(self, files: dict[str, bytes], line_end: bytes = b"\n") -> None:
        self.files = dict(files)
        self.line_end = line_end

    async def read_file(self, path: str) -> bytes:
        if path not in self.files:
            raise WorkspaceError(f"{path}: no such file or folder")
        return self.files[path]

    async def write_file(self, path: str, content: bytes) -> None:
        self.files[path] = content

    async def encode_new(self, path: str, text: str) -> bytes:
        return text.encode().replace(b"\n", self.line_end)


def context(workspace: Files) -> ToolContext:
    async def get() -> Files:
        return workspace

    async def left_out(_: str) -> str:
        return ""

    return cast(ToolContext, SimpleNamespace(workspace=get, left_out=left_out))
