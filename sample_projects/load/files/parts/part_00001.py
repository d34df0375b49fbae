"""Part 1: times 2."""


def apply(value: int) -> int:
    return value * 2
