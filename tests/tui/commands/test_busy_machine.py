"""What `runs` and `doctor` say about a busy machine."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from engine.domain.resource_use import LoadLimit
from engine.domain.types import RunId
from engine.runs.folder import RunFolder
from engine.runs.listing import RunListing
from tui.commands import doctor, runs

LIMIT = LoadLimit(2, 1, "commands wait for a CPU 90% of the time; other programs use 80% of it")


@pytest.mark.parametrize(
    ("live", "limit", "said"),
    [(True, LIMIT, LIMIT), (False, LIMIT, None), (True, None, None), (True, LoadLimit(None, 1, "calm again"), None)],
)
def test_runs_names_the_governors_limit_of_a_live_run(
    live: bool,
    limit: LoadLimit | None,
    said: LoadLimit | None,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    name = RunId("20260101-000000-aaaa")
    found = RunListing(run=name, folder=RunFolder(Path("/x") / name), live=live, pid=1, load_limit=limit)
    monkeypatch.setattr(runs, "list_runs", lambda root: [found])
    assert runs.runs(Namespace(json=True, state_dir=None)) == 0
    listed = json.loads(capsysbinary.readouterr().out)["load_limit"]
    assert (listed and (listed["workers"], listed["builds"], listed["reason"])) == (
        said and (said.workers, said.builds, said.reason)
    )
    assert runs.runs(Namespace(json=False, state_dir=None)) == 0
    line = f"{name}: governor: at most 2 workers and 1 build at once: {LIMIT.reason}\n"
    assert (line in capsysbinary.readouterr().out.decode()) == (said is not None)


@pytest.mark.parametrize(
    ("load", "level", "found"),
    [
        ((2, 17.4, 92.0), "warn", "busy with other programs: 2 cores, load 17.4, contended 92% of the time"),
        ((2, 0.3, 1.0), "ok", "2 cores, load 0.3, contended 1% of the time"),
        ((64, 17.4, 92.0), "ok", "64 cores, load 17.4, contended 92% of the time"),
    ],
)
def test_doctor_warns_of_a_cpu_that_other_programs_use(
    load: tuple[int, float, float], level: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "cpu_load", lambda: load)
    finding = doctor._cpu()
    assert (finding.level, finding.found) == (level, found)
    assert bool(finding.hint) == (level == "warn")
