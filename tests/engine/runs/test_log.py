"""The log of a run holds tracebacks without keys, and ends with the run."""

import logging
from pathlib import Path

from engine.domain.masking import Mask
from engine.runs.log import RunLog

KEY = "sk-ant-" + "a1b2c3d4" * 4


def test_a_traceback_in_the_log_has_its_key_masked(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    log = RunLog(path, Mask({"ANTHROPIC_API_KEY": KEY}))
    try:
        raise ValueError(f"refused: {KEY}")
    except ValueError:
        logging.getLogger("swarm").exception("attempt at %s", "t1")
    log.close()
    text = path.read_text("utf-8")
    assert "ERROR attempt at t1" in text
    assert "ValueError: refused: [masked" in text
    assert KEY not in text


def test_nothing_is_written_to_the_log_of_a_closed_run(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    RunLog(path, Mask()).close()
    logging.getLogger("swarm").warning("after the end")
    assert not path.exists()
