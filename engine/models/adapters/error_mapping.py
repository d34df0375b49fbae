"""Maps HTTP statuses, error bodies and exceptions to ModelErrors that are safe to show."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.masking import Mask
from engine.domain.types import Micros

_MAX_MESSAGE = 400
_MAX_SAID = 16_000
_MAX_WAIT = 86_400.0

_CONTEXT_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length", "request_too_large"}
)
_CONTEXT_WORDS = re.compile(
    r"prompt is too long|context[ _-]?(length|window|size)|maximum (context|prompt|input|model) (length|size)"
    r"|too many (input )?tokens|input (is|was) too (long|large)|exceeds? (the )?(available |model'?s? )?context"
    r"|reduce the length of the (messages|prompt|input)|input length and `?max_tokens`? exceed"
    r"|request (entity )?too large|longer than the model'?s? context|max_(model|seq)_len"
    r"|(prompt|input|inputs|request|messages?|tokens?)\b.{0,60} exceed(s|ed)?\b.{0,40}(limit|max)"
    r"|(range of )?input length should be|inputs?`? tokens \+ `?max_new_tokens|too large for (the )?model"
    r"|too large to process|\u8d85\u957f",
    re.IGNORECASE,
)
_REFUSED_WORDS = re.compile(
    r"credit balance is too low|exceeded your current quota|(invalid|incorrect) api[ _-]?key"
    r"|insufficient (account )?balance|\blogin fail",
    re.IGNORECASE,
)
_RATE_WORDS = re.compile(r"rate[ _-]?limit|too many requests", re.IGNORECASE)
_NO_TOOLS = re.compile(
    r"(does not|doesn't|do not) (currently )?support (tools?\b|tool[ _-](use|call)|function[ _-]call)"
    r"|(?<!parallel )\b(tools?|tool[ _-](use|call\w*)|function[ _-]call\w*)\W? (is|are) not "
    r"(supported|enabled)"
    r"|(tools?|tool[ _-]\w+|function[ _-]call\w*)\W{0,2} (param )?requires? (the )?`?--|support tool use"
    r"|unsupported (parameter|value|field)\W{1,4}tools\b",
    re.IGNORECASE,
)
"""A model, or a server as it was started, that takes no tools."""
_BY_CHANCE = frozenset({"tool_use_failed", "tool_call_failed"})
"""Codes for an answer that its server could not read: the model writes another one if it is asked again."""
_TEMPLATE = re.compile(r"jinja|chat.?template|template ?error", re.IGNORECASE)
"""A chat template that takes no such conversation: the same again would fail the same way."""
_REFUSED_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "account_deactivated",
        "invalid_api_key",
        "model_not_found",
        "not_found_error",
        "authentication_error",
        "permission_error",
        "billing_error",
        "1004",  # MiniMax: the key
        "1008",  # MiniMax: the balance
        "1113",  # GLM: the balance
    }
)
_STATUS_OF_CODE = {
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
    "server_is_overloaded": 529,
    "slow_down": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "request_too_large": 413,
    "invalid_prompt": 400,
}
_KEYS = re.compile(r"\b(sk|pk|key|gsk|xai)-[\w*.\-]{6,}|(?i:bearer)\s+\S+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")

_TAGS = re.compile(r"<(script|style)\b.*?(</\1>|$)|<[^>]*(>|$)", re.DOTALL | re.IGNORECASE)


def without_tags(page: str) -> str:
    """The text of a web page."""
    return " ".join(_TAGS.sub(" ", page[: 50 * _MAX_MESSAGE]).split())


def shown(text: str, secret: str = "") -> str:
    """Text from a server as one short line, without keys or control characters."""
    text = Mask({"the key": secret}).text(text[: 50 * _MAX_MESSAGE])
    text = _KEYS.sub("[masked: key]", _UNPRINTABLE.sub(" ", text[: 4 * _MAX_MESSAGE])).strip()
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…"


def status_failure(status: int, body: object, headers: Mapping[str, str], now: Micros, secret: str = "") -> ModelError:
    """The error for an HTTP error status. `body` is decoded JSON, or text."""
    code, message = _code_and_message(body)
    kind = _kind(status, code, message)
    wait = retry_after(headers, now) if kind is ModelErrorKind.RETRYABLE else None
    named = f"{status}: {shown(message, secret) or 'no reason given'}"
    error = ModelError(kind, named + _advice(message), status=status, retry_after=wait)
    error.said = _all_said(body)
    return error


def stream_failure(error: object, secret: str = "") -> ModelError:
    """The error for a failure reported inside a stream. Unknown failures are retryable."""
    code, message = _code_and_message(error)
    number = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else 0
    status = number if number >= 400 else _STATUS_OF_CODE.get(code) or (429 if _RATE_WORDS.search(message) else None)
    kind = _kind(status or 500, code, message)
    said = shown(message, secret) or "no reason given"
    named = f"{shown(code, secret)}: {said}" if code else said
    failure = ModelError(kind, f"the server broke off: {named}{_advice(message)}", status=status)
    failure.said = _all_said(error)
    return failure


def transport_failure(error: BaseException, secret: str = "") -> ModelError:
    """The error for a missing or interrupted answer: connection errors, timeouts, broken HTTP."""
    said = shown(str(error), secret)
    cause = error.__cause__
    if cause is not None and type(error).__module__.partition(".")[0] in ("anthropic", "openai"):
        said = shown(str(cause), secret) or type(cause).__name__
    name = type(error).__name__
    return ModelError(ModelErrorKind.RETRYABLE, f"no whole answer: {said or name}")


def cut_short(what: str) -> ModelError:
    """The error for a stream that ended early or is inconsistent."""
    return ModelError(ModelErrorKind.RETRYABLE, f"the answer was cut short: {what}")


def retry_after(headers: Mapping[str, str], now: Micros) -> float | None:
    """Seconds that the server asks to wait; None if it gives no plausible time."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, _MAX_WAIT)
    named = headers.get("retry-after", "").strip()
    seconds = _number(named)
    if seconds is None and named:
        try:
            seconds = max(0.0, parsedate_to_datetime(named).timestamp() - now / 1_000_000)
        except (ValueError, OverflowError, TypeError, OSError):
            return None
    return None if seconds is None else min(seconds, _MAX_WAIT)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _kind(status: int, code: str, message: str) -> ModelErrorKind:
    if code in _BY_CHANCE:
        return ModelErrorKind.RETRYABLE
    too_long = status in (400, 422, 500) and _CONTEXT_WORDS.search(message)
    beyond_any_minute = status == 429 and message.startswith("Request too large")  # of the tokens of one minute
    if code in _CONTEXT_CODES or status == 413 or too_long or beyond_any_minute:
        return ModelErrorKind.CONTEXT_LENGTH
    refused = _REFUSED_WORDS.search(message) or _NO_TOOLS.search(message)
    if code in _REFUSED_CODES or status in (401, 402, 403, 404) or refused:
        return ModelErrorKind.REFUSED
    if status in (408, 409, 429) or (status >= 500 and not _TEMPLATE.search(message)):
        return ModelErrorKind.RETRYABLE
    return ModelErrorKind.BAD_REQUEST


def _advice(message: str) -> str:
    if not _NO_TOOLS.search(message):
        return ""
    return "; agents need tools: choose another model, or start the server with tool calls enabled"


def _all_said(body: object) -> str:
    """Everything that an error body says, with a limit."""
    text = body if isinstance(body, str) else msgspec.json.encode(body, enc_hook=str).decode("utf-8", "replace")
    return text[:_MAX_SAID]


def _code_and_message(body: object) -> tuple[str, str]:
    """The most specific code and the message of an error body, in any provider's format."""
    if isinstance(body, bytes | str):
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            text = body if isinstance(body, str) else body[: 50 * _MAX_MESSAGE].decode("utf-8", "replace")
            return "", without_tags(text) if text.lstrip().startswith("<") else text
        return _code_and_message(decoded) if isinstance(decoded, dict | list) else ("", str(body))
    if isinstance(body, list) and len(body) == 1 and isinstance(body[0], dict):  # Gemini's
        body = body[0]
    if not isinstance(body, dict):
        return "", "" if body is None else str(body)[:_MAX_MESSAGE]
    inner = body.get("error") or body.get("base_resp")
    if isinstance(inner, dict):
        body = inner
    elif isinstance(inner, str) and not body.get("message"):
        return "", inner
    given = [body.get(key) for key in ("code", "status_code", "type", "status")]
    codes = [str(value) for value in given if isinstance(value, str | int) and value not in ("", "error", "failed")]
    known = [code for code in codes if code in _CONTEXT_CODES or code in _REFUSED_CODES or code in _BY_CHANCE]
    code = next(iter([*known, *(code for code in codes if code in _STATUS_OF_CODE), *codes]), "")
    said = next((body[key] for key in ("message", "detail", "msg", "status_msg") if body.get(key)), "")
    named = "" if code.isdigit() else code
    message = (said if isinstance(said, str) else str(said)[:_MAX_SAID]) or named or (_all_said(body) if body else "")
    metadata = body.get("metadata")  # OpenRouter's, with what the model's own provider said
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return code, f"{message}: {raw[:_MAX_SAID]}" if isinstance(raw, str) else message
