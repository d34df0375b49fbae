"""The commands, by the names of their modules."""

COMMANDS = (
    # writing
    "add",
    # reading, one a line in any order

    # changing, one a line in any order

)
