"""Keeps this process's memory and descriptors from the processes it starts, which run as the same user."""

import _ctypes  # importing `ctypes` takes longer than everything else here

PR_SET_DUMPABLE = 4


def hide() -> None:
    """Forbid tracing and reading by unprivileged processes. A started program becomes accessible again when it
    executes.

    Raises OSError if the kernel refuses.
    """
    program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # this process itself, as dlopen(3) has it
    if _ctypes.call_function(_ctypes.dlsym(program, "prctl"), (PR_SET_DUMPABLE, 0, 0, 0, 0)) != 0:
        raise OSError("this process cannot be hidden")
