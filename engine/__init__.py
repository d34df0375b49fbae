"""The orchestration engine of swarm-tui, and its face: every name that a screen may use.

`from engine import NAME` loads only the module that defines NAME, so that `swarm-tui runs` does not load the providers.
The imports below list the names, for type checkers, for the import contracts and for the program itself.
"""

import ast
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.config.load import LoadedSettings, config_folder, load_settings, settings_for_resume, state_folder
    from engine.config.template import settings_template
    from engine.control.client import ControlClient
    from engine.domain import events
    from engine.domain.commands import (
        AnswerNote,
        Cancel,
        Command,
        Pause,
        Rescope,
        Resolve,
        Resume,
        SetModel,
        SetPriority,
        SetWorkers,
        Steer,
        Stop,
        SubmitIntent,
    )
    from engine.domain.errors import ErrorKind, ExitStatus, SwarmError
    from engine.domain.events import Body, Event
    from engine.domain.json_text import json_line, log_text
    from engine.domain.landing_text import landing_text
    from engine.domain.masking import Mask, secrets_of
    from engine.domain.notes import Note, NoteKind, answers_in
    from engine.domain.os_text import path_text, shell_word, utf8_text
    from engine.domain.patch import FileDiff, Hunk, Patch, parse_patch
    from engine.domain.resource_use import AgentUse, LoadLimit, Sample
    from engine.domain.settings import ProviderSettings, Settings
    from engine.domain.types import (
        ROOT,
        Agent,
        AgentId,
        AgentPath,
        AgentState,
        Break,
        Check,
        CommitId,
        Handoff,
        HandoffId,
        HandoffStatus,
        InboxMessage,
        Intent,
        LandingState,
        Micros,
        ModelName,
        Pathology,
        Remedy,
        Role,
        RunId,
        RunState,
        Scratchpad,
        Task,
        TaskId,
        TaskState,
        ToolCallState,
        Usage,
    )
    from engine.domain.units import duration_s
    from engine.intent.lint import lint
    from engine.intent.review import review_intent
    from engine.intent.text import without_comments
    from engine.journal.archive import archive
    from engine.journal.opening import Opening, OpeningProgress
    from engine.journal.queries import JournalReader
    from engine.journal.rows import Followed, MessageRow, ToolCallRow
    from engine.journal.seek import seq_of
    from engine.models.registry import PROVIDERS, has_key, key_variable, split_model
    from engine.models.rehearsal.playbook import SampleProject, list_samples, sample_folder
    from engine.models.route import route
    from engine.models.selection import choose_models
    from engine.policy.environment_lines import found_lines
    from engine.policy.scheduling import full_subtrees
    from engine.policy.scope import scope_fault
    from engine.policy.task_order import waits_for
    from engine.policy.work_facts import checked_since, facts_lines
    from engine.repo.check import suggest_check
    from engine.repo.git.commit_patch import landed_patch
    from engine.repo.git.git import require_git
    from engine.repo.git.sample_repo import make_sample_repo
    from engine.repo.source import SourceRepo, inspect_repo
    from engine.reports.export import export_jsonl, export_otel
    from engine.reports.inquiry import ask_about
    from engine.reports.json_lines import event_line, snapshot_line
    from engine.reports.model_speed import ModelSpeed, measure_speed
    from engine.reports.report import report_of
    from engine.reports.report_values import HeatReport, LoadReport, NoteReport, Report
    from engine.reports.result import Result, result_of
    from engine.reports.summary import Summary
    from engine.resources.proc import cpu_load
    from engine.runs.folder import RUN_NAME, RunFolder, repo_id
    from engine.runs.listing import RunListing, find_run, list_runs, newest_unfinished
    from engine.runs.lock import RunLock, is_live
    from engine.sandbox.guarantees import SandboxReport
    from engine.sandbox.probe import probe
    from engine.state.fold import fold
    from engine.state.recalled import Recalled, landed_by
    from engine.state.retired import Retired
    from engine.state.snapshot import Snapshot
    from engine.wiring import LiveRun, resume_run, start_run
else:

    def __getattr__(name: str) -> Any:
        if name not in face():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return pkgutil.resolve_name(f"{face()[name]}.{name}")


@cache
def face() -> dict[str, str]:
    """Each name of the face with the module that defines it, read from the imports above."""
    tree = ast.parse(pkgutil.get_data(__name__, "__init__.py") or b"")
    return {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("engine.")
        for alias in node.names
    }
