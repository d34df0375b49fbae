"""Errors that a person or an agent sees: a kind, a message and a hint, never a traceback."""

from enum import IntEnum, StrEnum

from engine.domain.types import Usage


class ExitStatus(IntEnum):
    """Exit statuses of the command line (INTERFACE: command line)."""

    DONE = 0
    NOT_GREEN = 1
    UNUSABLE = 2
    BUDGET = 3
    STOPPED = 4
    REFUSED = 5


class ErrorKind(StrEnum):
    """What went wrong, coarse enough to branch on."""

    USAGE = "usage"
    SETTINGS = "settings"
    REPO = "repo"
    INTENT = "intent"
    PROVIDER = "provider"
    STATE = "state"
    SANDBOX = "sandbox"
    JOURNAL = "journal"
    GIT = "git"
    BUSY = "busy"
    NOT_FOUND = "not_found"


class SwarmError(Exception):
    """An error with a hint. `message` says what is wrong, `hint` what to do; each is one line."""

    def __init__(self, kind: ErrorKind, message: str, hint: str, status: ExitStatus = ExitStatus.UNUSABLE) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.status = status


class ModelErrorKind(StrEnum):
    """Why a model call gave no usable turn."""

    RETRYABLE = "retryable"  # connection errors, stalls, cut streams, 408, 409, 429, >= 500
    REFUSED = "refused"  # the key, the model or the account is not accepted: asking again cannot help
    CONTEXT_LENGTH = "context_length"  # the request is longer than the model's window
    BAD_REQUEST = "bad_request"  # 400, 413, 422 for any other reason


class ModelError(Exception):
    """A failed model call. `retry_after` is in seconds, None when the server named no time.

    `status` is the HTTP status, None when no answer arrived. `usage` is what an answer that began and broke off has
    used, as far as it can be known: it is charged for like a whole one.
    """

    def __init__(
        self,
        kind: ModelErrorKind,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.usage = Usage()
