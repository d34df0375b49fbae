"""Errors for a person or an agent: a kind, a message and a hint, never a traceback."""

from enum import IntEnum, StrEnum

from engine.domain.types import Usage


class ExitStatus(IntEnum):
    """The exit statuses of the command line."""

    DONE = 0
    NOT_GREEN = 1
    UNUSABLE = 2
    BUDGET = 3
    STOPPED = 4
    REFUSED = 5


class ErrorKind(StrEnum):
    """What an error is about, for code that handles errors by kind."""

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
    """`message` says what is wrong, `hint` what to do; each is one line."""

    def __init__(self, kind: ErrorKind, message: str, hint: str, status: ExitStatus = ExitStatus.UNUSABLE) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.status = status


class ModelErrorKind(StrEnum):
    """Why a model call returned no usable turn."""

    RETRYABLE = "retryable"  # connection errors, stalled or broken streams, HTTP 408, 409, 429 and 500 or above
    REFUSED = "refused"  # the key, the model or the account is not accepted: a retry cannot help
    CONTEXT_LENGTH = "context_length"  # the request does not fit into the model's context window
    BAD_REQUEST = "bad_request"  # HTTP 400, 413 or 422 for any other reason


class ModelError(Exception):
    """A failed model call. `retry_after` is in seconds, None if the server named no time.

    `status` is the HTTP status, None if no response arrived. `usage` is that of an answer that broke off, as far as it
    is known: providers charge for it like for a complete one. `said` is all that the server said, to be searched but
    not shown. `learned`: the next try will be another request, one that the server may accept.
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
        self.said = ""
        self.learned = False

    def __str__(self) -> str:
        return self.message


class AttemptFailed(Exception):  # noqa: N818 - an outcome, raised like an exception
    """The agent should not continue. The message tells its planner why."""


class MessagesArrived(Exception):  # noqa: N818 - an outcome, raised like an exception
    """The agent has to read messages, such as that it must hand off now, with the call that it waited to make."""


class BudgetSpent(Exception):  # noqa: N818 - an outcome, raised like an exception
    """The agent may make no more model calls. `of_task`: because of its task's own limit alone."""

    def __init__(self, reason: str, of_task: bool) -> None:
        super().__init__(reason)
        self.of_task = of_task
