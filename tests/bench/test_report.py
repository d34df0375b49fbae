"""A bench prints a table for people and a last line for scripts, and does not tell whose machine it was."""

import getpass
import json
import platform
from pathlib import Path

import pytest

from tests.bench.__main__ import known, main
from tests.bench.report import Report, ratio


def test_a_report_is_a_table_and_a_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(
        "agents", ("workers", "landed/s"), [(1, 2.34567), (200, None)], {"landed_per_s_1": 2.35}, {"r": 0.5}
    )
    report.show()
    *table, last = capsys.readouterr().out.splitlines()
    assert table[:4] == ["workers  landed/s", "-------  --------", "      1      2.35", "    200         -"]
    found = json.loads(last)
    assert set(found) == {"bench", "machine", "figures", "ratios"}
    assert found["bench"] == "agents"
    assert found["ratios"] == {"r": 0.5}


def test_the_machine_has_no_name_and_no_folders() -> None:
    line = Report("x", ("a",)).json()
    for private in (platform.node(), str(Path.home()), str(Path.cwd())):
        assert not private or private not in line
    assert getpass.getuser() not in json.loads(line)["machine"].values()


def test_a_ratio_of_nothing_is_none() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is None
    assert ratio(1.0, 0.0) is None


def test_an_unknown_bench_is_an_error_that_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert "agents" in known()
    assert main(["nonsense"]) == 2
    assert "agents" in capsys.readouterr().err
