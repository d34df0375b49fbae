"""Brings a conflict into an agent's workspace, tells the agent about it, and finds what it has not resolved yet."""

from collections.abc import Iterable, Sequence

from engine.agents.landed_meanwhile import difference, landed_between, listed, reasons
from engine.agents.markdown import bullets
from engine.agents.marked_regions import MARKER, is_marked, marked_regions
from engine.agents.past import Past
from engine.domain.events import WorkspaceUpdated
from engine.domain.os_text import path_str, shell_word
from engine.domain.types import CommitId, Landing
from engine.ports.protocols import LandResult, Workspace, WorkspaceError
from engine.runtime.host import Host

YOURS = ".swarm/yours"
"""Folder in a workspace for the agent's version of conflicting files that cannot hold markers; it never lands."""
COPY_S = 60.0
"""Seconds that copying a large file to YOURS may take."""
DETAILS = 2_000
"""Characters kept of what git says about a conflict."""
TOLD = 6_000
"""Characters for the conflicts and trunk's difference together."""
PLAIN_CONFLICT = ("CONFLICT (content): Merge conflict in ", "Auto-merging ")
"""What git says that the list of paths says already."""


async def hand_back(host: Host, workspace: Workspace, result: LandResult) -> None:
    """Put the merge of both sides into the workspace. A file that cannot hold both gets trunk's; the agent's goes into
    YOURS.

    The agent's comes first: if the program dies in between, it is not lost.
    """
    merged = result.merged or result.base
    for path in result.conflicts:
        if not is_marked(await host.trunk.read_file(merged, path) or b""):
            await _keep(workspace, path)
    await workspace.advance(merged, result.base)


async def _keep(workspace: Workspace, path: str) -> None:
    """Copy the agent's version of a file to YOURS. Raises WorkspaceError."""
    kept = f"{YOURS}/{path}"
    try:
        await workspace.write_file(kept, await workspace.read_file(path))
    except WorkspaceError as error:
        if error.nothing_there:
            return  # the agent has deleted it
        # It is a folder, a link that leads out, or too large to be read at once.
        folder, source, target = map(shell_word, map(path_str, (kept.rpartition("/")[0], path, kept)))
        command = f"mkdir -p -- {folder} && rm -rf -- {target} && cp -a -- {source} {target}"
        output = await workspace.run(command, COPY_S, lambda _: None)
        if output.exit != 0:
            raise WorkspaceError(f"cannot keep your version of {path} in {kept}: {output.text}") from error


async def conflict(host: Host, workspace: Workspace, found: LandResult | Landing | WorkspaceUpdated) -> str:
    """What an agent is told about the conflict in its workspace."""
    paths = found.conflicts
    parts = [
        host.prompts["conflict"].render(paths=bullets(paths)),
        _unmarked(paths, await still_marked(workspace, paths)),
        _details(found.reason),
        await other_side(host, workspace, found.since, paths),
    ]
    return "\n\n".join(filter(None, parts))


async def other_side(host: Host, workspace: Workspace, since: CommitId | None, paths: Sequence[str]) -> str:
    """The conflicts in these files of the workspace; what landed in them since a commit of trunk, why, and how trunk
    changed there; then what landed in other files of the change.

    The workspace is at the newest trunk and holds the conflict.
    """
    landed = await landed_between(host, since, workspace.base, workspace)
    own = set(await workspace.changed()).difference(paths)
    others = [each for each in landed if each.touches(own) and not each.touches(paths)]
    regions = marked_regions({path: await workspace.read_file(path) for path in await still_marked(workspace, paths)})
    named = {
        "Conflicts in your copy": regions.text,
        "What landed meanwhile in these files, newest first": reasons(landed, paths),
        "How trunk changed there": await difference(
            host, workspace, since, paths, MARKER, room=TOLD - len(regions.text), shown=regions.whole
        ),
        "What landed in other files of the change, without a conflict": listed(others, own),
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in named.items() if text)


def _unmarked(paths: Iterable[str], marked: list[str]) -> str:
    """Where the agent's version is of files that could not hold both sides."""
    unmarked = ", ".join(path for path in paths if path not in marked)
    about = f"Without markers (binary, or deleted on one side; your version is below `{YOURS}`)"
    return f"{about}: {unmarked}" if unmarked else ""


def _details(reason: str) -> str:
    """What git says about a conflict beyond the paths."""
    lines = [line for line in reason.splitlines() if line.strip() and not line.startswith(PLAIN_CONFLICT)]
    return "Git's report:\n" + "\n".join(lines)[:DETAILS] if lines else ""


def untold_conflict(past: Past | None, workspace: Workspace | None) -> Landing | None:
    """A conflict that an earlier process found and put into the workspace, but did not tell the agent."""
    if past is None or (landing := past.untold) is None:
        return None
    past.untold = None
    return landing if workspace is not None and workspace.base == landing.base else None


async def still_marked(workspace: Workspace | None, paths: Iterable[str]) -> list[str]:
    """The paths whose files still hold conflict markers."""
    if workspace is None:
        return []
    marked = []
    for path in paths:
        try:
            if is_marked(await workspace.read_file(path)):
                marked.append(path)
        except WorkspaceError:
            continue  # deleted, or not a file any more: that resolves the conflict
    return marked
