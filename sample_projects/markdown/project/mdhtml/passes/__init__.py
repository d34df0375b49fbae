"""The passes over whole documents, by the names of their modules; one a line in any order under each heading."""

RULES = (
    # what is read before the blocks

    # what is done to the nodes

)
