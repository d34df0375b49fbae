"""The system call filter, run step by step as the kernel would, for every supported architecture."""

import errno
import struct

import pytest

from engine.sandbox.seccomp import ABSENT, ALLOW, AUDIT_NAMES, FORBIDDEN, NUMBERS, QUEUES, REFUSE, build_filter

MACHINES = ["x86_64", "aarch64"]


def answer(program: bytes, machine: str, call: str | int, *arguments: int, architecture: int | None = None) -> int:
    """0 if the call is allowed, else its error number."""
    column, own = AUDIT_NAMES[machine]
    number = call if isinstance(call, int) else NUMBERS[call][column]
    assert number is not None
    words = [each % 2**64 for each in (*arguments, 0, 0, 0, 0, 0, 0)][:6]
    data = struct.pack("=IIQ6Q", number, own if architecture is None else architecture, 0, *words)
    steps = list(struct.iter_unpack("=HBBI", program))
    held, at = 0, 0
    while True:
        code, true, false, value = steps[at]
        at += 1
        if code == 0x20:
            held = struct.unpack_from("=I", data, value)[0]
        elif code == 0x06:
            return 0 if value == ALLOW else value - REFUSE
        else:
            met = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            at += true if met else false


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("namespaces", [True, False])
def test_named_calls_are_refused_and_all_others_allowed(machine: str, namespaces: bool) -> None:
    program = build_filter(namespaces=namespaces, network=False, machine=machine)
    assert program is not None
    column = AUDIT_NAMES[machine][0]
    for names, expected in ((ABSENT, errno.ENOSYS), (FORBIDDEN, errno.EPERM)):
        for name in names:
            if NUMBERS[name][column] is not None:
                assert answer(program, machine, name) == expected, name
    for name in QUEUES:
        assert answer(program, machine, name) == (0 if namespaces else errno.ENOSYS), name
    named = {numbers[column] for numbers in NUMBERS.values()}
    assert all(answer(program, machine, number) == 0 for number in range(480) if number not in named)
    assert answer(program, machine, 1, architecture=0x40000003) == errno.ENOSYS, "32-bit calls"


@pytest.mark.parametrize("machine", MACHINES)
def test_some_calls_are_decided_by_their_arguments(machine: str) -> None:
    program = build_filter(namespaces=True, network=False, machine=machine)
    assert program is not None
    for flags, expected in ((0x01200011, 0), (0x003D0F00, 0), (0x10000011, errno.EPERM), (0x40000000, errno.EPERM)):
        assert answer(program, machine, "clone", flags) == expected
        assert answer(program, machine, "unshare", flags) == expected
    for request, expected in ((0x5401, 0), (0x5412, errno.EPERM), (0x541C, errno.EPERM), (0xFF00005412, errno.EPERM)):
        assert answer(program, machine, "ioctl", 0, request) == expected
    for persona, expected in ((0, 0), (0x40000, 0), (0xFFFFFFFF, 0), (8, errno.EPERM)):
        assert answer(program, machine, "personality", persona) == expected
    for family, protocol, expected in (
        (1, 0, 0), (2, 17, 0), (10, 6, 0), (16, 0, 0), (16, 9, errno.EPROTONOSUPPORT), (40, 0, errno.EAFNOSUPPORT),
        (17, 768, errno.EAFNOSUPPORT), (38, 0, errno.EAFNOSUPPORT),
    ):  # fmt: skip
        assert answer(program, machine, "socket", family, 1, protocol) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_without_namespaces_sockets_and_other_processes_are_out_of_reach(machine: str) -> None:
    shut, open_ = (build_filter(namespaces=False, network=network, machine=machine) for network in (False, True))
    assert shut is not None
    assert open_ is not None
    assert {answer(shut, machine, "socket", family) for family in range(46)} == {errno.EACCES}
    allowed = [family for family in range(46) if answer(open_, machine, "socket", family) == 0]
    assert allowed == [2, 10]
    assert answer(shut, machine, "kill", -1, 9) == errno.EPERM
    assert answer(shut, machine, "kill", 4711, 9) == 0
    assert answer(shut, machine, "prlimit64", 0, 7) == 0
    assert answer(shut, machine, "prlimit64", 4711, 7) == errno.EPERM


def test_an_unknown_architecture_has_no_filter() -> None:
    assert build_filter(namespaces=True, network=False, machine="riscv64") is None
