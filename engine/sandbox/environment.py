"""The environment variables of commands in a sandbox."""

from engine.sandbox.toolchains import Tools

GIT_CONFIG = """[user]
\tname = agent
\temail = agent@localhost
[init]
\tdefaultBranch = main
[safe]
\tdirectory = *
"""
"""Git's system configuration in a sandbox, so that every git there has an identity, also in repos that tests create.

As the system's, it gives way to what a test or a repository sets, holds with any HOME, and leaves `--global` writable.
"""

BYTECODE = ".cache/pycache"
"""Where Python keeps compiled files, in the home of commands."""


def command_env(tools: Tools, home: str, tmp: str, git_config: str) -> dict[str, str]:
    """The environment of commands: nothing of the host's except paths to tools. `git_config` has GIT_CONFIG."""
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
        "GIT_CONFIG_SYSTEM": git_config,  # instead of the machine's
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPYCACHEPREFIX": f"{home}/{BYTECODE}",  # not beside the sources: few projects ignore all of them
        "DEBIAN_FRONTEND": "noninteractive",
        **tools.env,
    }
