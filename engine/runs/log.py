"""A run's log file: bugs of the program with their tracebacks, with API keys masked."""

import logging
from pathlib import Path

from engine.domain.json_text import log_text
from engine.domain.masking import Mask


class RunLog:
    """Writes the logger `swarm` into a file until it is closed."""

    def __init__(self, path: Path, mask: Mask) -> None:
        if path.is_symlink() or path.is_fifo():  # it would write into another file, or wait without end
            path.unlink()
        self._handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self._handler.setFormatter(_MaskedLines(mask))
        self._logger = logging.getLogger("swarm")
        self._logger.propagate = False
        self._logger.addHandler(self._handler)

    def close(self) -> None:
        self._logger.removeHandler(self._handler)
        self._handler.close()


class _MaskedLines(logging.Formatter):
    """Formats log lines and tracebacks, without keys and without anything that a terminal executes."""

    def __init__(self, mask: Mask) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return log_text(self._mask.text(super().format(record)))
