"""Reads tool calls that a model wrote in another form than asked for, if they can mean only one thing.

Nothing is completed: a call that was cut off stays an error, because half a file must never be written as a whole one.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import fields

MOST = 1_000_000
"""Characters of arguments that are read in any form but JSON."""

_NAMESPACE = re.compile(r"(?:functions?|tools?|default_api)_+", re.IGNORECASE)
_AROUND = re.compile(
    r"functions?|tools?|default_api|api|call|to|assistant|start|end|channel|commentary|analysis|final|constrain|message"
    r"|json|multi_tool_use|namespace|print|[0-9]+",
    re.IGNORECASE,
)
"""Words that chat templates and other programs put around the name of a tool."""

_FENCE = re.compile(r"```[\w-]*\s*(.*?)(?:```)?", re.DOTALL)
_MARKS = re.compile(r"(?:<[|/][^<>]{1,40}>\s*)+")
_TOKEN = re.compile(
    r"""(?P<double>"(?:[^"\\]|\\.)*"?)|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<comma>,)(?=\s*[}\]])|(?P<word>[A-Za-z_]+)"""
    r"""|'.*|[^"',A-Za-z_]+|,""",
    re.DOTALL,
)
_WORDS = {"True": "true", "False": "false", "None": "null"}
_CONTROL = re.compile(r"[\x00-\x1f]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_IN_SINGLE = re.compile(r'\\(.)|"', re.DOTALL)


def tool_meant(name: str, names: Collection[str]) -> str:
    """The one tool among `names` that `name` can mean, such as `functions.x`, `x:0` or ` X`; else `name` itself."""
    if name in names:
        return name
    known = {_key(each): each for each in names}
    found: set[str] = set()
    for word in re.findall(r"[\w-]+", name, re.ASCII):
        tool = known.get(_key(word)) or known.get(_key(_NAMESPACE.sub("", word, count=1)))
        if tool is not None:
            found.add(tool)
        elif not _AROUND.fullmatch(word):
            return name
    return found.pop() if len(found) == 1 else name


def _key(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def arguments_meant(text: str, type_: type[Struct]) -> str:
    """The arguments as JSON that fits a tool, if the text can mean only that; else the text itself."""
    if _fits(text, type_) or len(text) > MOST:
        return text
    for value in _readings(text):
        arguments = _with_values(value, type_)
        encoded = msgspec.json.encode(arguments).decode()
        if _fits(encoded, type_):
            return encoded
        with suppress(msgspec.ValidationError, RecursionError):  # numbers are written as text deep inside
            return msgspec.json.encode(msgspec.convert(arguments, type_, strict=False)).decode()
    return text


def _fits(text: str, type_: type[Struct]) -> bool:
    try:
        msgspec.json.decode(text.strip() or "{}", type=type_)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _readings(text: str) -> Iterator[dict[str, Any]]:
    """The object that a text holds: as JSON, in a fence or before marks of a template, as Python, or encoded twice."""
    text = text.strip("\ufeff \t\r\n")
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1].strip()
    for marks in _MARKS.finditer(text):
        if marks.end() == len(text):
            text = text[: marks.start()].rstrip()
    if text.startswith("{}") and text[2:].lstrip().startswith("{"):  # some servers begin each call with an empty object
        text = text[2:]
    value = _decoded(text)
    for _ in range(2):
        if isinstance(value, str):
            value = _decoded(value)
    if isinstance(value, dict):
        yield value


def _decoded(text: str) -> Any:
    """The value of JSON, or of what differs from it only in quotes, literals, commas and line ends; else None."""
    for form in (str, _as_json):
        try:
            return msgspec.json.decode(form(text))
        except (msgspec.DecodeError, RecursionError):
            continue
    return None


def _as_json(text: str) -> str:
    return _TOKEN.sub(_token, text)


def _token(found: re.Match[str]) -> str:
    if found["double"] is not None:
        return _CONTROL.sub(_escaped, _ESCAPE.sub(lambda m: "'" if m[1] == "'" else m[0], found["double"]))
    if found["single"] is not None:
        inner = _IN_SINGLE.sub(lambda m: '\\"' if m[0] == '"' else "'" if m[1] == "'" else m[0], found["single"])
        return f'"{_CONTROL.sub(_escaped, inner)}"'
    if found["comma"] is not None:
        return ""
    return _WORDS.get(found[0], found[0])


def _escaped(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


def _with_values(arguments: dict[str, Any], type_: type[Struct]) -> dict[str, Any]:
    """The arguments, with values that were encoded twice decoded, and without null where a default stands for it.

    Where a list of objects is asked for that need only one text, a text stands for such an object.
    """
    known = {field.encode_name: field for field in fields(type_)}
    meant: dict[str, Any] = {}
    for name, value in arguments.items():
        field = known.get(name)
        if field is None or _converts(value, field.type):
            meant[name] = value
        elif value is None and not field.required:
            continue
        else:
            more = [_once_more(item) for item in value] if isinstance(value, list) else _once_more(value)
            meant[name] = _with_objects(more, field.type)
    return meant


def _with_objects(value: Any, type_: Any) -> Any:
    """The value as a list of objects, if the type is one of objects that need only one text, and it holds texts."""
    item = _bare(getattr(_bare(msgspec.inspect.type_info(type_)), "item_type", None))
    if not isinstance(item, msgspec.inspect.StructType):
        return value
    required = [field for field in item.fields if field.required]
    if len(required) != 1 or not isinstance(_bare(required[0].type), msgspec.inspect.StrType):
        return value
    listed = value if isinstance(value, list) else [value] if value else []
    return [{required[0].encode_name: each} if _is_prose(each) else each for each in listed]


def _bare(type_: Any) -> Any:
    """A type without its description."""
    return type_.type if isinstance(type_, msgspec.inspect.Metadata) else type_


def _is_prose(value: Any) -> bool:
    return isinstance(value, str) and not value.lstrip().startswith(("{", "["))


def _once_more(value: Any) -> Any:
    decoded = _decoded(value) if isinstance(value, str) else None
    return value if decoded is None else decoded


def _converts(value: Any, type_: Any) -> bool:
    try:
        msgspec.convert(value, type_)
    except (msgspec.ValidationError, RecursionError):
        return False
    return True
