"""Puts together what a question about a run needs: the journal, the prompts, and a model of the person's choice."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

import prompts as prompt_files
from engine.agents.prompts import Prompts
from engine.errors import ErrorKind, ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.inquiry import Answered, Inquiry
from engine.journal.sql import ReadOnlySql
from engine.models.choice import choose_models
from engine.models.limits import ModelDesk
from engine.settings import Settings
from engine.system import SystemClock, SystemRandomness
from engine.types import ModelName


async def ask_about(
    journal: Path, question: str, settings: Settings, environ: Mapping[str, str], on_step: Callable[[str], None]
) -> Answered:
    """Ask the planner's model. Raises SwarmError: no model, no answer, an unreadable journal."""
    model = ModelName(choose_models(settings, environ).models.planner)
    if model.startswith("rehearsal:"):
        hint = "name a model with --model PROVIDER:NAME, for example one served on this machine: openai-chat:NAME"
        raise SwarmError(ErrorKind.PROVIDER, "the rehearsal is a script and answers no questions", hint)
    sql = ReadOnlySql(journal)
    desk = ModelDesk(settings.providers, environ, SystemClock(), SystemRandomness(settings.swarm.seed))
    try:
        await desk.prepare([model])
        return await Inquiry(sql, Prompts(files(prompt_files)), desk, model, on_step).ask(question)
    except ModelError as error:
        status = ExitStatus.REFUSED if error.kind is ModelErrorKind.REFUSED else ExitStatus.NOT_GREEN
        hint = "check the key, the address and the model's name: `swarm-tui doctor` shows what is set"
        raise SwarmError(ErrorKind.PROVIDER, error.message, hint, status) from error
    finally:
        await desk.close()
