"""The parts that others look up, one a line in any order."""

PARTS = (
    "part_00000",
    # new parts go above this line
)
