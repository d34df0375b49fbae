"""The environment variables of commands in a sandbox."""

from engine.sandbox.toolchains import Tools


def command_env(tools: Tools, home: str, tmp: str) -> dict[str, str]:
    """The environment of commands: nothing of the host's except paths to tools."""
    return {
        "PATH": ":".join(tools.path),
        "HOME": home,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/sh",
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "CI": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "true",
        "EDITOR": "true",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPYCACHEPREFIX": f"{tmp}/pycache",  # not beside the sources: few projects ignore all of them
        "DEBIAN_FRONTEND": "noninteractive",
        **tools.env,
    }
