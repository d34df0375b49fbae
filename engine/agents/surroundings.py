"""What an agent's work takes place in, at the end of its first message: the environment of its commands.

It comes after what the user wrote, the repository's notes included. A first message is written once for each
conversation, so what a provider has cached of it stays valid.
"""

from engine.agents.markdown import bullets
from engine.domain.types import AgentId, Role
from engine.policy.environment_lines import check_line, found_lines, work_check_line, work_lines
from engine.runtime.recorder import RunRecorder


def surrounded(opening: str, run: RunRecorder, agent: AgentId) -> str:
    """The first message of an agent, with its surroundings."""
    parts = {"Environment": _environment(run, run.snapshot.agents[agent].role)}
    return "\n\n".join((opening, *(f"## {title}\n\n{text}" for title, text in parts.items() if text)))


def _environment(run: RunRecorder, role: Role) -> str:
    """What commands find, as much of it as the role needs; empty in runs that have not looked."""
    if (found := run.snapshot.environment) is None:
        return ""
    survey = run.snapshot.base_survey
    command, base = run.snapshot.check_command, survey.check if survey is not None else None
    match role:
        case Role.PLANNER:
            return bullets([*found_lines(found), check_line(command, base, run.settings.repo.check_landings)])
        case Role.WORKER:
            return bullets([*work_lines(found), work_check_line(command, base)])
        case _:  # their prompts and tasks say what to run
            return bullets(work_lines(found))
