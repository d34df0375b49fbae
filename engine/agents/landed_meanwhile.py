"""What landed on trunk while an agent worked: which changes, why they were made, and how trunk differs in its files.

The texts tell of tasks and commits, never of agents. What planners and agents wrote is quoted.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct, structs

from engine.agents.markdown import bullets
from engine.domain.commit_message import without_names
from engine.domain.patch import FileDiff, FileKind, Hunk, Patch, parse_patch
from engine.domain.types import CommitId, HandoffText, Task
from engine.domain.units import counted
from engine.ports.protocols import Workspace
from engine.runtime.host import Host
from engine.state.snapshot import OVERTAKING, RECENT

SHOWN = 10
"""Characters of a commit id."""
REASONS = 4_000
"""Characters about why the changes were made, for all of them together."""
REASON_MOST = 800
"""Characters of one text."""
REASON_LEAST = 300
"""Characters about one change; so many fewer changes are explained."""
CONTEXT = 3
"""Lines around a change in git's patches."""
LISTED = 40
FILES_NAMED = 5


class Landed(Struct, frozen=True):
    """A commit that landed, its files, the task that it did, and what was handed off with it."""

    commit: CommitId
    paths: tuple[str, ...]
    task: Task
    text: HandoffText | None

    def line(self, first: Collection[str] = ()) -> str:
        """The commit, the task's title and the files; those in `first` come first."""
        return f"{self.commit[:SHOWN]} {without_names(self.task.spec.title)}: {_named(self.paths, first)}"

    def touches(self, paths: Collection[str]) -> bool:
        return not set(self.paths).isdisjoint(paths)


async def landed_between(
    host: Host, since: CommitId | None, upto: CommitId, shown_in: Workspace | None = None
) -> list[Landed]:
    """What landed on trunk after `since`, up to and with `upto`, the newest first.

    With a workspace, the commits are those that git shows there.
    """
    if since is None or since == upto:
        return []
    commits = await host.trunk.landed_since(since)
    last = next((at for at in reversed(range(len(commits))) if commits[at] == upto), len(commits) - 1)
    commits = commits[max(0, last + 1 - RECENT - OVERTAKING) : last + 1]  # the snapshot knows no earlier ones
    wanted, snapshot = set(commits), host.snapshot
    landings = {
        landing.commit: landing
        for landing in snapshot.landings
        if landing.commit in wanted and landing.commit is not None
    }
    texts: dict[CommitId, HandoffText] = {}
    for handoff in reversed(snapshot.handoffs.values()):
        if len(texts) == len(landings):
            break  # all others are older
        if handoff.commit is not None and handoff.commit in landings:
            texts[handoff.commit] = handoff.text
    known = {
        commit: Landed(commit, landing.paths, snapshot.tasks[landing.task], texts.get(commit))
        for commit, landing in landings.items()
    }
    if len(known) < len(wanted):
        known |= {landed.commit: landed for landed in await _not_recorded(host, wanted.difference(known))}
    found = [known[commit] for commit in reversed(commits) if commit in known]
    if shown_in is None:
        return found
    return [structs.replace(landed, commit=await shown_in.shown(landed.commit)) for landed in found]


async def _not_recorded(host: Host, commits: Collection[CommitId]) -> list[Landed]:
    """Those of the commits that have landed this very moment, so that the record does not have them yet."""
    pending = dict(host.snapshot.pending_landings)
    landed = await host.trunk.find_landed(*pending)
    return [
        Landed(commit, await host.trunk.paths_of(commit), host.snapshot.tasks[task], pending[task].text)
        for task, commit in landed.items()
        if commit in commits
    ]


def listed(landed: Iterable[Landed], paths: Collection[str]) -> str:
    """One line for each change that landed, with the files among `paths` first."""
    lines = [each.line(paths) for each in landed]
    more = [f"and {len(lines) - LISTED} earlier ones"] if len(lines) > LISTED else []
    return bullets(lines[:LISTED] + more)


def reasons(landed: Sequence[Landed], paths: Collection[str]) -> str:
    """Why each change to these files was made: the task's goal and the handoff's summary and notes, shortened."""
    told = [each for each in landed if each.touches(paths)]
    shown = told[: REASONS // REASON_LEAST]
    parts = [_reason(each, paths, REASONS // len(shown)) for each in shown]
    if len(told) > len(shown):
        parts.append(f"and {len(told) - len(shown)} earlier ones")
    return "\n\n".join(parts)


def _reason(landed: Landed, paths: Collection[str], room: int) -> str:
    inside = sorted(set(landed.paths).intersection(paths))
    head = f"{landed.commit[:SHOWN]} {without_names(landed.task.spec.title)} ({_named(inside)})"
    text = landed.text
    said = {
        "goal": landed.task.spec.goal,
        "the user's words": "\n".join(landed.task.directions),
        "summary": text.summary if text else "",
        "notes": text.notes if text else "",
    }
    return "\n".join([head, *quoted_parts(said, room - len(head))])


def quoted_parts(texts: Mapping[str, str], room: int, most: int = REASON_MOST) -> list[str]:
    """The texts that are not empty as quoted lines, each with its name, and at most `most` characters of each. Together
    they take about `room` characters: short ones stay whole, and what they leave goes to the longer ones."""
    said = {name: flat for name, text in texts.items() if (flat := without_names(text))}
    lengths = {}
    for left, name in zip(range(len(said), 0, -1), sorted(said, key=lambda name: len(said[name])), strict=True):
        lengths[name] = min(len(said[name]), max(0, room) // left, most)
        room -= lengths[name]
    return [f"> {name}: {_shortened(text, lengths[name])}" for name, text in said.items()]


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length].rpartition(' ')[0] or text[:length]} …"


def _named(paths: Iterable[str], first: Collection[str] = ()) -> str:
    named = sorted(paths, key=lambda path: (path not in first, path))
    more = f" and {len(named) - FILES_NAMED} more" if len(named) > FILES_NAMED else ""
    return ", ".join(named[:FILES_NAMED]) + more


# --- the difference ------------------------------------------------------------------------------------------


async def difference(
    host: Host,
    workspace: Workspace,
    since: CommitId | None,
    paths: Sequence[str],
    marker: str,
    *,
    room: int,
    shown: bool,
) -> str:
    """How trunk differs in these files from what it was at `since`, as a patch of about `room` characters: hunks near
    the conflicts come first. `shown`: the agent sees the conflicts, so hunks inside them are left out first.

    The workspace is based on the newest trunk and holds the conflicts; a conflict begins at a line with `marker`.
    """
    if since is None:
        return ""
    theirs = parse_patch(await host.trunk.diff(since, workspace.base, paths))
    mine = parse_patch(await workspace.diff())
    marked = {file.path: _marked(mine, file, marker) for file in mine.files if file.path in paths}
    found: list[tuple[int, int, FileDiff, Hunk | None]] = []
    inside: list[Hunk] = []
    for at, file in enumerate(theirs.files):
        if file.kind is FileKind.DELETED or not file.hunks:
            found.append((0, at, file, None))
            continue
        conflicts = marked.get(file.path) or []
        found += [(_distance(hunk, conflicts), at, file, hunk) for hunk in file.hunks]
        inside += [hunk for hunk in file.hunks if shown and any(_holds(each, hunk) for each in conflicts)]
    found.sort(key=lambda each: each[:2])
    return _shown(theirs, found, inside, room)


def _marked(mine: Patch, file: FileDiff, marker: str) -> list[Hunk]:
    """The hunks of a file that hold a conflict."""
    added = f"+{marker}"
    return [hunk for hunk in file.hunks if any(line.startswith(added) for line in mine.lines[hunk.first : hunk.end])]


def _distance(hunk: Hunk, conflicts: Sequence[Hunk]) -> int:
    """Lines of trunk between a hunk and the nearest conflict; 0 if they meet, or if no place is known."""
    ends = hunk.new_start + hunk.new_count
    return min(
        (max(0, each.old_start - ends, hunk.new_start - each.old_start - each.old_count) for each in conflicts),
        default=0,
    )


def _holds(conflict: Hunk, hunk: Hunk) -> bool:
    """Whether trunk's change, without the lines around it, lies in a conflict's hunk."""
    ends = hunk.new_start + hunk.new_count - CONTEXT
    return conflict.old_start <= hunk.new_start + CONTEXT and ends <= conflict.old_start + conflict.old_count


def _shown(
    patch: Patch, found: Sequence[tuple[int, int, FileDiff, Hunk | None]], last: Sequence[Hunk], room: int
) -> str:
    """The hunks in this order, as many as fit; one may be cut at the end of a line. Those in `last` get the rest."""
    lines: list[str] = []
    left_out, of = 0, ""
    others = sum(_size(patch, file, hunk) for _, _, file, hunk in found if hunk not in last)
    spare = room - others
    for _, _, file, hunk in found:
        if hunk in last:
            if (size := _size(patch, file, hunk)) > spare:
                left_out += 1
                continue
            spare -= size
        head = [] if of == file.path else [_heading(file)]
        body = [] if hunk is None else _lines(patch, hunk)
        size = sum(len(line) + 1 for line in head + body)
        if size > room and lines:
            left_out += 1
            continue
        for line in head + body:
            if (room := room - len(line) - 1) < 0:
                lines.append("(cut)")
                break
            lines.append(line)
        of = file.path
    if left_out:
        lines.append(f"({counted(left_out, 'more hunk')} left out)")
    return "\n".join(lines)


def _size(patch: Patch, file: FileDiff, hunk: Hunk | None) -> int:
    lines = [_heading(file), *(_lines(patch, hunk) if hunk is not None else [])]
    return sum(len(line) + 1 for line in lines)


def _heading(file: FileDiff) -> str:
    if file.kind is FileKind.RENAMED:
        return f"--- {file.old_path} (renamed to {file.new_path})"
    what = {FileKind.ADDED: " (new)", FileKind.DELETED: " (deleted)"}.get(file.kind, "")
    return f"--- {file.path}{what or (' (binary)' if file.binary else '')}"


def _lines(patch: Patch, hunk: Hunk) -> list[str]:
    heading = f" {hunk.heading}" if hunk.heading else ""
    head = f"@@ -{hunk.old_start},{hunk.old_count} +{hunk.new_start},{hunk.new_count} @@{heading}"
    return [head, *patch.lines[hunk.first : hunk.end]]
