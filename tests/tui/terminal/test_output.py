"""Output whose reader pauses, goes away or never existed."""

import io
import os
from collections.abc import Iterator
from threading import Thread
from typing import TextIO

import pytest

from tui.terminal.output import Output


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    yield reader, stream
    stream.close()


def fill(output: Output) -> int:
    """Write until nothing more is kept; returns the number of lines that were taken."""
    return next(number for number in range(100_000) if not output.offer(f"{number:09}\n"))


def test_what_nobody_reads_is_kept_up_to_a_limit_and_written_later(pipe: tuple[int, TextIO]) -> None:
    output = Output(pipe[1])
    lines = fill(output)
    assert not output.settled()
    said = b""
    while not output.settled():
        said += os.read(pipe[0], 65536)
    pipe[1].close()
    os.close(output.fileno())
    said += b"".join(iter(lambda: os.read(pipe[0], 65536), b""))
    assert said == b"".join(b"%09d\n" % number for number in range(lines))


def test_other_users_of_the_pipe_still_wait_in_it(pipe: tuple[int, TextIO]) -> None:
    Output(pipe[1])
    assert os.get_blocking(pipe[1].fileno())


def test_after_hurry_output_that_nobody_reads_is_abandoned_and_writes_return(pipe: tuple[int, TextIO]) -> None:
    output = Output(pipe[1])
    fill(output)
    writer = Thread(target=output.write, args=("more\n",))
    writer.start()
    writer.join(0.3)
    assert writer.is_alive()
    output.hurry()
    writer.join(60)
    assert output.abandoned
    assert output.write("dropped\n") == 8
    os.close(pipe[0])


def test_a_reader_that_goes_away_is_no_error_of_the_writer(pipe: tuple[int, TextIO]) -> None:
    output = Output(pipe[1])
    os.close(pipe[0])
    output.write("lost\n")
    assert isinstance(output.error, BrokenPipeError)


def test_a_stream_without_a_file_is_written_to() -> None:
    stream = io.StringIO()
    Output(stream).write("said \udce9\n")
    assert stream.getvalue() == "said \\udce9\n"
