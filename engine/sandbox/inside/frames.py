"""Frames between the engine and a sandbox: a big-endian u32 length, then fields, each a u32 length and bytes.

Each side parses them without trusting the other. The first two fields are the request's number and its name.
"""

import os

FIRST_FD = 3
"""The first number of a forked launcher's descriptors other than input, output and log."""
MAX_FRAME = 65 << 20
"""Bytes: enough for the largest file that can land, with its path."""


def pack(*fields: bytes) -> bytes:
    body = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return len(body).to_bytes(4, "big") + body


def unpack(body: bytes) -> list[bytes]:
    """Split a body into fields. Raises ValueError unless the fields fill the body exactly."""
    fields = []
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        field = body[at + 4 : at + 4 + size]
        if len(field) != size:
            raise ValueError("a field is cut")
        fields.append(field)
        at += 4 + size
    return fields


def write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def send(*fields: bytes) -> None:
    """Write one frame to standard output."""
    write_all(1, pack(*fields))


class Refused(Exception):  # noqa: N818 - an answer, told like an exception
    """The request cannot be carried out; the text goes to the agent."""


def say(error: BaseException) -> bytes:
    """The reason of a failed operation, for the agent."""
    if isinstance(error, Refused):
        return str(error).encode()
    if isinstance(error, FileNotFoundError):
        return b"no such file or folder"
    if isinstance(error, IsADirectoryError):
        return b"is a folder"
    if isinstance(error, NotADirectoryError):
        return b"is not a folder"
    if isinstance(error, OSError) and error.errno == 6:  # ENXIO: a FIFO or socket opened for writing
        return b"is not a regular file"
    return (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)).lower().encode()
