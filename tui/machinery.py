"""The screen's other door to the engine: what does its work, each loaded when it is first asked for.

A light command is quick, and the screen is painted before an engine is loaded. `from tui.machinery import NAME` asks at
once, `machinery.NAME` when it is used.
"""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.config.load import resettled
    from engine.control.client import ControlClient
    from engine.domain.masking import Mask, secrets_of
    from engine.intent.review import review_intent
    from engine.journal.archive import archive
    from engine.journal.queries import JournalReader
    from engine.journal.seek import seq_of
    from engine.models.registry import PROVIDERS, has_key, key_variable, split_model
    from engine.models.rehearsal.playbook import SampleProject, list_samples, sample_folder
    from engine.models.selection import choose_models
    from engine.repo.check import suggest_check
    from engine.repo.git.commit_patch import landed_patch
    from engine.repo.git.git import require_git
    from engine.repo.git.source import SourceRepo, inspect_repo
    from engine.reports.export import export_jsonl, export_otel
    from engine.reports.inquiry import Answered, ask_about
    from engine.reports.json_lines import event_line, export_lines, snapshot_line
    from engine.reports.report import HeatReport, Report, report_of
    from engine.reports.summary import summarise
    from engine.runs.folder import RunFolder, repo_id
    from engine.runs.listing import RunListing, find_run, list_runs, newest_unfinished
    from engine.runs.lock import RunLock, is_live
    from engine.sandbox.levels import SandboxReport
    from engine.sandbox.probe import probe
    from engine.state.fold import fold
    from engine.wiring import LiveRun, resume_run, start_run

MACHINERY = {
    "ControlClient": "engine.control.client",
    "JournalReader": "engine.journal.queries",
    "LiveRun": "engine.wiring",
    "Mask": "engine.domain.masking",
    "PROVIDERS": "engine.models.registry",
    "HeatReport": "engine.reports.report",
    "Report": "engine.reports.report",
    "report_of": "engine.reports.report",
    "RunFolder": "engine.runs.folder",
    "RunListing": "engine.runs.listing",
    "RunLock": "engine.runs.lock",
    "SampleProject": "engine.models.rehearsal.playbook",
    "SandboxReport": "engine.sandbox.levels",
    "SourceRepo": "engine.repo.git.source",
    "Answered": "engine.reports.inquiry",
    "ask_about": "engine.reports.inquiry",
    "archive": "engine.journal.archive",
    "choose_models": "engine.models.selection",
    "event_line": "engine.reports.json_lines",
    "export_jsonl": "engine.reports.export",
    "export_otel": "engine.reports.export",
    "export_lines": "engine.reports.json_lines",
    "find_run": "engine.runs.listing",
    "fold": "engine.state.fold",
    "has_key": "engine.models.registry",
    "inspect_repo": "engine.repo.git.source",
    "is_live": "engine.runs.lock",
    "key_variable": "engine.models.registry",
    "landed_patch": "engine.repo.git.commit_patch",
    "list_runs": "engine.runs.listing",
    "list_samples": "engine.models.rehearsal.playbook",
    "newest_unfinished": "engine.runs.listing",
    "probe": "engine.sandbox.probe",
    "require_git": "engine.repo.git.git",
    "repo_id": "engine.runs.folder",
    "resettled": "engine.config.load",
    "review_intent": "engine.intent.review",
    "resume_run": "engine.wiring",
    "secrets_of": "engine.domain.masking",
    "sample_folder": "engine.models.rehearsal.playbook",
    "seq_of": "engine.journal.seek",
    "snapshot_line": "engine.reports.json_lines",
    "split_model": "engine.models.registry",
    "start_run": "engine.wiring",
    "suggest_check": "engine.repo.check",
    "summarise": "engine.reports.summary",
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
