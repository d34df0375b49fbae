"""apply_patch: change, add and delete several files of the agent's copy with one patch."""

import posixpath
from contextlib import suppress
from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.os_text import utf8_text
from engine.domain.text_edits import EditFailed
from engine.domain.text_file import TextFile
from engine.domain.text_patch import FilePatch, parse, patched
from engine.ports.protocols import Workspace, WorkspaceError
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    patch: Annotated[str, Meta(description="The whole patch.")]


class Files:
    """The files that a patch touches, as they are and as they will be; None where there is no file."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._before: dict[str, bytes | None] = {}
        self._after: dict[str, bytes | None] = {}

    async def change(self, each: FilePatch) -> str:
        """Take the change of one file in, and say it. Raises EditFailed or WorkspaceError."""
        path = posixpath.normpath(each.path.removeprefix(f"{self._workspace.root}/"))
        if each.to:
            raise EditFailed(f"a patch moves no file: run `mv {each.path} {each.to}`, then patch {each.to}")
        if each.action == "add":
            if await self._is_there(path):
                raise EditFailed(f"{path} exists already: use `*** Update File: {path}`")
            self._after[path] = await self._workspace.encode_new(path, utf8_text(each.content))
            return f"added {path}"
        content = await self._read(path)
        if each.action == "delete":
            self._after[path] = None
            return f"deleted {path}"
        file = TextFile.read(content)
        line_end = "\n" if file.ends else TextFile.read(await self._workspace.encode_new(path, "\n")).ends[0]
        self._after[path] = patched(file, path, each.hunks, line_end).encode()
        return f"edited {path} ({len(each.hunks)})"

    async def _read(self, path: str) -> bytes:
        if path not in self._before:
            self._before[path] = await self._workspace.read_file(path)
        content = self._after.get(path, self._before[path])
        if content is None:
            raise EditFailed(f"there is no {path}: it was deleted before in the patch")
        return content

    async def _is_there(self, path: str) -> bool:
        """Whether a file is there, as far as the patch goes. Raises WorkspaceError for what is no readable file."""
        if path not in self._before:
            try:
                self._before[path] = await self._workspace.read_file(path)
            except WorkspaceError as error:
                if not error.nothing_there:
                    raise
                self._before[path] = None
        return self._after.get(path, self._before[path]) is not None

    async def write(self) -> tuple[str, ...]:
        """Write all, or leave everything as it was. Returns the paths. Raises WorkspaceError."""
        written: list[str] = []
        try:
            for path in sorted(self._after, key=self._late):
                written.append(path)
                await self._put(path, self._after[path])
        except WorkspaceError:
            for path in reversed(written):
                with suppress(WorkspaceError):  # the others are put back all the same
                    await self._put(path, self._before[path])
            raise
        return tuple(self._after)

    def _late(self, path: str) -> bool:
        """Whether a file is deleted, and no folder takes its place: what is deleted loses more than its content."""
        return self._after[path] is None and not any(other.startswith(f"{path}/") for other in self._after)

    async def _put(self, path: str, content: bytes | None) -> None:
        if content is None:
            await self._workspace.remove_file(path)
        else:
            await self._workspace.write_file(path, content)


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    files = Files(await context.workspace())
    try:
        said = [await files.change(each) for each in parse(arguments.patch)]
        paths = await files.write()
    except (EditFailed, WorkspaceError) as error:
        return refused(f"nothing changed: {error}")
    left_out = [await context.left_out(path) for path in paths]
    return Answer("\n".join(said) + "".join(left_out), paths=paths)


def _target(arguments: Arguments) -> str:
    with suppress(EditFailed):
        return ", ".join(each.path for each in parse(arguments.patch))
    return ""


TOOL = Tool("apply_patch", Arguments, call, writes=True, target=_target)
