"""What the app is opened with: how to open its session and, for a new run, what the start screen shows and asks for."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

from tui.bridge import Settings
from tui.sessions.session import Session


class RunPlan(Struct, frozen=True):
    """What a new run would work with.

    `models` has a model for each role, `keys` says of each API key that they need whether it is set (never the key
    itself). `suggested` is a check found in the project's files if none is configured, `draft` the first text of the
    intent. `problem` says why no run can start (no API key, for example) and `hint` what to do about it; both are
    empty if one can.
    """

    repo: str
    branch: str = ""
    check: str = ""
    models: dict[str, str] = field(default_factory=dict)
    sandbox_level: str = ""
    warnings: tuple[str, ...] = ()
    draft: str = ""
    problem: str = ""
    hint: str = ""
    suggested: str = ""
    keys: dict[str, str] = field(default_factory=dict)


class NewRun(NamedTuple):
    """What the start screen asks for.

    `probe_sandbox` is called in a thread: it finds the sandbox level that the run will have. `use_check` receives the
    suggested check once the person starts the run with it.
    """

    plan: RunPlan
    probe_sandbox: Callable[[], str]
    use_check: Callable[[str], None]


class Launch(NamedTuple):
    """All that the app is opened with.

    `open_session(intent)` creates a session that has not started, and returns at once. It is called with the intent
    of a new run, and with None if there is a run or an intent already. `draft_file` keeps an intent that is being
    written.
    """

    open_session: Callable[[str | None], Session]
    settings: Settings
    new_run: NewRun | None = None
    draft_file: Path | None = None
