"""The screen's other door to the engine: what does its work, each loaded when it is first asked for.

A light command is quick, and the screen is painted before an engine is loaded. `from tui.machinery import NAME` asks at
once, `machinery.NAME` when it is used.
"""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.asking import ask_about
    from engine.control_client import ControlClient
    from engine.export import event_line, export_lines, snapshot_line
    from engine.fold import fold
    from engine.inquiry import Answered
    from engine.journal.archive import archive
    from engine.journal.export import export_jsonl, export_otel
    from engine.journal.moments import seq_of
    from engine.journal.queries import JournalReader
    from engine.masking import Mask, secrets_of
    from engine.models.choice import choose_models
    from engine.models.playbook import SampleProject, list_samples, sample_folder
    from engine.models.registry import PROVIDERS, has_key, key_variable, split_model
    from engine.repo.git import require_git
    from engine.repo.green import suggest_check
    from engine.repo.landed import landed_patch
    from engine.repo.source import SourceRepo, inspect_repo
    from engine.report import HeatReport, Report, report_of
    from engine.reviewing import review_intent
    from engine.run_folder import RunFolder, repo_id
    from engine.run_lock import RunLock, is_live
    from engine.runs import RunListing, find_run, list_runs, newest_unfinished
    from engine.sandbox.levels import SandboxReport
    from engine.sandbox.probe import probe
    from engine.settings_files import resettled
    from engine.summary import summarise
    from engine.wiring import LiveRun, resume_run, start_run

MACHINERY = {
    "ControlClient": "engine.control_client",
    "JournalReader": "engine.journal.queries",
    "LiveRun": "engine.wiring",
    "Mask": "engine.masking",
    "PROVIDERS": "engine.models.registry",
    "HeatReport": "engine.report",
    "Report": "engine.report",
    "report_of": "engine.report",
    "RunFolder": "engine.run_folder",
    "RunListing": "engine.runs",
    "RunLock": "engine.run_lock",
    "SampleProject": "engine.models.playbook",
    "SandboxReport": "engine.sandbox.levels",
    "SourceRepo": "engine.repo.source",
    "Answered": "engine.inquiry",
    "ask_about": "engine.asking",
    "archive": "engine.journal.archive",
    "choose_models": "engine.models.choice",
    "event_line": "engine.export",
    "export_jsonl": "engine.journal.export",
    "export_otel": "engine.journal.export",
    "export_lines": "engine.export",
    "find_run": "engine.runs",
    "fold": "engine.fold",
    "has_key": "engine.models.registry",
    "inspect_repo": "engine.repo.source",
    "is_live": "engine.run_lock",
    "key_variable": "engine.models.registry",
    "landed_patch": "engine.repo.landed",
    "list_runs": "engine.runs",
    "list_samples": "engine.models.playbook",
    "newest_unfinished": "engine.runs",
    "probe": "engine.sandbox.probe",
    "require_git": "engine.repo.git",
    "repo_id": "engine.run_folder",
    "resettled": "engine.settings_files",
    "review_intent": "engine.reviewing",
    "resume_run": "engine.wiring",
    "secrets_of": "engine.masking",
    "sample_folder": "engine.models.playbook",
    "seq_of": "engine.journal.moments",
    "snapshot_line": "engine.export",
    "split_model": "engine.models.registry",
    "start_run": "engine.wiring",
    "suggest_check": "engine.repo.green",
    "summarise": "engine.summary",
}
"""Each name's module."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in MACHINERY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return pkgutil.resolve_name(f"{MACHINERY[name]}:{name}")


__all__ = [
    "PROVIDERS",
    "Answered",
    "ControlClient",
    "HeatReport",
    "JournalReader",
    "LiveRun",
    "Mask",
    "Report",
    "RunFolder",
    "RunListing",
    "RunLock",
    "SampleProject",
    "SandboxReport",
    "SourceRepo",
    "archive",
    "ask_about",
    "choose_models",
    "event_line",
    "export_jsonl",
    "export_lines",
    "export_otel",
    "find_run",
    "fold",
    "has_key",
    "inspect_repo",
    "is_live",
    "key_variable",
    "landed_patch",
    "list_runs",
    "list_samples",
    "newest_unfinished",
    "probe",
    "repo_id",
    "report_of",
    "require_git",
    "resettled",
    "resume_run",
    "review_intent",
    "sample_folder",
    "secrets_of",
    "seq_of",
    "snapshot_line",
    "split_model",
    "start_run",
    "suggest_check",
    "summarise",
]
