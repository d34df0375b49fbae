"""The program that runs inside every sandbox: compiled once per run, and how its interpreter is started."""

import os
import py_compile
import sys
from pathlib import Path

from engine.sandbox import inside

PACKAGE = "inside"
START = "import sys; sys.path.insert(0, {!r}); {}from {}.{} import main; main()"


def stage_program(stage: Path) -> None:
    """Compile the program into `stage`. Only compiled files are staged, so that nothing checks them against sources."""
    target = staged_program(stage) / PACKAGE
    target.mkdir(parents=True, exist_ok=True)
    for source in Path(inside.__path__[0]).glob("*.py"):
        py_compile.compile(
            str(source),
            cfile=str(target / f"{source.stem}.pyc"),
            dfile=f"{PACKAGE}/{source.name}",
            doraise=True,
            optimize=2,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def staged_program(stage: Path) -> Path:
    """The folder that sandboxes may read; the rest of `stage` stays hidden."""
    return stage / "program"


def python() -> str:
    """The base interpreter, outside of any virtual environment, so that it starts without one."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(base if base.exists() else Path(os.path.realpath(sys.executable)))


def interpreter(folder: str) -> tuple[str, ...]:
    """The command line that starts the program, as seen inside the sandbox."""
    return _start(folder, "", "loop")


def zygote_command() -> tuple[str, ...]:
    """The command line of the zygote, to be started in the program's folder. It has no path, because agents can read
    it."""
    return _start(".", f"import {PACKAGE}.search; ", "zygote")


def _start(folder: str, first: str, module: str) -> tuple[str, ...]:
    return (python(), "-I", "-S", "-X", "frozen_modules", "-c", START.format(folder, first, PACKAGE, module))
