"""Part 0: the value as it is."""


def apply(value: int) -> int:
    return value
