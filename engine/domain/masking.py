"""Replaces keys in text with a visible mark, before the text is stored, shown or sent to a model."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

T = TypeVar("T")

MARK = re.compile(r"\[masked: [A-Za-z][\w .-]{1,80}\]")
SHORTEST = 16
"""Characters of the shortest key that any format matches."""
OWN_SHORTEST = 8
"""Characters from which the value of a key that the engine uses itself is searched for."""
OTHERS_SHORTEST = 12
"""Characters from which the value of any other secret variable is searched for: shorter ones may be common words."""
SECRET_NAMES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_PASSWD", "_CREDENTIALS")
"""How the names of variables with secrets end."""
SHORT = 200
"""Characters up to which one search for all prefixes at once is faster than a search for each."""
HELD_MOST = 8_192
"""The most characters of a stream to hold back while every place to cut could be inside a key."""


class Format(Struct, frozen=True):
    """What one kind of key looks like: it begins with one of `starts`, not inside a word, and `whole` matches there."""

    kind: str
    starts: tuple[str, ...]
    whole: re.Pattern[str]


def _format(kind: str, starts: str, whole: str) -> Format:
    return Format(kind, tuple(starts.split("|")), re.compile(whole))


_PEM_NAME = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PEM_BODY = r"[A-Za-z0-9+/=\s\\:,.\"'_-]"  # base64, line numbers, file names and quotes, but not code

FORMATS = (
    _format("anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{16,}"),
    _format("openrouter key", "sk-or-", r"sk-or-[A-Za-z0-9_-]{20,}"),
    _format("openai key", "sk-proj-|sk-svcacct-|sk-admin-", r"sk-[a-z]+-[A-Za-z0-9_-]{20,}"),
    _format("api key", "sk-", r"sk-(?=[A-Za-z]{0,60}\d)[A-Za-z0-9]{20,}(?![\w-])"),
    _format("github token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _format("github token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    _format("gitlab token", "glpat-|glrt-|gldt-", r"gl[a-z]+-[A-Za-z0-9_=.-]{20,}"),
    _format("aws key", "AKIA|ASIA", r"A[A-Z]{3}(?![A-Z0-9]{9}EXAMPLE)[A-Z2-7]{16}(?!\w)"),
    _format("slack token", "xox", r"xox[a-z][-.][A-Za-z0-9.-]{10,}"),
    _format("slack token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{20,}"),
    _format("google key", "AIza", r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _format("google secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{28}"),
    _format("google token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,}"),
    _format("npm token", "npm_", r"npm_[A-Za-z0-9]{36}(?!\w)"),
    _format("pypi token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{40,}"),
    _format("hugging face token", "hf_", r"hf_[A-Za-z0-9]{30,}(?!\w)"),
    _format("groq key", "gsk_", r"gsk_[A-Za-z0-9]{40,}"),
    _format("xai key", "xai-", r"xai-[A-Za-z0-9]{40,}"),
    _format("stripe key", "sk_live_|rk_live_", r"[rs]k_[a-z]+_[A-Za-z0-9]{20,}"),
    _format("sendgrid key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _format("docker token", "dckr_", r"dckr_[a-z]+_[A-Za-z0-9_-]{24,}"),
    _format("digitalocean token", "dop_v1_|doo_v1_", r"do[a-z]_v1_[a-f0-9]{64}"),
    _format("databricks token", "dapi", r"dapi[a-f0-9]{32}(?!\w)"),
    _format("vault token", "hvs.", r"hv[a-z]\.[A-Za-z0-9_-]{24,}"),
    _format("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    _format("json web token", "eyJ", r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    _format("bearer token", "Bearer |bearer ", r"[Bb]earer (?=[A-Za-z._~+/-]{0,200}\d)[A-Za-z0-9._~+/-]{20,}=*"),
    _format(
        "private key",
        "-----BEGIN ",
        rf"-----BEGIN {_PEM_NAME}(?:{_PEM_BODY}{{16,20000}}?-----END {_PEM_NAME}"
        rf"|(?:[\s\"'\d\\]*n?[A-Za-z0-9+/=]{{40,}})+)",
    ),
)
"""Published formats. Where the prefix is an everyday word, the length or digits must fit, too."""

_PEM_UNDER_WAY = re.compile(rf"-----(?:B[A-Z0-9 ]{{0,60}}-{{0,5}}|BEGIN {_PEM_NAME}{_PEM_BODY}*)\Z")
_BEARER_UNDER_WAY = re.compile(r"[Bb]earer \S*\Z")


class Mask:
    """Masks what looks like a key, and the values of `secrets`, which maps names to values."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        named = {value: name for name, value in (secrets or {}).items() if len(value) >= OWN_SHORTEST}
        self._values = sorted(named.items(), key=lambda item: -len(item[0]))
        starts = [*(value for value, _ in self._values), *(start for format in FORMATS for start in format.starts)]
        self._any_start = re.compile("|".join(map(re.escape, starts)))
        self._known: object = None
        self._shortest = min((SHORTEST, *(len(value) for value, _ in self._values)))

    def text(self, text: str) -> str:
        """The text with every key replaced by `[masked: KIND]`."""
        if len(text) < self._shortest or (len(text) <= SHORT and not self._any_start.search(text)):
            return text
        spans = self.spans(text)
        pieces, at = [], 0
        for start, end, kind in spans:
            pieces += [text[at:start], f"[masked: {kind}]"]
            at = end
        return "".join((*pieces, text[at:])) if spans else text

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """The keys in the text as (start, end, kind), in order and without overlaps."""
        found = sorted(self._found(text), key=lambda span: (span[0], -span[1]))
        apart: list[tuple[int, int, str]] = []
        for start, end, kind in found:
            if not apart or start >= apart[-1][1]:
                apart.append((start, end, kind))
            elif end > apart[-1][1]:  # it overlaps with one that begins earlier: mask both
                apart[-1] = (apart[-1][0], end, apart[-1][2])
        return apart

    def value(self, value: T) -> T:
        """A Struct, tuple, list, dict or text with all text in it masked; the same object if there is no key in it.

        Raw data, which only a provider can read, stays as it is. Masking the last result again costs nothing.
        """
        if value is not self._known:
            self._known = value = cast(T, self._value(value))
        return value

    def stream(self) -> "StreamMask":
        return StreamMask(self)

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        for secret, name in self._values:
            at = text.find(secret)
            while at >= 0:
                yield at, at + len(secret), f"value of {name}"
                at = text.find(secret, at + len(secret))
        for format in FORMATS:
            for start in format.starts:
                at = text.find(start)
                while at >= 0:
                    match = format.whole.match(text, at) if at == 0 or _may_precede(text[at - 1]) else None
                    if match is not None:
                        yield at, match.end(), format.kind
                    at = text.find(start, match.end() if match else at + 1)

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is tuple or kind is list:
            new = [self._value(item) for item in value]
            return kind(new) if any(a is not b for a, b in zip(new, value, strict=True)) else value
        if kind is dict:
            pairs = {self._value(key): self._value(item) for key, item in value.items()}
            return pairs if any(pairs.get(key) is not item for key, item in value.items()) else value
        if isinstance(value, Struct):
            changes = {}
            for name in value.__struct_fields__:
                old = getattr(value, name)
                if (new := self._value(old)) is not old:
                    changes[name] = new
            return replace(value, **changes) if changes else value
        return value


class StreamMask:
    """Masks text that arrives in pieces: holds back an unfinished word, because it may be the start of a key."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = ""

    def feed(self, text: str) -> str:
        """Add a piece; returns what can be shown."""
        self._held += text
        end = self._settled()
        shown, self._held = self._held[:end], self._held[end:]
        return self._mask.text(shown)

    def rest(self) -> str:
        """The rest, after the stream has ended."""
        shown, self._held = self._held, ""
        return self._mask.text(shown)

    def _settled(self) -> int:
        held = self._held
        end = max(held.rfind(" "), held.rfind("\n"), held.rfind("\t"), held.rfind("\r")) + 1
        for under_way in (_PEM_UNDER_WAY, _BEARER_UNDER_WAY):
            if (match := under_way.search(held)) is not None:
                end = min(end, match.start())
        for secret, _ in self._mask._values:
            begun = range(max(0, len(held) - len(secret)), end)
            end = min(end, next((at for at in begun if secret.startswith(held[at:])), end))
        if len(held) - end <= HELD_MOST:
            return end
        end = len(held) - HELD_MOST // 2
        return next((start for start, stop, _ in self._mask.spans(held) if start < end < stop), end)


def marks_in(value: object) -> list[str]:
    """The marks of masked keys in a text, or in any text of a Struct or a list."""
    if isinstance(value, str):
        return MARK.findall(value)
    names = getattr(value, "__struct_fields__", ())
    parts = value if isinstance(value, list | tuple) else (getattr(value, name) for name in names)
    return [mark for part in parts for mark in marks_in(part)]


def looks_like_key(text: str) -> bool:
    return bool(_FORMATS_ALONE.spans(text))


def secrets_of(environ: Mapping[str, str], own: frozenset[str] = frozenset()) -> dict[str, str]:
    """The secrets in environment variables, by the names of the variables.

    `own` are the variables whose values the engine sends to providers. In any other variable, a path or a short word is
    not taken for a secret.
    """
    found = {name: value.strip() for name, value in environ.items()}
    return {name: value for name, value in found.items() if _is_secret(name, value, name in own)}


def _is_secret(name: str, value: str, own: bool) -> bool:
    if own:
        return len(value) >= OWN_SHORTEST
    named = name.upper().endswith(SECRET_NAMES)
    return named and len(value) >= OTHERS_SHORTEST and not value.startswith(("/", "~"))


def _may_precede(character: str) -> bool:
    """Whether a key may begin after the character: one may not begin inside a word."""
    return not (character.isalnum() or character == "_")


_FORMATS_ALONE = Mask()
