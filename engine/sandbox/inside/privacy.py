"""Keeps this process's memory and descriptors out of reach of what it starts, which runs as the same user."""

import _ctypes  # `ctypes` takes longer to import than all else here

PR_SET_DUMPABLE = 4


def hide() -> None:
    """Neither traced nor read by others without privileges. What is started becomes visible again when it executes.

    Raises OSError when the kernel refuses.
    """
    program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # this process itself, as dlopen(3) has it
    if _ctypes.call_function(_ctypes.dlsym(program, "prctl"), (PR_SET_DUMPABLE, 0, 0, 0, 0)) != 0:
        raise OSError("this process cannot be hidden")
